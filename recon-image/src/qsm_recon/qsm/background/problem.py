"""What a background removal method is given: checked arrays on the working box."""

from dataclasses import dataclass
from typing import Any

from pydantic import Field

from qsm_recon.qsm import backend
from qsm_recon.qsm.parameters import Params

Array = Any


class BackgroundMethodParams(Params):
    """What every background removal method can be told."""

    padding_mm: float = Field(default=12.0, ge=0, le=100)
    """Room on each side of the mask's box, mm, where background sources may lie and the field may end."""

    def room_mm(self) -> float:
        """Room the method needs on each side of the mask's box, mm: a ball must not reach round the grid."""
        return self.padding_mm


@dataclass(frozen=True)
class BackgroundProblem:
    """One total field, cropped and padded."""

    field_ppm: Array
    """(x, y, z) float32 total field, ppm of B0; 0 outside `mask`."""
    mask: Array
    """(x, y, z) bool."""
    noise_ppm: Array | None
    """(x, y, z) float32 standard deviation of the field, +inf without signal; None where it is not known."""
    voxel_size_mm: tuple[float, float, float]
    b0_direction: tuple[float, float, float]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the working grid."""
        nx, ny, nz = self.mask.shape
        return nx, ny, nz

    @property
    def xp(self) -> Any:
        """Array module of the volumes."""
        return backend.namespace(self.mask)


@dataclass(frozen=True)
class BackgroundResult:
    """What a method found, on the working grid."""

    local_field_ppm: Array
    """(x, y, z) float32 field of the sources inside the mask, ppm."""
    mask: Array
    """(x, y, z) bool: where it is valid."""
    warnings: tuple[str, ...] = ()
