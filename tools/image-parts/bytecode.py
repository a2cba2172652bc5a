"""Build stage: bytecode beside every module that a run imports, for a file system that is read-only.

    bytecode.py PACKAGE...

Imports every module of the packages; what runs before this one imported counts too. Bytecode for all of the
dependencies would take 40 MB more. It is of the kind that is never compared with its source, so it stays valid
whatever times the files of an image get.
"""

import importlib
import importlib.util
import pkgutil
import py_compile
import sys
import sysconfig
from pathlib import Path


def main(packages: list[str]) -> None:
    """Import them all, then compile again, once and for all, what Python has compiled on the way."""
    sys.dont_write_bytecode = False
    for name in packages:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(module.name)
    count = 0
    for path in Path(sysconfig.get_path("purelib")).rglob("__pycache__/*.pyc"):
        source = importlib.util.source_from_cache(str(path))
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(source, cfile=str(path), doraise=True, invalidation_mode=mode)
        count += 1
    print(f"bytecode of {count} modules")


if __name__ == "__main__":
    main(sys.argv[1:])
