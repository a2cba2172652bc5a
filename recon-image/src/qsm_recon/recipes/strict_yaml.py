"""YAML without its surprises: YAML 1.2 scalars, no doubled keys, no tags, no aliases.

PyYAML follows YAML 1.1, where `1e-3` is text, `no` is false and `1:30` is ninety. In a recipe each of these
would silently become another reconstruction, so scalars are read by the core schema of YAML 1.2.
"""

import math
import re
from typing import Any

import yaml

from qsm_recon.errors import RecipeError


class _CoreLoader(yaml.SafeLoader):
    """Safe loader with the core schema's scalars; mappings refuse doubled keys."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own class-level table


_NUMBER_STARTS = list("-+.0123456789")
_CoreLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), ["t", "f"])
_CoreLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|)$"), ["~", "n", ""])
_CoreLoader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), _NUMBER_STARTS)
_CoreLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    _NUMBER_STARTS,
)


def _decimal_int(loader: _CoreLoader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node), 10)  # YAML 1.1 would read 010 as eight


def _decimal_float(loader: _CoreLoader, node: yaml.ScalarNode) -> float:
    text = loader.construct_scalar(node).lower()
    if text.endswith((".inf", ".nan")):
        return math.nan  # refused by every parameter, named as not finite
    return float(text)


def _mapping(loader: _CoreLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        line = key_node.start_mark.line + 1
        if not isinstance(key, str):
            raise RecipeError(f"line {line}: keys are words, got {key!r}")
        if key in seen:
            raise RecipeError(f"line {line}: {key} is given twice")
        seen[key] = loader.construct_object(value_node, deep=True)
    return seen


_CoreLoader.add_constructor("tag:yaml.org,2002:int", _decimal_int)
_CoreLoader.add_constructor("tag:yaml.org,2002:float", _decimal_float)
_CoreLoader.add_constructor("tag:yaml.org,2002:map", _mapping)


def parse(text: str) -> Any:
    """Plain data from one YAML document.

    Raises
    ------
    RecipeError
        Not YAML, several documents, anchors or tags, or a key given twice; the line is named.
    """
    try:
        for token in yaml.scan(text):
            if isinstance(token, yaml.AnchorToken | yaml.AliasToken | yaml.TagToken):
                line = token.start_mark.line + 1
                raise RecipeError(f"line {line}: anchors, aliases and tags are not part of a recipe")
        return yaml.load(text, Loader=_CoreLoader)  # noqa: S506 - a SafeLoader subclass
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark is not None else ""
        problem = getattr(error, "problem", None) or "not valid YAML"
        raise RecipeError(f"{place}{problem}") from error
    except RecursionError as error:
        raise RecipeError("nested too deeply") from error
