"""Laplacian boundary value: the background is the harmonic function that agrees with the field at the mask's rim.

    minus Laplacian of l = minus Laplacian of f inside,  l = 0 at the rim and beyond

The rim is the outermost layer of voxels: those with a neighbour outside the mask (of six). Nothing is assumed of
sources, of B0 or of distances, so the result is right up to the rim, as far as the local field is small there;
what it is there, error included, is taken for background and reaches inwards about as far as it reaches along the rim.
Inside, a wrong voxel stays where it is.
"""

from typing import Any, Literal

import numpy as np
from pydantic import Field

from qsm_recon.errors import InputError
from qsm_recon.qsm import backend
from qsm_recon.qsm.background.problem import BackgroundProblem, BackgroundResult
from qsm_recon.qsm.multigrid import Poisson, ends
from qsm_recon.qsm.parameters import Params
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.qsm.solvers import conjugate_gradient, portion
from qsm_recon.qsm.vector_spaces import Volumes

Array = Any


class LbvParams(Params):
    """Laplacian boundary value (Zhou 2014)."""

    method: Literal["lbv"] = "lbv"
    peel: int = Field(default=0, ge=0, le=20)
    """Layers of voxels taken off the mask first, where the phase at its rim is not to be trusted; 1 with voxels over
    2 mm, for right beside outer sources the field is not harmonic on so coarse a grid."""
    tolerance: float = Field(default=1e-5, ge=0, lt=1)
    """Stop where the residual of Poisson's equation falls below this part of its right-hand side (free of units)."""
    iterations: int = Field(default=50, ge=1, le=1000)
    """Most iterations; about eight are needed, whatever the number of voxels."""

    def room_mm(self) -> float:
        """None: nothing outside the mask is looked at."""
        return 0.0


def lbv(problem: BackgroundProblem, params: LbvParams, progress: Progress = silent) -> BackgroundResult:
    """Local field as the solution of Poisson's equation; the mask loses its rim and what was peeled.

    Voxels of the rim without signal are no boundary: they are taken off, and what lies behind them is the rim.

    Raises
    ------
    InputError
        `MaskTooSmall` where nothing is left inside the rim.

    References
    ----------
    Zhou et al., NMR Biomed 2014, doi:10.1002/nbm.3064.
    """
    mask = problem.mask
    for _ in range(params.peel):
        mask = _within(mask)
    mask = _with_signal_at_the_rim(problem, mask)
    inside = _within(mask)
    if not bool(inside.any()):
        raise InputError(
            "MaskTooSmall", f"No voxel is left inside the rim of the mask (peel {params.peel}, and rim without signal)."
        )
    poisson = Poisson(inside, problem.voxel_size_mm)
    solution = conjugate_gradient(
        poisson.apply,
        _minus_laplacian(problem.field_ppm, inside, problem.voxel_size_mm),
        iterations=params.iterations,
        tolerance=params.tolerance,
        space=Volumes(poisson.cycle),
        progress=portion(progress, 0, 0.99),
    )
    lost = 1 - int(inside.sum()) / int(problem.mask.sum())
    warnings = [f"MaskEroded: LBV has no value in the outermost voxels of the mask: {100 * lost:.1f} % of it."]
    if params.tolerance > 0 and not solution.converged:
        warnings.append(
            f"BackgroundUnfinished: LBV stopped after {solution.iterations} iterations with a residual of "
            f"{solution.relative_residual:.1g}; {params.tolerance:g} was asked."
        )
    progress(1.0)
    return BackgroundResult(solution.x, inside, tuple(warnings))


def _within(mask: Array) -> Array:
    """Voxels of `mask` whose six neighbours are in it too; there is nothing in it beyond the grid."""
    inside = mask.copy()
    for axis in range(3):
        first, last = (tuple(end if a == axis else slice(None) for a in range(3)) for end in (0, -1))
        lower, upper = ends(axis)
        inside[lower] &= mask[upper]
        inside[upper] &= mask[lower]
        inside[first] = False
        inside[last] = False
    return inside


def _with_signal_at_the_rim(problem: BackgroundProblem, mask: Array) -> Array:
    """`mask` without what has no signal, from the outside inwards until its whole rim has."""
    if problem.noise_ppm is None:
        return mask
    usable = problem.xp.isfinite(problem.noise_ppm) & (problem.noise_ppm > 0)
    while True:
        kept = mask & (usable | _within(mask))
        if bool((kept == mask).all()):
            return mask
        mask = kept


def _minus_laplacian(field_ppm: Array, inside: Array, voxel_size_mm: tuple[float, float, float]) -> Array:
    """Minus the 7-point Laplacian (ppm/mm^2) in the voxels `inside`, all of whose neighbours have a value; 0 elsewhere.

    Neighbours are subtracted first: the field is far larger than its curvature.
    """
    xp = backend.namespace(field_ppm)
    total = xp.zeros_like(field_ppm)
    for axis, h in enumerate(voxel_size_mm):
        lower, upper = ends(axis)
        step = (field_ppm[upper] - field_ppm[lower]) * np.float32(1 / h**2)
        total[lower] -= step
        total[upper] += step
    total *= inside
    return total
