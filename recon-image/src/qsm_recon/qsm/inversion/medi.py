"""Nonlinear morphology-enabled dipole inversion with automatic zero reference, MEDI+0.

    minimise  lambda |m (exp(i D x) - exp(i b))|^2 + |G grad x|_1 + lambda_csf / 2 |P x|^2

m: weights from the noise; G: 0 across edges of the magnitude; P: deviation from the mean over ventricular CSF.
Gauss-Newton outside, with the L1 norm reweighted; preconditioned conjugate gradients inside, four transforms each.
Where voxels are small it starts from the solution on a grid of half the resolution.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from pydantic import Field

from qsm_recon.errors import InputError
from qsm_recon.qsm import backend, units
from qsm_recon.qsm.inversion import coarse, data_term
from qsm_recon.qsm.inversion.objective import RAD_PER_PPM, Iterate, Objective
from qsm_recon.qsm.inversion.problem import DipoleProblem, DipoleSolution, InversionMethodParams
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.qsm.solvers import conjugate_gradient, portion
from qsm_recon.qsm.vector_spaces import HalfSpectra

Array = Any

MERIT_SPREAD = 6.0
"""Residuals beyond this many standard deviations lose weight (merit)."""

COARSE_SHARE = 0.25
"""Part of the work that a coarse start is reckoned to be, for the progress told."""

SHORTEST_STEP = 1 / 16
"""Gauss-Newton steps are halved down to this part before the iteration is given up."""


class MediParams(InversionMethodParams):
    """Nonlinear MEDI+0 (Liu J 2012, Liu T 2013, Liu Z 2018)."""

    method: Literal["medi"] = "medi"
    data_weight: float = Field(default=1000.0, gt=0, le=1e6)
    """lambda: weight of the data against the smoothness; the papers' lambda_1 is 1 / lambda."""
    csf_weight: float = Field(default=100.0, ge=0, le=1e6)
    """lambda_csf: weight of CSF homogeneity; the papers' lambda_2 is lambda_csf / lambda. 0 switches it off."""
    smv_radius_mm: float = Field(default=5.0, ge=0, le=20)
    """Radius of the spherical mean filter, mm; the mask loses a rim of this depth. 0 switches it off."""
    edge_fraction: float = Field(default=0.9, ge=0, le=2)
    """Gradient components left free at edges of the magnitude, in parts of the voxels (so of a third of them)."""
    noise_floor_ppb: float = Field(default=2.0, ge=0, le=100)
    """Added in quadrature to the noise, ppb, so that a few bright voxels do not rule; needs a noise map."""
    reference_noise_ppb: float = Field(default=2.0, ge=0, le=100)
    """Noise, ppb, at which `data_weight` holds: noisier fields get less of it in proportion (both weights, so that
    lambda_2 stays). 0 keeps the weights whatever the noise, as published."""
    merit: bool = False
    """After each outer iteration take weight from voxels that do not fit."""
    outer_iterations: int = Field(default=4, ge=1, le=100)
    """Most Gauss-Newton iterations on the grid where the inversion starts."""
    coarse_below_mm: float = Field(default=2.0, ge=0, le=20)
    """Start on a grid where axes with voxels smaller than this are halved, mm. 0 starts from nothing on the full
    grid."""
    refining_iterations: int = Field(default=2, ge=1, le=100)
    """Most Gauss-Newton iterations on the full grid after a coarse start."""
    outer_tolerance: float = Field(default=0.01, ge=0, lt=1)
    """Stop where a step is smaller than this part of the solution; 0 runs to the cap."""
    inner_iterations: int = Field(default=25, ge=1, le=1000)
    """Most conjugate-gradient iterations within one Gauss-Newton iteration."""
    inner_tolerance: float = Field(default=0.01, ge=0, lt=1)
    """Relative residual at which the inner iterations stop."""

    def room_mm(self) -> float:
        """At least the radius of the filter."""
        return max(self.padding_mm, self.smv_radius_mm)


def medi(problem: DipoleProblem, params: MediParams, progress: Progress = silent) -> DipoleSolution:
    """Susceptibility by nonlinear MEDI+0, not yet referenced.

    A Gauss-Newton step that raises the cost is halved until it lowers it; where no step does, the last solution
    stands. Both are said in the warnings.

    Raises
    ------
    InputError
        `NoMagnitude` where edges are wanted and no magnitude was given; `MaskTooSmall` where the filter leaves
        nothing; `NoSignal` where nothing with signal is left.

    References
    ----------
    Liu J et al. 2012, doi:10.1016/j.neuroimage.2011.08.082; Liu T et al. 2013, doi:10.1002/mrm.24272;
    Liu Z et al. 2018, doi:10.1002/mrm.26946.
    """
    by = coarse.factors(problem, params.coarse_below_mm)
    small = None if by == (1, 1, 1) else coarse.coarsened(problem, by)
    if small is None or not data_term.filter_fits(small, params.smv_radius_mm):
        return _minimise(_set_up(problem, params), params, params.outer_iterations, progress)
    first = _minimise(_set_up(small, params), params, params.outer_iterations, portion(progress, 0, COARSE_SHARE))
    setup = _set_up(problem, params)
    del problem, small  # its volumes: nothing reads them from here on, and here memory is scarcest
    rest = portion(progress, COARSE_SHARE, 1)
    found = _minimise(setup, params, params.refining_iterations, rest, lambda: coarse.refined(first.chi_ppm, by))
    return replace(found, iterations=first.iterations + found.iterations)


@dataclass(frozen=True)
class _Setup:
    """What the iteration needs, and no more: the problem's own volumes can go."""

    objective: Objective
    reweigh: Callable[[Iterate], None] | None
    """Takes weight from voxels that do not fit; None where that is not asked for."""
    warnings: tuple[str, ...]


def _set_up(problem: DipoleProblem, params: MediParams) -> _Setup:
    filtered = data_term.spherical_mean_filter(problem, params.smv_radius_mm)
    median = data_term.median_noise(problem, filtered.mask)
    noise = data_term.relative_noise(problem, median)
    floor = 0.0 if problem.noise_ppm is None else params.noise_floor_ppb / units.PPB_PER_PPM / median
    smooth = _smooth_directions(problem, filtered.mask, params)
    trust = _trust(problem, params, median)
    objective = Objective(problem, filtered, smooth, params.data_weight * trust, params.csf_weight * trust)
    objective.weigh(data_term.data_weights(noise, filtered, floor))
    warnings = _input_warnings(problem, filtered, objective, params)
    if not params.merit:
        return _Setup(objective, None, tuple(warnings))

    def reweigh(state: Iterate) -> None:
        nonlocal noise
        noise = _demerited(objective, state, noise)
        objective.weigh(data_term.data_weights(noise, filtered, floor))

    return _Setup(objective, reweigh, tuple(warnings))


def _minimise(
    setup: _Setup,
    params: MediParams,
    outer_iterations: int,
    progress: Progress,
    start: Callable[[], Array] | None = None,
) -> DipoleSolution:
    """Gauss-Newton from what `start` gives (susceptibility, ppm; a call, so that nobody else holds it), or 0."""
    objective = setup.objective
    shape, xp = objective.shape, objective.xp
    state = Iterate(xp.zeros(shape, dtype=xp.float32), xp.zeros(shape, dtype=xp.float32))
    if start is not None:
        state = objective.iterate(backend.rfftn(start() * np.float32(RAD_PER_PPM)))
    cost, weights = objective.cost(state), None
    warnings = list(setup.warnings)
    iterations, shortened = 0, 0
    for outer in range(outer_iterations):
        part = portion(progress, outer / outer_iterations, (outer + 1) / outer_iterations)
        weights = objective.gradient_weights(state.x, weights)
        solution = conjugate_gradient(
            partial(objective.curvature, weights=weights),
            objective.descent(state, weights),
            iterations=params.inner_iterations,
            tolerance=params.inner_tolerance,
            space=HalfSpectra(shape[2], objective.preconditioner(weights)),
            progress=part,
        )
        iterations += solution.iterations
        step = objective.iterate(solution.x)
        del solution
        length, moved, cost = _longest_step(objective, state, step, cost)
        if length == 0:
            warnings.append(
                f"InversionStalled: no step of outer iteration {outer + 1} lowers the cost; the map is that of "
                f"iteration {outer}."
            )
            break
        shortened += length < 1
        state = moved
        if setup.reweigh is not None and outer + 1 < outer_iterations:
            setup.reweigh(state)
            cost = objective.cost(state)
        if length * _norm(step.x) <= params.outer_tolerance * _norm(state.x):
            break
    if shortened:
        warnings.append(f"InversionStepsShortened: {shortened} outer iterations would have raised the cost.")
    progress(1.0)
    return DipoleSolution(state.x / np.float32(RAD_PER_PPM), objective.mask, iterations, tuple(warnings))


def _trust(problem: DipoleProblem, params: MediParams, median: float) -> float:
    """Factor on the weight of the data, from the field's noise (`median`, ppm) and the declared floor.

    With Gaussian noise the best weight falls with the noise; in proportion is what simulated heads ask for
    (docs/adr/0009).
    """
    if problem.noise_ppm is None or params.reference_noise_ppb == 0:
        return 1.0
    noise_ppb = math.hypot(median * units.PPB_PER_PPM, params.noise_floor_ppb)
    return params.reference_noise_ppb / noise_ppb


def _smooth_directions(problem: DipoleProblem, mask: Array, params: MediParams) -> Array:
    if params.edge_fraction == 0:
        return problem.xp.ones((3, *problem.shape), dtype=bool)
    if problem.magnitude is None:
        raise InputError("NoMagnitude", "MEDI takes edges from the magnitude, and no magnitude was given.")
    return data_term.smooth_directions(problem.magnitude, mask, problem.voxel_size_mm, params.edge_fraction)


def _longest_step(objective: Objective, state: Iterate, step: Iterate, before: float) -> tuple[float, Iterate, float]:
    """Largest of 1, 1/2, 1/4, ... of the step that lowers the cost `before`, where it leads and the cost there.

    Part 0 where none down to the shortest does.
    """
    length = 1.0
    while length >= SHORTEST_STEP:
        moved = state.moved(step, length)
        after = objective.cost(moved)
        if math.isfinite(after) and after < before:
            return length, moved, after
        length /= 2
    return 0.0, state, before


def _demerited(objective: Objective, state: Iterate, noise: Array) -> Array:
    """Noise raised where the complex residual is beyond six standard deviations (model error reduction)."""
    xp, mask = objective.xp, objective.mask
    theta, b = state.phase[mask], objective.measured[mask]
    m = xp.sqrt(objective.squared_weights[mask])
    residual = m * (xp.exp(1j * theta) - xp.exp(1j * b))
    residual = residual - residual.mean(dtype=xp.complex128).astype(residual.dtype)
    size = xp.abs(residual)
    spread = float(xp.sqrt(xp.mean(size * size, dtype=xp.float64)))
    if spread == 0:
        return noise
    excess = xp.maximum(size / np.float32(MERIT_SPREAD * spread), np.float32(1))
    raised = noise.copy()
    raised[mask] *= excess * excess
    return raised


def _norm(volume: Array) -> float:
    xp = backend.namespace(volume)
    return math.sqrt(float(xp.sum(volume * volume, dtype=xp.float64)))


def _input_warnings(
    problem: DipoleProblem, filtered: data_term.FilteredProblem, objective: Objective, params: MediParams
) -> list[str]:
    warnings = []
    if problem.noise_ppm is None:
        warnings.append("UniformWeights: no noise map was given, so every voxel weighs the same in the inversion.")
    if filtered.ball is not None:
        lost = 1 - int(filtered.mask.sum()) / int(problem.mask.sum())
        warnings.append(
            f"MaskEroded: the spherical mean filter of MEDI has no value within {params.smv_radius_mm:g} mm of the "
            f"rim: {100 * lost:.1f} % of the mask."
        )
    if params.csf_weight > 0 and objective.csf is None:
        warnings.append("NoCsfTerm: no ventricular CSF inside the mask, so the inversion ran without its CSF term.")
    return warnings
