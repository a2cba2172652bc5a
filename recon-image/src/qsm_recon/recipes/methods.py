"""Which methods a recipe can name, stage by stage, with every parameter: read off the parameters themselves."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from qsm_recon.qsm.config import STAGES, RecipeConfig

_CHOICE = "method"


@dataclass(frozen=True)
class Parameter:
    """One value that a recipe may give."""

    name: str
    default: Any
    values: str
    """Which values are allowed, in words."""
    meaning: str

    @property
    def default_text(self) -> str:
        """The default as a recipe writes it."""
        if isinstance(self.default, bool):
            return str(self.default).lower()
        if self.default is None:
            return "null"
        return f"{self.default:.6g}" if isinstance(self.default, float) else str(self.default)


@dataclass(frozen=True)
class Method:
    """One way to do a stage."""

    stage: str
    name: str
    """What the recipe says in `method`; empty where a stage has no choice."""
    parameters: tuple[Parameter, ...]


def methods() -> tuple[Method, ...]:
    """Every method of every stage, in the order of the stages."""
    return tuple(
        Method(
            stage,
            params.model_fields[_CHOICE].default if _CHOICE in params.model_fields else "",
            tuple(_parameter(name, field) for name, field in params.model_fields.items() if name != _CHOICE),
        )
        for stage in STAGES
        for params in _models(RecipeConfig.model_fields[stage].annotation)
    )


def markdown() -> str:
    """docs/parameters.md."""
    parts = [
        "# Every method and parameter of a recipe",
        "*Written by `make sync` from the program; do not edit.* What the methods are for: [methods.md](methods.md).",
        "What a recipe leaves out has the default. What does not stand here is an error that names the place.",
    ]
    stage = ""
    for method in methods():
        if method.stage != stage:
            stage = method.stage
            parts.append(f"## {stage}")
        if method.name:
            parts.append(f"### `{method.name}`")
        if not method.parameters:
            parts.append("No parameters.")
        else:
            rows = [f"| `{p.name}` | {p.default_text} | {p.values} | {p.meaning} |" for p in method.parameters]
            parts.append("\n".join(["| parameter | default | values | meaning |", "|---|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The parameter sets among the arguments of a union, however it is wrapped."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _parameter(name: str, field: FieldInfo) -> Parameter:
    if field.default is PydanticUndefined:
        raise ValueError(f"{name} has no default")
    return Parameter(name, field.default, _values(field), _one_line(field.description or "").replace("|", "\\|"))


def _values(field: FieldInfo) -> str:
    words = [str(word) for word in get_args(field.annotation) if isinstance(word, str)]
    if words:
        return ", ".join(words)
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    limits = [
        f"{sign} {getattr(limit, name):g}"
        for limit in field.metadata
        for name, sign in signs.items()
        if getattr(limit, name, None) is not None
    ]
    kinds = [kind.__name__ for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
    plain = {"int": "whole number", "float": "number", "bool": "true, false", "NoneType": "null"}
    return ", ".join([" or ".join(plain[kind] for kind in kinds if kind in plain), *limits])


def _one_line(text: str) -> str:
    return " ".join(text.split())
