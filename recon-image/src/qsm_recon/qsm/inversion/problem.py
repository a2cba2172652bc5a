"""What an inversion method is given and what it gives back, on the working box."""

from dataclasses import dataclass
from typing import Any

from qsm_recon.qsm.grid import BoxedField, BoxedMethodParams

Array = Any


class InversionMethodParams(BoxedMethodParams):
    """What every inversion method can be told."""


@dataclass(frozen=True)
class DipoleProblem(BoxedField):
    """One local field, with all that an inversion may want to know."""

    magnitude: Array | None
    """(x, y, z) float32 root sum of squares over the echoes, any unit; None where it is not known."""
    csf_mask: Array | None
    """(x, y, z) bool ventricular CSF; None where it is not known or empty."""


@dataclass(frozen=True)
class DipoleSolution:
    """What a method found, on the working grid."""

    chi_ppm: Array
    """(x, y, z) float32 susceptibility, ppm, unreferenced; voxels outside `mask` are dropped by the caller."""
    mask: Array
    """(x, y, z) bool: where it is valid."""
    iterations: int = 0
    """Iterations of the innermost solver, all together; 0 for closed forms."""
    warnings: tuple[str, ...] = ()
