"""What an inversion method is given: checked arrays on the working box."""

from dataclasses import dataclass
from typing import Any

from pydantic import Field

from qsm_recon.qsm import backend, kernels
from qsm_recon.qsm.parameters import Params

Array = Any


class InversionMethodParams(Params):
    """What every inversion method can be told."""

    padding_mm: float = Field(default=12.0, ge=0, le=100)
    """Room on each side of the mask's box, mm, against the wrap-around of the periodic dipole field."""

    def room_mm(self) -> float:
        """Room the method needs on each side of the mask's box, mm: a ball must not reach round the grid."""
        return self.padding_mm


@dataclass(frozen=True)
class DipoleProblem:
    """One local field, cropped and padded, with all that an inversion may want to know."""

    field_ppm: Array
    """(x, y, z) float32 local field, ppm of B0; 0 outside `mask`."""
    mask: Array
    """(x, y, z) bool."""
    noise_ppm: Array | None
    """(x, y, z) float32 standard deviation of the field, +inf without signal; None where it is not known."""
    magnitude: Array | None
    """(x, y, z) float32 root sum of squares over the echoes, any unit; None where it is not known."""
    csf_mask: Array | None
    """(x, y, z) bool ventricular CSF; None where it is not known or empty."""
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

    def dipole(self) -> Array:
        """Half spectrum of the dipole kernel on the working grid."""
        return kernels.dipole_kernel(self.shape, self.voxel_size_mm, self.b0_direction, self.xp)


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
