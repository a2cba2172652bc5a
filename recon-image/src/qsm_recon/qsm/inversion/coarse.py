"""The same inversion on a grid of half the resolution: where a costly one starts.

An iteration there costs an eighth, and the large shapes, which conjugate gradients find last on the full grid, are
small there.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from qsm_recon.qsm import backend
from qsm_recon.qsm.blocks import Factors, block_mean
from qsm_recon.qsm.inversion.problem import DipoleProblem

Array = Any


def factors(problem: DipoleProblem, below_mm: float) -> Factors:
    """By how much each axis is coarsened: 2 where voxels are smaller than `below_mm` (and the size is even), or 1."""
    x, y, z = (
        2 if h < below_mm and n % 2 == 0 else 1 for h, n in zip(problem.voxel_size_mm, problem.shape, strict=True)
    )
    return x, y, z


def coarsened(problem: DipoleProblem, by: Factors) -> DipoleProblem | None:
    """Means over blocks of voxels (of the field with its weights); None where no block with signal is all mask."""
    xp = problem.xp
    mask = block_mean(problem.mask, by) == 1
    noise = None
    field = block_mean(problem.field_ppm, by)
    if problem.noise_ppm is not None:
        usable = problem.mask & xp.isfinite(problem.noise_ppm) & (problem.noise_ppm > 0)
        weights = xp.where(usable, 1 / xp.where(usable, problem.noise_ppm, np.float32(1)) ** 2, np.float32(0))
        mean = block_mean(weights, by)
        signal = mean > 0
        divisor = xp.where(signal, mean, np.float32(1))
        field = xp.where(signal, block_mean(weights * problem.field_ppm, by) / divisor, np.float32(0))
        noise = xp.where(signal, 1 / xp.sqrt(divisor), np.float32(np.inf))
        if not bool((mask & signal).any()):
            return None
    if not bool(mask.any()):
        return None
    hx, hy, hz = (h * f for h, f in zip(problem.voxel_size_mm, by, strict=True))
    return replace(
        problem,
        field_ppm=xp.where(mask, field, np.float32(0)),
        mask=mask,
        noise_ppm=noise,
        magnitude=None if problem.magnitude is None else block_mean(problem.magnitude, by),
        csf_mask=None if problem.csf_mask is None else (block_mean(problem.csf_mask, by) > 0.5) & mask,
        voxel_size_mm=(hx, hy, hz),
    )


def refined(volume: Array, by: Factors) -> Array:
    """`volume` on the fine grid, linear between the centres of the blocks, periodic.

    Plain repetition leaves steps at the faces of the blocks, which the L1 norm then takes for edges.
    """
    for axis, factor in enumerate(by):
        if factor == 1:
            continue
        volume = _doubled(volume, axis)
    return volume


def _doubled(volume: Array, axis: int) -> Array:
    xp = backend.namespace(volume)
    near, far = volume.dtype.type(0.75), volume.dtype.type(0.25)
    lower = near * volume + far * xp.roll(volume, 1, axis)
    upper = near * volume + far * xp.roll(volume, -1, axis)
    shape = list(volume.shape)
    shape[axis] *= 2
    return xp.stack((lower, upper), axis=axis + 1).reshape(shape)
