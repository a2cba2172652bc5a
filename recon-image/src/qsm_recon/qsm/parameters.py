"""Base of every method's parameters: immutable, strict, checked where it is made.

A method's file declares `class XyzParams(Params)` with `method: Literal["xyz"]`, a default, a range and a
one-line docstring for each field. An unknown name or a value out of range is an error that names it.
"""

from pydantic import BaseModel, ConfigDict


class Params(BaseModel):
    """Immutable parameter set; unknown fields, wrong types, NaN and infinity are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
