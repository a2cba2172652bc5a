"""RESHARP: the local field whose spherical mean filtered form is the data's, and which is small besides.

    minimise  sum over M of |(delta - S) * (f - l)|^2  +  lambda |l|^2

S is the mean over a ball, M the voxels whose ball lies inside the mask: there (delta - S) takes any background to zero.
SHARP divides by delta - S once and cuts off the frequencies that it nearly loses; here they are damped by lambda
instead, and the field beyond M is free to be what the data inside ask for.

The iteration lives on the spectrum of l, where delta - S is diagonal: one pair of transforms each, for forward
and adjoint operator together.
"""

from typing import Any, Literal

import numpy as np
from pydantic import Field

from qsm_recon.errors import InputError
from qsm_recon.qsm import backend, kernels
from qsm_recon.qsm.background.problem import BackgroundMethodParams, BackgroundProblem, BackgroundResult
from qsm_recon.qsm.background.vsharp import INSIDE
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.qsm.solvers import conjugate_gradient, portion
from qsm_recon.qsm.vector_spaces import HalfSpectra

Array = Any


class ResharpParams(BackgroundMethodParams):
    """Regularisation enabled SHARP (Sun and Wilman 2014)."""

    method: Literal["resharp"] = "resharp"
    radius_mm: float = Field(default=6.0, gt=0, le=40)
    """Radius of the ball, mm; raised to the largest voxel edge where that is larger. The mask shrinks by it."""
    regularization: float = Field(default=1e-4, gt=0, le=1)
    """lambda, without unit: shapes of the local field that the filter keeps by less than its root are given up."""
    iterations: int = Field(default=30, ge=1, le=1000)
    """Most iterations of conjugate gradients."""
    tolerance: float = Field(default=1e-4, ge=0, lt=1)
    """Stop where the relative residual of the normal equations falls below this (free of units): after about a dozen
    iterations. What is not found by then the filter has nearly lost, and more iterations find background in it."""

    def room_mm(self) -> float:
        """At least the radius."""
        return max(self.padding_mm, self.radius_mm)


def resharp(problem: BackgroundProblem, params: ResharpParams, progress: Progress = silent) -> BackgroundResult:
    """Local field by RESHARP; the mask shrinks by the radius.

    Raises
    ------
    InputError
        `MaskTooSmall` where no ball fits the mask.

    References
    ----------
    Sun and Wilman, MRM 2014, doi:10.1002/mrm.24765.
    """
    xp, shape = problem.xp, problem.shape
    radius = max(params.radius_mm, *problem.voxel_size_mm)
    too_small = InputError("MaskTooSmall", f"No ball of {radius:g} mm fits inside the mask.")
    if not kernels.ball_fits(shape, problem.voxel_size_mm, radius):
        raise too_small
    ball = kernels.harmonic_mean_kernel(shape, problem.voxel_size_mm, radius, xp)
    inside = problem.mask & (kernels.convolve(problem.mask.astype(xp.float32), ball) > INSIDE)
    if not bool(inside.any()):
        raise too_small
    high_pass = 1 - ball
    weight = np.float32(params.regularization)
    spectrum = xp.empty(high_pass.shape, dtype=xp.complex64)

    def filtered_inside(field: Array) -> Array:
        """Spectrum of (delta - S) M (delta - S) l from that of l, which is left alone."""
        xp.multiply(field, high_pass, out=spectrum)
        volume = backend.irfftn(spectrum, shape)
        volume *= inside
        image = backend.rfftn(volume)
        image *= high_pass
        return image

    def normal(field: Array) -> Array:
        image = filtered_inside(field)
        xp.multiply(field, weight, out=spectrum)
        image += spectrum
        return image

    share = np.float32(float(inside.mean()))
    solution = conjugate_gradient(
        normal,
        filtered_inside(backend.rfftn(problem.field_ppm)),
        iterations=params.iterations,
        tolerance=params.tolerance,
        space=HalfSpectra(shape[2], 1 / (share * high_pass * high_pass + weight)),
        progress=portion(progress, 0, 0.99),
    )
    local = backend.irfftn(solution.x, shape) * inside
    lost = 1 - int(inside.sum()) / int(problem.mask.sum())
    warning = f"MaskEroded: RESHARP has no value within {radius:g} mm of the rim: {100 * lost:.1f} % of the mask."
    progress(1.0)
    return BackgroundResult(local, inside, (warning,))
