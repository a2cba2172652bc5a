"""What a background removal method is given and what it gives back, on the working box."""

from dataclasses import dataclass
from typing import Any

from qsm_recon.qsm.grid import BoxedField, BoxedMethodParams

Array = Any


class BackgroundMethodParams(BoxedMethodParams):
    """What every background removal method can be told."""


class BackgroundProblem(BoxedField):
    """One total field."""


@dataclass(frozen=True)
class BackgroundResult:
    """What a method found, on the working grid."""

    local_field_ppm: Array
    """(x, y, z) float32 field of the sources inside the mask, ppm."""
    mask: Array
    """(x, y, z) bool: where it is valid."""
    warnings: tuple[str, ...] = ()
