"""Writes `cupy_names.txt`, the list by which the stand-in lets NumPy's functions through, from a real CuPy.

CuPy's wheel imports without a GPU; only arrays need one:
`python tests/device/names_from_cupy.py > tests/device/cupy_names.txt`. A line is a name and the names of its
parameters; `ufunc` stands for those of a universal function. Only what NumPy (SciPy) has under the same name is listed.
"""

import importlib
import inspect
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

MODULES = {
    "cupy": "numpy",
    "cupy.fft": "numpy.fft",
    "cupyx.scipy.fft": "scipy.fft",
    "cupyx.scipy.ndimage": "scipy.ndimage",
}


def names() -> Iterator[str]:
    """The lines of the list."""
    for module, model in MODULES.items():
        theirs, ours = importlib.import_module(module), importlib.import_module(model)
        for name in sorted(set(_public(theirs)) & set(_public(ours))):
            value = getattr(theirs, name)
            if callable(value) and not isinstance(value, type):
                yield f"{module}.{name} {parameters(value)}"
    import cupy  # noqa: PLC0415 - not where the list is only read
    import numpy as np  # noqa: PLC0415

    for name in sorted(set(_public(cupy.ndarray)) & set(_public(np.ndarray))):
        value = getattr(cupy.ndarray, name)
        yield f"ndarray.{name} {parameters(value) if callable(value) else 'attribute'}"


def parameters(function: Any) -> str:
    """Names of the parameters: from the signature, or from the first line of Cython's docstring."""
    if type(function).__name__ == "ufunc":
        return "ufunc"
    try:
        found = inspect.signature(function).parameters
        return " ".join(
            ("*" if p.kind is p.VAR_POSITIONAL else "") + p.name for p in found.values() if p.name != "self"
        )
    except (TypeError, ValueError):
        line = (function.__doc__ or "").strip().partition("\n")[0]
        inside = re.search(r"\((.*?)\)", line)
        parts = [part.partition("=")[0].split()[-1] for part in inside.group(1).split(",") if part] if inside else []
        return " ".join(part for part in parts if part not in ("self", "/"))


def _public(module: ModuleType | type) -> list[str]:
    return [name for name in dir(module) if not name.startswith("_")]


if __name__ == "__main__":
    print("\n".join(line.rstrip() for line in names()))  # noqa: T201 - a program that prints
