"""Build stage: take out of /opt/qsm what no run needs."""

import hashlib
import shutil
import sysconfig
from pathlib import Path

NEEDLESS = ("*.a", "*.c", "*.h", "*.hpp", "*.pxd", "*.pyx", "*.pyi")
"""For compilers and type checkers."""
COMPILING = ("cupy", "cupyx", "nvidia", "cuda")
"""But CuPy compiles at run time, with CUDA's headers."""


FOLDERS = ("Crypto/SelfTest", "pydicom/data/test_files", "pydicom/data/charset_files", "_gdcm/XML")
"""Tests and example data that are not called so."""
SCIPY = ("cluster", "datasets", "differentiate", "fftpack", "integrate", "interpolate", "io", "misc", "odr")
SCIPY += ("optimize", "signal", "spatial", "stats")
"""Parts of SciPy that nothing here imports, 40 MB: we use its transforms and filters. `bytecode.py` imports every
module of ours after this, so whoever comes to need one of them is told by the build."""


def main() -> None:
    """Trim the environment this Python belongs to."""
    site = Path(sysconfig.get_path("purelib"))
    for folder in (
        *sorted(site.glob("*/**/tests")),
        *(site / name for name in FOLDERS),
        *(site / "scipy" / name for name in SCIPY),
    ):
        shutil.rmtree(folder, ignore_errors=True)
    for pattern in NEEDLESS:
        for path in site.rglob(pattern):
            if path.relative_to(site).parts[0] not in COMPILING:
                path.unlink()
    for path in (site / "_gdcm").glob("gdcm*"):
        if path.is_file() and path.suffix != ".py":
            path.unlink()  # its command line programs
    _link_equal_libraries(site)


def _link_equal_libraries(site: Path) -> None:
    """Wheels cannot hold links, so libraries come in three copies under three names."""
    first: dict[tuple[Path, str], Path] = {}
    for path in sorted(site.rglob("*.so*")):
        if path.is_symlink() or not path.is_file():
            continue
        key = (path.parent, hashlib.sha256(path.read_bytes()).hexdigest())
        kept = first.setdefault(key, path)
        if kept is not path:
            path.unlink()
            path.symlink_to(kept.name)


if __name__ == "__main__":
    main()
