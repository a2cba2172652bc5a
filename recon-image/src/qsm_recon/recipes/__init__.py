"""Recipes are data: packaged by name, or any YAML file; read strictly.

A wrong recipe must never become another recipe: unknown keys, doubled keys, values of the wrong type or out of
range are errors that name the place, e.g. `inversion.medi.lambda1: must be > 0, got -1`.
"""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from qsm_recon.errors import RecipeError
from qsm_recon.qsm.config import RecipeConfig
from qsm_recon.recipes.checking import check
from qsm_recon.recipes.strict_yaml import parse

DEFAULT = "medi0-v1"
"""The recipe used where none is named."""

MAX_BYTES = 1_000_000
"""A recipe is a page of text; a bigger file is something else."""


@dataclass(frozen=True)
class Recipe:
    """A recipe with the text it was read from."""

    config: RecipeConfig
    text: str
    """The YAML as written, comments included."""
    origin: str
    """`packaged` or `file`: never a path, which may tell of a person."""

    @property
    def sha256(self) -> str:
        """Identity of the values."""
        return self.config.sha256()


def packaged_names() -> tuple[str, ...]:
    """Names of the recipes that come with the program, sorted."""
    names = (entry.name for entry in resources.files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def load(name_or_file: str) -> Recipe:
    """Read a packaged recipe by name, or a recipe file.

    What ends in .yaml or .yml, or holds a path separator, is a file; everything else is a name.

    Raises
    ------
    RecipeError
        Unknown name, unreadable file, or a recipe that is wrong; the message names the place.
    """
    if name_or_file.endswith((".yaml", ".yml")) or "/" in name_or_file:
        return _read(_file_text(Path(name_or_file)), "file", Path(name_or_file).name)
    if name_or_file not in packaged_names():
        known = ", ".join(packaged_names())
        raise RecipeError(f"no recipe is called {name_or_file!r}; known: {known} (a file must end in .yaml)")
    text = resources.files(__name__).joinpath(f"{name_or_file}.yaml").read_text(encoding="utf-8")
    return _read(text, "packaged", name_or_file)


def from_data(data: Any) -> RecipeConfig:
    """Check plain data (as YAML or JSON gives it) as a recipe."""
    return check(data)


def _read(text: str, origin: str, label: str) -> Recipe:
    try:
        return Recipe(config=check(parse(text)), text=text, origin=origin)
    except RecipeError as error:
        raise RecipeError(f"recipe {label}: {error.message}") from error


def _file_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RecipeError(f"recipe {path.name}: larger than {MAX_BYTES} bytes, this is no recipe")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"recipe {path.name}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"recipe {path.name}: is not UTF-8 text") from error
