"""Projection onto dipole fields: the background is whatever dipoles outside the mask can explain.

The fit min |W (f - D x)| over sources x outside the mask is badly conditioned, and conjugate gradients on the full
grid creep. Most of the field is smooth, so it is fitted first on a grid of half the resolution, where an iteration
costs an eighth; a few iterations on the full grid, started from there, finish the rim.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field

from qsm_recon.qsm import kernels
from qsm_recon.qsm.background.problem import BackgroundMethodParams, BackgroundProblem, BackgroundResult
from qsm_recon.qsm.blocks import Factors, block_mean
from qsm_recon.qsm.least_squares import least_squares
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.qsm.solvers import portion

Array = Any

RELIABLE_NOISE_FACTOR = 2.0
"""Voxels up to this many times the median noise count fully with `weighting="reliability"`."""


class PdfParams(BackgroundMethodParams):
    """Projection onto dipole fields (Liu 2011)."""

    method: Literal["pdf"] = "pdf"
    weighting: Literal["snr", "reliability", "uniform"] = "snr"
    """snr: data weigh with 1 / noise^2, as published. reliability: all count alike but voxels noisier than twice the
    median, which converges faster. uniform: the mask alone."""
    coarse_iterations: int = Field(default=60, ge=0, le=1000)
    """Iterations on the grid of half the resolution (axes with voxels under 2 mm)."""
    iterations: int = Field(default=10, ge=1, le=5000)
    """Iterations on the full grid."""
    tolerance: float = Field(default=1e-3, ge=0, lt=1)
    """Stop where the relative residual of the normal equations falls below this (free of units)."""
    coarse_below_mm: float = Field(default=2.0, gt=0, le=20)
    """Axes with voxels smaller than this are halved on the coarse grid, mm."""


@dataclass(frozen=True)
class _Level:
    """The projection on one grid."""

    field_ppm: Array
    weights: Array
    """(x, y, z) float32 W^2, the data weights squared: 0 outside the mask."""
    outside: Array
    """(x, y, z) bool: where sources may lie."""
    dipole: Array


def pdf(problem: BackgroundProblem, params: PdfParams, progress: Progress = silent) -> BackgroundResult:
    """Local field: the total field less the best fit by dipoles outside the mask.

    References
    ----------
    Liu T et al., NMR Biomed 2011, doi:10.1002/nbm.1670.
    """
    weights, warnings = _data_weights(problem, params.weighting)
    dipole = problem.dipole()
    fine = _Level(problem.field_ppm, weights, ~problem.mask, dipole)
    fx, fy, fz = (2 if h < params.coarse_below_mm else 1 for h in problem.voxel_size_mm)
    factors = fx, fy, fz
    start = None
    if params.coarse_iterations:
        coarse = _coarse_level(problem, weights, factors)
        sources, _ = _project(coarse, params.coarse_iterations, params.tolerance, None, portion(progress, 0, 0.5))
        for axis, factor in enumerate(factors):
            sources = sources.repeat(factor, axis=axis)
        start = sources * fine.outside
    _, left = _project(fine, params.iterations, params.tolerance, start, portion(progress, 0.5, 1))
    local = left * problem.mask
    progress(1.0)
    return BackgroundResult(local, problem.mask, warnings)


def _data_weights(problem: BackgroundProblem, weighting: str) -> tuple[Array, tuple[str, ...]]:
    """W^2 with mean 1 over the mask, 0 outside it and where there is no signal."""
    xp, mask = problem.xp, problem.mask
    if weighting == "uniform":
        return mask.astype(xp.float32), ()
    if problem.noise_ppm is None:
        text = "UniformWeights: no noise map was given, so every voxel weighs the same in the background removal."
        return mask.astype(xp.float32), (text,)
    noise = problem.noise_ppm
    usable = mask & xp.isfinite(noise) & (noise > 0)
    floor = xp.median(noise[usable])
    safe = xp.where(usable, noise, floor)
    relative = safe / floor
    if weighting == "reliability":
        relative = xp.maximum(relative / RELIABLE_NOISE_FACTOR, 1)
    weights = xp.where(usable, 1 / relative**2, np.float32(0))
    weights *= np.float32(1 / float(weights[mask].mean(dtype=xp.float64)))
    return weights, ()


def _coarse_level(problem: BackgroundProblem, weights: Array, factors: Factors) -> _Level:
    """The same projection on blocks: data where a block is all mask, sources where it is all outside."""
    mean_mask = block_mean(problem.mask, factors)
    mean_weights = block_mean(weights, factors)
    data = (mean_mask == 1) & (mean_weights > 0)
    xp = problem.xp
    field = block_mean(weights * problem.field_ppm, factors) / xp.where(data, mean_weights, 1)
    nx, ny, nz = mean_mask.shape
    hx, hy, hz = (h * f for h, f in zip(problem.voxel_size_mm, factors, strict=True))
    dipole = kernels.dipole_kernel((nx, ny, nz), (hx, hy, hz), problem.b0_direction, xp)
    return _Level(field * data, mean_weights * data, mean_mask == 0, dipole)


def _project(
    level: _Level, iterations: int, tolerance: float, start: Array | None, progress: Progress
) -> tuple[Array, Array]:
    """Sources outside the mask that explain the field best, and what of the field they leave."""

    def forward(sources: Array) -> Array:
        return kernels.convolve(sources, level.dipole)

    def adjoint(data: Array) -> Array:
        sources = kernels.convolve(data, level.dipole)
        sources *= level.outside
        return sources

    return least_squares(
        forward,
        adjoint,
        level.field_ppm,
        level.weights,
        iterations=iterations,
        tolerance=tolerance,
        start=start,
        progress=progress,
    )
