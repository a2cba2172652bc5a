"""From plain data to a checked recipe, with errors a person can act on."""

import difflib
import json
import math
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from qsm_recon.errors import RecipeError
from qsm_recon.qsm.config import RecipeConfig

_BOUNDS = {"greater_than": (">", "gt"), "greater_than_equal": (">=", "ge")}
_BOUNDS |= {"less_than": ("<", "lt"), "less_than_equal": ("<=", "le")}

_SENTENCES = {
    "extra_forbidden": ": unknown parameter",
    "missing": ": is missing",
    "union_tag_not_found": ".method: is missing",
}

_SHOWN = 60
"""Characters of a wrong value that a message repeats."""


def check(data: Any) -> RecipeConfig:
    """Validate plain data as a recipe.

    Raises
    ------
    RecipeError
        All that is wrong, each with its place (`stage.method.parameter`).
    """
    if not isinstance(data, dict):
        raise RecipeError(f"a recipe is a mapping of stages to methods, got {_kind(data)}")
    not_finite = _find_not_finite(data, ())
    if not_finite:
        raise RecipeError(f"{not_finite}: must be a finite number")
    try:
        # By way of JSON: there a list may become a tuple and a word an enumeration, while numbers and words
        # stay strictly apart.
        return RecipeConfig.model_validate_json(json.dumps(data))
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True)
        raise RecipeError("; ".join(_describe(detail) for detail in details)) from error


def _describe(detail: ErrorDetails) -> str:
    place = ".".join(str(part) for part in detail["loc"]) or "recipe"
    kind, context, value = detail["type"], detail.get("ctx", {}), detail.get("input")
    if kind in _BOUNDS:
        sign, key = _BOUNDS[kind]
        return f"{place}: must be {sign} {context[key]:g}, got {_show(value)}"
    if kind == "union_tag_invalid":
        return f"{place}.method: {_unknown_method(str(context['tag']), str(context['expected_tags']))}"
    if kind == "literal_error":
        return f"{place}: must be {context['expected']}, got {_show(value)}"
    if kind in _SENTENCES:
        return f"{place}{_SENTENCES[kind]}"
    message = detail["msg"][0].lower() + detail["msg"][1:]
    return f"{place}: {message}, got {_show(value)}"


def _unknown_method(name: str, known: str) -> str:
    close = difflib.get_close_matches(name, [tag.strip(" '") for tag in known.split(",")], 1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"unknown method {name!r}; known: {known}{hint}"


def _find_not_finite(data: Any, path: tuple[str, ...]) -> str | None:
    """Place of the first NaN or infinity (JSON has no word for them)."""
    if isinstance(data, float) and not math.isfinite(data):
        return ".".join(path)
    children: list[tuple[str, Any]] = []
    if isinstance(data, dict):
        children = [(str(key), value) for key, value in data.items()]
    elif isinstance(data, list):
        children = [(str(index), value) for index, value in enumerate(data)]
    for key, value in children:
        found = _find_not_finite(value, (*path, key))
        if found:
            return found
    return None


def _kind(data: Any) -> str:
    return {type(None): "nothing", list: "a list", str: "a word"}.get(type(data), type(data).__name__)


def _show(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
