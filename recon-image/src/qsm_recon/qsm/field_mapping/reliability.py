"""How far to trust each voxel's field: voxels whose echoes do not follow the model count as noisier.

Next to strong sources the signal of one voxel is a mixture of many fields; its fitted field can be wrong by far
more than its noise says, and a few such voxels spoil a whole map. The fit's own residual tells them.
"""

from typing import Any, Literal

import numpy as np
from pydantic import Field

from qsm_recon.qsm import backend
from qsm_recon.qsm.compiling import in_runs
from qsm_recon.qsm.parameters import Params
from qsm_recon.qsm.scan import FieldFit

Array = Any


class FieldMappingMethodParams(Params):
    """What every method of this stage has."""

    misfit_limit: float = Field(default=2.0, ge=0, le=100)
    """Voxels whose residual exceeds this many times the brain's median count as noisier.
    0 leaves the noise as it is."""
    misfit_power: float = Field(default=2.0, ge=0, le=8)
    """Power of that excess with which the noise grows."""
    offset: Literal["free", "smooth"] = "free"
    """The phase at echo time zero. free: fitted in each voxel. smooth: averaged over millimetres once the slope is
    unwrapped, which halves the noise of few echoes (`smooth_offset`)."""
    offset_smoothing_mm: float = Field(default=3.0, gt=0, le=30)
    """Standard deviation of that average, mm."""
    curvature_limit: float = Field(default=0.0, ge=0, le=100)
    """Standard deviations from which on a phase that bends over three or more echoes, as that of a voxel with two
    tissues, counts with the slope of its start. 0: never. Needs the smooth offset."""


def reliable_noise(fit: FieldFit, mask: Array, misfit_limit: float, power: float = 2.0) -> Array:
    """Standard deviation of the slope, raised where the echoes do not follow the model.

    Parameters
    ----------
    fit
        Noise (rad) and residual, (x, y, z).
    mask
        (x, y, z) bool; the median residual is taken here.
    misfit_limit
        Multiple of that median from which on the noise grows; 0 switches this off.
    power
        Of the excess over that limit, by which the noise is multiplied.

    Returns
    -------
    (x, y, z) float32, rad: noise * max(1, residual / (limit * median))^power. Unchanged where there is no residual
    (two of them); being relative to its own median, the residual needs no exact knowledge of the image noise.
    """
    limit = residual_limit(fit, mask, misfit_limit)
    if limit is None:
        return fit.noise_rad
    noise, residual = fit.noise_rad.reshape(-1), fit.residual.reshape(-1)
    raised = backend.namespace(noise).empty(noise.shape, dtype=np.float32)

    def fill(run: slice) -> None:
        raised[run] = raised_noise(noise[run], residual[run], limit, power)

    in_runs(raised, raised.size, fill)
    return raised.reshape(fit.noise_rad.shape)


def residual_limit(fit: FieldFit, mask: Array, misfit_limit: float) -> float | None:
    """Residual from which on noise grows: `misfit_limit` medians over `mask`; None where there is none."""
    xp = backend.namespace(fit.noise_rad)
    inside = fit.residual[mask & xp.isfinite(fit.noise_rad)]
    median = float(xp.median(inside)) if inside.size else 0.0
    return None if misfit_limit == 0 or median == 0 else misfit_limit * median


def raised_noise(noise: Array, residual: Array, limit: float | None, power: float = 2.0) -> Array:
    """Values of `noise` with the growth that `residual` asks for, float32; any shape."""
    if limit is None:
        return noise
    xp = backend.namespace(noise)
    excess = xp.maximum(residual / xp.float32(limit), xp.float32(1))
    return (noise * excess ** xp.float32(power)).astype(xp.float32)
