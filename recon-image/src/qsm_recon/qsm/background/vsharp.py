"""V-SHARP: a harmonic field equals its mean over any ball inside the mask, so f - mean(f) holds no background.

Deep inside a large ball removes most and keeps most of the local field; near the rim only small balls fit.
"""

from typing import Literal

from pydantic import Field

from qsm_recon.errors import InputError
from qsm_recon.qsm import backend, kernels
from qsm_recon.qsm.background.problem import BackgroundMethodParams, BackgroundProblem, BackgroundResult
from qsm_recon.qsm.progress import Progress, silent

INSIDE = 1 - 1e-5
"""A ball is inside the mask where its mean exceeds this: above float32 FFT rounding, below one sub-voxel's part."""


class VsharpParams(BackgroundMethodParams):
    """Variable-radius spherical mean value filtering (Li 2011)."""

    method: Literal["vsharp"] = "vsharp"
    largest_radius_mm: float = Field(default=12.0, gt=0, le=40)
    """Radius used where it fits, mm."""
    smallest_radius_mm: float = Field(default=2.0, gt=0, le=40)
    """Radius below which the rim is given up, mm; raised to the largest voxel edge where that is larger."""
    step_mm: float = Field(default=1.0, gt=0, le=10)
    """Step between radii, mm."""
    threshold: float = Field(default=0.05, gt=0, lt=1)
    """Spatial frequencies that the largest ball keeps by less than this are not restored."""

    def room_mm(self) -> float:
        """At least the largest radius."""
        return max(self.padding_mm, self.largest_radius_mm)


def vsharp(problem: BackgroundProblem, params: VsharpParams, progress: Progress = silent) -> BackgroundResult:
    """Local field by V-SHARP; the mask shrinks by the smallest radius.

    Raises
    ------
    InputError
        `MaskTooSmall` where no ball of the smallest radius fits the mask.

    References
    ----------
    Schweser et al. 2011, doi:10.1016/j.neuroimage.2010.10.070 (SHARP); Li, Wu and Liu 2011,
    doi:10.1016/j.neuroimage.2010.11.088.
    """
    xp = problem.xp
    smallest = max(params.smallest_radius_mm, *problem.voxel_size_mm)
    count = max(0, int((params.largest_radius_mm - smallest) / params.step_mm + 1e-9)) + 1
    radii = [smallest + i * params.step_mm for i in reversed(range(count))]
    field_spectrum = backend.rfftn(problem.field_ppm)
    mask_spectrum = backend.rfftn(problem.mask.astype(xp.float32))
    filtered = xp.zeros_like(problem.field_ppm)
    done = xp.zeros_like(problem.mask)
    largest_kernel = None
    for i, radius in enumerate(radii):
        if not kernels.ball_fits(problem.shape, problem.voxel_size_mm, radius):
            continue  # wider than the grid, so wider than the mask
        ball = kernels.harmonic_mean_kernel(problem.shape, problem.voxel_size_mm, radius, xp)
        inside = problem.mask & (backend.irfftn(ball * mask_spectrum, problem.shape) > INSIDE)
        if largest_kernel is None and bool(inside.any()):
            largest_kernel = 1 - ball
        new = inside & ~done
        if bool(new.any()):
            filtered = xp.where(new, backend.irfftn((1 - ball) * field_spectrum, problem.shape), filtered)
        done |= inside
        progress((i + 1) / (len(radii) + 1))
    if largest_kernel is None:
        raise InputError("MaskTooSmall", f"No ball of {smallest:g} mm fits inside the mask.")
    kept = xp.abs(largest_kernel) >= params.threshold
    inverse = xp.where(kept, 1 / xp.where(kept, largest_kernel, 1), 0).astype(xp.float32)
    local = kernels.convolve(filtered, inverse) * done
    lost = 1 - int(done.sum()) / int(problem.mask.sum())
    warning = f"MaskEroded: V-SHARP has no value within {smallest:g} mm of the rim: {100 * lost:.1f} % of the mask."
    progress(1.0)
    return BackgroundResult(local, done, (warning,))
