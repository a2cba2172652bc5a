"""MEDI's data: spherical mean filter, weights from the noise, edges from the magnitude."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from qsm_recon.errors import InputError
from qsm_recon.qsm import backend, kernels
from qsm_recon.qsm.inversion.problem import DipoleProblem

Array = Any

BALL_INSIDE = 0.999
"""A ball counts as inside the mask where its mean over the mask exceeds this (Liu Z 2018)."""

NOISE_CAP = 30.0
"""Noise of voxels without signal, in medians over the mask, when noise is averaged over a ball."""


@dataclass(frozen=True)
class FilteredProblem:
    """The problem after the spherical mean filter (or unchanged, radius 0)."""

    field_ppm: Array
    """(x, y, z) float32; 0 outside `mask`."""
    mask: Array
    """(x, y, z) bool, eroded by the radius."""
    kernel: Array
    """Half spectrum that takes chi to `field_ppm`: D, or (1 - S) D."""
    ball: Array | None
    """Half spectrum S of the spherical mean; None without filter."""


def spherical_mean_filter(problem: DipoleProblem, radius_mm: float) -> FilteredProblem:
    """Remove what is harmonic within `radius_mm` from field and kernel alike; the mask loses its rim.

    Raises
    ------
    InputError
        `MaskTooSmall` where no ball fits inside the mask.
    """
    dipole = problem.dipole()
    if radius_mm == 0:
        return FilteredProblem(problem.field_ppm, problem.mask, dipole, None)
    xp = problem.xp
    too_small = InputError("MaskTooSmall", f"No ball of {radius_mm:g} mm (SMV) fits inside the mask.")
    if not kernels.ball_fits(problem.shape, problem.voxel_size_mm, radius_mm):
        raise too_small
    ball = kernels.sphere_kernel(problem.shape, problem.voxel_size_mm, radius_mm, xp)
    mask = problem.mask & (kernels.convolve(problem.mask.astype(xp.float32), ball) > BALL_INSIDE)
    if not bool(mask.any()):
        raise too_small
    field = (problem.field_ppm - kernels.convolve(problem.field_ppm, ball)) * mask
    return FilteredProblem(field, mask, dipole * (1 - ball), ball)


def filter_fits(problem: DipoleProblem, radius_mm: float) -> bool:
    """Whether `spherical_mean_filter` leaves anything, with signal, of the problem's mask."""
    if radius_mm == 0:
        return True
    if not kernels.ball_fits(problem.shape, problem.voxel_size_mm, radius_mm):
        return False
    xp = problem.xp
    ball = kernels.sphere_kernel(problem.shape, problem.voxel_size_mm, radius_mm, xp)
    mask = problem.mask & (kernels.convolve(problem.mask.astype(xp.float32), ball) > BALL_INSIDE)
    if problem.noise_ppm is not None:
        mask &= xp.isfinite(problem.noise_ppm)
    return bool(mask.any())


def median_noise(problem: DipoleProblem, mask: Array) -> float:
    """Median noise over the voxels of `mask` that have signal; 1 where no noise is known.

    Raises
    ------
    InputError
        `NoSignal` where no voxel of `mask` has any.
    """
    if problem.noise_ppm is None:
        return 1.0
    xp = problem.xp
    noise = problem.noise_ppm
    usable = noise[mask & xp.isfinite(noise) & (noise > 0)]
    if usable.size == 0:
        raise InputError("NoSignal", "No voxel of the (eroded) mask has a finite, positive noise.")
    return float(xp.median(usable))


def relative_noise(problem: DipoleProblem, median: float) -> Array:
    """Noise in units of `median`, finite everywhere, 0 outside the problem's mask."""
    xp = problem.xp
    if problem.noise_ppm is None:
        return problem.mask.astype(xp.float32)
    noise = problem.noise_ppm
    usable = problem.mask & xp.isfinite(noise) & (noise > 0)
    relative = xp.where(usable, noise, np.float32(np.inf)) / np.float32(median)
    return xp.where(problem.mask, xp.minimum(relative, np.float32(NOISE_CAP)), np.float32(0)).astype(xp.float32)


def data_weights(noise: Array, filtered: FilteredProblem, floor: float) -> Array:
    """Weights m = 1 / noise with mean 1 over the mask, float32, 0 outside.

    With the filter the noise becomes sqrt(S * N^2 + N^2). `floor` (same unit as `noise`) is added in quadrature.
    """
    xp = backend.namespace(noise)
    weights = noise * noise
    if filtered.ball is not None:
        weights += xp.maximum(kernels.convolve(weights, filtered.ball), 0)
    weights += np.float32(floor**2)
    usable = filtered.mask & (weights > 0)
    weights[~usable] = np.inf
    xp.sqrt(weights, out=weights)
    xp.reciprocal(weights, out=weights)
    weights *= np.float32(1 / float(weights[filtered.mask].mean(dtype=xp.float64)))
    return weights


def smooth_directions(
    magnitude: Array, mask: Array, voxel_size_mm: tuple[float, float, float], edge_fraction: float
) -> Array:
    """Where chi should be smooth: (3, x, y, z) bool, False across the strongest edges of the magnitude.

    Of the three components of the gradient of (magnitude x mask), the `edge_fraction` x N strongest are edges,
    N being the voxels of the mask: 0.9 frees about 30 % of the components, not 90 %.
    """
    xp = backend.namespace(magnitude)
    steepness = xp.abs(kernels.gradient(magnitude * mask, voxel_size_mm))
    edges = round(edge_fraction * int(mask.sum()))
    if edges == 0:
        return xp.ones(steepness.shape, dtype=bool)
    flat = steepness.ravel()
    threshold = xp.partition(flat, flat.size - edges - 1)[flat.size - edges - 1]
    return steepness <= threshold
