"""How far to trust each voxel's field: voxels whose echoes do not follow the model count as noisier.

Next to strong sources the signal of one voxel is a mixture of many fields; its fitted field can be wrong by far
more than its noise says, and a few such voxels spoil a whole map. The fit's own residual tells them.
"""

from typing import Any, Literal

from pydantic import Field

from qsm_recon.qsm import backend
from qsm_recon.qsm.parameters import Params
from qsm_recon.qsm.scan import FieldFit

Array = Any


class FieldMappingMethodParams(Params):
    """What every method of this stage has."""

    misfit_limit: float = Field(default=2.0, ge=0, le=100)
    """Voxels whose residual exceeds this many times the brain's median count as noisier, by the square of the excess.
    0 leaves the noise as it is."""
    offset: Literal["free", "smooth"] = "free"
    """The phase at echo time zero. free: fitted in each voxel. smooth: averaged over millimetres once the slope is
    unwrapped, which halves the noise of few echoes (`smooth_offset`)."""
    offset_smoothing_mm: float = Field(default=3.0, gt=0, le=30)
    """Standard deviation of that average, mm."""


def reliable_noise(fit: FieldFit, mask: Array, misfit_limit: float) -> Array:
    """Standard deviation of the slope, raised where the echoes do not follow the model.

    Parameters
    ----------
    fit
        Noise (rad) and residual, (x, y, z).
    mask
        (x, y, z) bool; the median residual is taken here.
    misfit_limit
        Multiple of that median from which on the noise grows; 0 switches this off.

    Returns
    -------
    (x, y, z) float32, rad: noise * max(1, residual / (limit * median))^2. Unchanged where the echoes leave no residual
    (two of them); being relative to its own median, the residual needs no exact knowledge of the image noise.
    """
    xp = backend.namespace(fit.noise_rad)
    inside = fit.residual[mask & xp.isfinite(fit.noise_rad)]
    median = float(xp.median(inside)) if inside.size else 0.0
    if misfit_limit == 0 or median == 0:
        return fit.noise_rad
    excess = xp.maximum(fit.residual / xp.float32(misfit_limit * median), xp.float32(1))
    return (fit.noise_rad * excess**2).astype(xp.float32)
