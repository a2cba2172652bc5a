"""Nonlinear morphology-enabled dipole inversion with automatic zero reference, MEDI+0.

    minimise  lambda |m (exp(i D x) - exp(i b))|^2 + |G grad x|_1 + lambda_csf / 2 |P x|^2

m: weights from the noise; G: 0 across edges of the magnitude; P: deviation from the mean over ventricular CSF.
Gauss-Newton outside, with the L1 norm reweighted; preconditioned conjugate gradients inside. They run on the
spectrum of x: there D is diagonal, the preconditioner costs no transform, and an iteration needs four.
x and b are in radians of a fixed 3 T x 8 ms scan, so that lambda means the same at every field and echo spacing.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from pydantic import Field

from qsm_recon.errors import InputError
from qsm_recon.qsm import backend, kernels, units
from qsm_recon.qsm.inversion import data_term
from qsm_recon.qsm.inversion.problem import DipoleProblem, DipoleSolution, InversionMethodParams
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.qsm.solvers import conjugate_gradient, half_spectrum_inner, portion

Array = Any

RAD_PER_PPM = 1 / units.ppm_per_rad(8e-3, units.center_frequency_hz(3.0))
"""Internal unit: phase at 3 T after 8 ms, 6.42 rad per ppm, whatever the scan was."""

L1_SMOOTHING = 1e-6
"""(rad/mm)^2 added under the root of the L1 norm, which makes it differentiable."""

MERIT_SPREAD = 6.0
"""Residuals beyond this many standard deviations lose weight (merit)."""

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
    merit: bool = False
    """After each outer iteration take weight from voxels that do not fit."""
    outer_iterations: int = Field(default=4, ge=1, le=100)
    """Most Gauss-Newton iterations."""
    outer_tolerance: float = Field(default=0.01, ge=0, lt=1)
    """Stop where a step is smaller than this part of the solution; 0 runs to the cap."""
    inner_iterations: int = Field(default=25, ge=1, le=1000)
    """Most conjugate-gradient iterations within one Gauss-Newton iteration."""
    inner_tolerance: float = Field(default=0.01, ge=0, lt=1)
    """Relative residual at which the inner iterations stop."""

    def room_mm(self) -> float:
        """At least the radius of the filter."""
        return max(self.padding_mm, self.smv_radius_mm)


@dataclass
class _State:
    """The iterate: spectrum, volume and phase belong together."""

    spectrum: Array
    x: Array
    phase: Array

    def moved(self, step: "_State", part: float) -> "_State":
        t = np.float32(part)
        return _State(self.spectrum + t * step.spectrum, self.x + t * step.x, self.phase + t * step.phase)


class _Objective:
    """The cost, its gradient and its Gauss-Newton operator, all for given weights."""

    def __init__(self, problem: DipoleProblem, filtered: data_term.FilteredProblem, params: MediParams) -> None:
        self.xp = problem.xp
        self.voxel_size_mm = problem.voxel_size_mm
        self.shape = problem.shape
        self.kernel = filtered.kernel
        self.mask = filtered.mask
        self.measured = filtered.field_ppm * np.float32(RAD_PER_PPM)
        self.smooth = _smooth_directions(problem, filtered.mask, params)
        csf = None if problem.csf_mask is None else problem.csf_mask & filtered.mask
        self.csf = csf if csf is not None and bool(csf.any()) and params.csf_weight > 0 else None
        self.csf_weight = np.float32(params.csf_weight)
        self.twice_lambda = np.float32(2 * params.data_weight)
        self.weights = self.xp.zeros_like(self.measured)

    def cost(self, state: _State) -> float:
        """Value of the objective (L1 norm smoothed as in its gradient)."""
        xp = self.xp
        half = xp.sin((state.phase - self.measured) * np.float32(0.5)) * self.weights
        total = 2 * float(self.twice_lambda) * float(xp.sum(half * half, dtype=xp.float64))
        steepness = kernels.gradient(state.x, self.voxel_size_mm)
        steepness *= self.smooth
        total += float(xp.sum(xp.sqrt(steepness * steepness + np.float32(L1_SMOOTHING)), dtype=xp.float64))
        if self.csf is not None:
            deviation = self._csf_deviation(state.x)
            total += 0.5 * float(self.csf_weight) * float(xp.sum(deviation * deviation, dtype=xp.float64))
        return total

    def gradient_weights(self, x: Array) -> Array:
        """Quadratic weights (3, x, y, z) that stand for the L1 norm at x."""
        weights = kernels.gradient(x, self.voxel_size_mm)
        weights *= weights
        weights += np.float32(L1_SMOOTHING)
        self.xp.sqrt(weights, out=weights)
        self.xp.divide(self.smooth, weights, out=weights)
        return weights

    def descent(self, state: _State, weights: Array) -> Array:
        """Spectrum of minus the gradient."""
        force = self.xp.sin(state.phase - self.measured)
        force *= self.weights
        force *= self.weights
        data = backend.rfftn(force)
        data *= self.kernel
        data *= self.twice_lambda
        data += backend.rfftn(self._smoothness(state.x, weights))
        return -data

    def curvature(self, spectrum: Array, weights: Array) -> Array:
        """Gauss-Newton operator applied to a spectrum: four transforms."""
        field = backend.irfftn(spectrum * self.kernel, self.shape)
        field *= self.weights
        field *= self.weights
        result = backend.rfftn(field)
        result *= self.kernel
        result *= self.twice_lambda
        volume = backend.irfftn(spectrum.copy(), self.shape)
        result += backend.rfftn(self._smoothness(volume, weights))
        return result

    def preconditioner(self, weights: Array, symbol: Array) -> Array:
        """Inverse of the operator with every weight replaced by its mean: diagonal in k-space."""
        xp = self.xp
        mean_square = float(xp.mean(self.weights * self.weights, dtype=xp.float64))
        stiffness = float(sum(xp.sum(w[self.mask], dtype=xp.float64) for w in weights) / (3 * int(self.mask.sum())))
        data = float(self.twice_lambda) * mean_square
        return 1 / (
            np.float32(data) * self.kernel**2 + np.float32(stiffness) * symbol + np.float32(1e-3 * data + 1e-12)
        )

    def _smoothness(self, x: Array, weights: Array) -> Array:
        result = kernels.weighted_laplacian(x, weights, self.voxel_size_mm)
        if self.csf is not None:
            result[self.csf] += self.csf_weight * self._csf_deviation(x)
        return result

    def _csf_deviation(self, x: Array) -> Array:
        values = x[self.csf]
        return values - values.mean(dtype=self.xp.float64).astype(values.dtype)


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
    xp = problem.xp
    filtered = data_term.spherical_mean_filter(problem, params.smv_radius_mm)
    median = data_term.median_noise(problem, filtered.mask)
    noise = data_term.relative_noise(problem, median)
    floor = 0.0 if problem.noise_ppm is None else params.noise_floor_ppb / units.PPB_PER_PPM / median
    objective = _Objective(problem, filtered, params)
    objective.weights = data_term.data_weights(noise, filtered, floor)
    symbol = kernels.laplacian_symbol(problem.shape, problem.voxel_size_mm, xp)
    zero = xp.zeros(problem.shape, dtype=xp.float32)
    state = _State(backend.rfftn(zero), zero, zero.copy())
    dot = half_spectrum_inner(problem.shape[2])
    warnings = list(_input_warnings(problem, filtered, objective, params))
    iterations, shortened = 0, 0
    for outer in range(params.outer_iterations):
        part = portion(progress, outer / params.outer_iterations, (outer + 1) / params.outer_iterations)
        weights = objective.gradient_weights(state.x)
        inverse = objective.preconditioner(weights, symbol)
        solution = conjugate_gradient(
            partial(objective.curvature, weights=weights),
            objective.descent(state, weights),
            iterations=params.inner_iterations,
            tolerance=params.inner_tolerance,
            precondition=partial(xp.multiply, inverse),
            dot=dot,
            progress=part,
        )
        iterations += solution.iterations
        step = _State(
            solution.x,
            backend.irfftn(solution.x.copy(), problem.shape),
            backend.irfftn(solution.x * filtered.kernel, problem.shape),
        )
        length = _accepted_part(objective, state, step)
        if length == 0:
            warnings.append(
                f"InversionStalled: no step of outer iteration {outer + 1} lowers the cost; the map is that of "
                f"iteration {outer}."
            )
            break
        shortened += length < 1
        state = state.moved(step, length)
        if params.merit and outer + 1 < params.outer_iterations:
            noise = _demerited(objective, state, noise)
            objective.weights = data_term.data_weights(noise, filtered, floor)
        if length * _norm(step.x) <= params.outer_tolerance * _norm(state.x):
            break
    if shortened:
        warnings.append(f"InversionStepsShortened: {shortened} outer iterations would have raised the cost.")
    progress(1.0)
    return DipoleSolution(state.x / np.float32(RAD_PER_PPM), filtered.mask, iterations, tuple(warnings))


def _smooth_directions(problem: DipoleProblem, mask: Array, params: MediParams) -> Array:
    if params.edge_fraction == 0:
        return problem.xp.ones((3, *problem.shape), dtype=bool)
    if problem.magnitude is None:
        raise InputError("NoMagnitude", "MEDI takes edges from the magnitude, and no magnitude was given.")
    return data_term.smooth_directions(problem.magnitude, mask, problem.voxel_size_mm, params.edge_fraction)


def _accepted_part(objective: _Objective, state: _State, step: _State) -> float:
    """Largest of 1, 1/2, 1/4, ... of the step that lowers the cost; 0 where none down to the shortest does."""
    before = objective.cost(state)
    length = 1.0
    while length >= SHORTEST_STEP:
        after = objective.cost(state.moved(step, length))
        if math.isfinite(after) and after < before:
            return length
        length /= 2
    return 0.0


def _demerited(objective: _Objective, state: _State, noise: Array) -> Array:
    """Noise raised where the complex residual is beyond six standard deviations (model error reduction)."""
    xp, mask = objective.xp, objective.mask
    theta, b = state.phase[mask], objective.measured[mask]
    m = objective.weights[mask]
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
    problem: DipoleProblem, filtered: data_term.FilteredProblem, objective: _Objective, params: MediParams
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
