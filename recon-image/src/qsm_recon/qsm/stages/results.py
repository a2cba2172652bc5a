"""What stages hand on where no method's own result says it all."""

from dataclasses import dataclass
from typing import Any

from qsm_recon.qsm.scan import FieldFit

Array = Any


@dataclass(frozen=True, kw_only=True)
class MappedField(FieldFit):
    """The fit of the echoes, and the magnitude of all of them together."""

    magnitude: Array
    """(x, y, z) float32: root sum of squares over echoes, scanner units."""


@dataclass(frozen=True)
class TotalField:
    """The field of all sources, unwrapped."""

    field_ppm: Array
    """(x, y, z) float32, ppm of B0; 0 outside the brain mask."""
    noise_ppm: Array
    """(x, y, z) float32: its standard deviation, ppm, raised where the fit is doubtful; +inf without signal."""
    residual: Array
    """(x, y, z) float32: misfit of the complex fit over its expected value."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Relaxation:
    """R2*, and the ventricular fluid that it shows."""

    r2star_per_s: Array
    """(x, y, z) float32, 1/s; 0 outside the brain mask."""
    csf_mask: Array
    """(x, y, z) bool; empty where none was found."""
    csf_found: bool
    warnings: tuple[str, ...] = ()

    @property
    def csf(self) -> Array | None:
        """The fluid, None where none was found."""
        return self.csf_mask if self.csf_found else None
