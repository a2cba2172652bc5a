"""The code version of a stage: a hash over every source file that its own file can reach by imports.

Reached means: imported anywhere in the file, at its top or inside a function, and so on from there, within this
program; and every package on the way, whose `__init__` runs too. Nothing is guessed from version numbers, so a
changed constant three files away counts, and so does an edit that nobody released.
"""

import ast
import hashlib
import importlib.metadata
import sys
import threading
from functools import cache
from pathlib import Path

STANDARD = sys.stdlib_module_names
PROGRAM = "qsm_recon"
_ROOT = Path(__file__).parents[1]
_one_parses = threading.Lock()
"""CPython counts the depth of a tree for all threads together: two that parse at once may fail (its issue 106905)."""

NUMERIC = ("numpy", "scipy", "numba", "llvmlite")
"""Libraries whose version may change a result's bits."""
GPU = ("cupy-cuda12x",)
KNOWN_LIBRARIES = {"numpy", "scipy", "numba", "pydantic", "pydantic_core", "cupy", "cupyx"}
"""What the science may import beside the standard library. pydantic only checks settings, whose values are hashed as
they are; CuPy is no part of a key because a key must be the same on a machine without it (see `keys`)."""


@cache
def code_sha256(module: str) -> str:
    """Hash over the sources that `module` can reach, itself included."""
    digest = hashlib.sha256()
    for name in sorted(reached(module)):
        digest.update(f"{name} {hashlib.sha256(_source(name)).hexdigest()}\n".encode())
    return digest.hexdigest()


def reached(module: str) -> frozenset[str]:
    """Names of the program's modules that `module` can reach by imports, itself included."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _imported(name)
    return frozenset(found)


def libraries(device: str) -> dict[str, str]:
    """Version of each library whose version may change a result's bits; CuPy's only for `gpu` alone."""
    return {name: _version(name) for name in (*NUMERIC, *(GPU if device == "gpu" else ()))}


@cache
def _version(name: str) -> str:
    return importlib.metadata.version(name)


@cache
def _imported(module: str) -> tuple[str, ...]:
    """The program's modules that one file imports, and the packages it lies in."""
    names: set[str] = set()
    with _one_parses:
        tree = ast.parse(_source(module))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise ValueError(f"{module}: relative imports cannot be followed")
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    inside = {name for name in names if name.split(".")[0] == PROGRAM and _path(name) is not None}
    packages = {part.rpartition(".")[0] for part in _prefixes(module)} - {""}
    return tuple(sorted(inside | packages))


def _prefixes(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


@cache
def _source(module: str) -> bytes:
    path = _path(module)
    if path is None:
        raise ValueError(f"{module} has no source file here: without it nobody can tell what a result depends on")
    return path.read_bytes()


@cache
def _path(module: str) -> Path | None:
    """File of a module of the program; None where the name is a function or class."""
    place = _ROOT.joinpath(*module.split(".")[1:])
    for path in (place / "__init__.py", place.with_suffix(".py")):
        if path.is_file():
            return path
    return None
