"""Total-variation inversion by ADMM, with the magnitude's edges spared: few iterations of two transform pairs each.

    minimise  sum W |exp(i s D x) - exp(i s b)|^2 / (2 s^2) + alpha sum_c e_c |grad_c x|

x and b in ppm, gradient per mm, W the squared data weights with mean 1, s radians per ppm of a fixed 3 T x 8 ms scan.
e falls softly from 1 to 0 across edges of the magnitude. alpha follows the noise of the field, so that one setting
serves all protocols.

The penalty acts between voxels of the mask only: outside it sources are free. Background removal takes part of the
inner field for outer, and leaves some of the outer; with free sources out there the inversion finds that balance anew,
at no cost. (It is a total-field inversion started from the result of background removal; started from nothing, the
large outer sources would take thousands of iterations.)

Twice on the way, voxels whose misfit is far out of the common run lose weight (model error reduction, as in the MEDI
toolbox): their echoes may fit together and still give a wrong field, which no source can explain.

The number of iterations is fixed: it is part of the regularisation (the error is least before the cost is), and it
makes the run time known.
"""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from qsm_recon.errors import InputError
from qsm_recon.qsm import backend, kernels, units
from qsm_recon.qsm.compiling import in_runs
from qsm_recon.qsm.inversion import data_term
from qsm_recon.qsm.inversion.objective import RAD_PER_PPM
from qsm_recon.qsm.inversion.problem import DipoleProblem, DipoleSolution, InversionMethodParams
from qsm_recon.qsm.inversion.splitting import Splitting
from qsm_recon.qsm.progress import Progress, silent

Array = Any

MAD_TO_SD = 1.4826
"""Standard deviation of a normal distribution in medians of its absolute value."""

DATA_WEIGHT_CAP = 3.0
"""Largest weight of a voxel, in means: a few bright voxels must not rule."""


class TvAdmmParams(InversionMethodParams):
    """Total variation with soft edges by ADMM (after Bilgic 2014 and Milovic 2018)."""

    method: Literal["tv-admm"] = "tv-admm"
    noise_factor: float = Field(default=0.17, gt=0, le=10)
    """alpha per ppm of field noise, mm. 0.10 favours the means of nuclei, 0.17 the look of the map."""
    noise_floor_ppb: float = Field(default=2.0, ge=0, le=100)
    """Added in quadrature to the noise, ppb."""
    edge_quantile: float = Field(default=0.8, ge=0, lt=1)
    """Quantile of the magnitude's gradient components at which a component counts half. 0: no edges."""
    iterations: int = Field(default=20, ge=1, le=1000)
    """ADMM iterations, all of them done."""
    data_penalty: float = Field(default=0.3, gt=0, le=100)
    """Penalty of the data splitting, in mean data weights. Smaller: strong sources come sooner, noise too."""
    gradient_penalty: float = Field(default=100.0, gt=0, le=1e5)
    """Penalty of the gradient splitting, in alphas per (ppm/mm)."""
    outlier_limit: float = Field(default=8.0, ge=0, le=1000)
    """Voxels whose weighted misfit exceeds this many of its robust standard deviations lose weight, with the square of
    the excess in amplitude, after a third and two thirds of the iterations. 0: none."""
    nonlinear: bool = True
    """Compare phases on the circle, not as numbers: kinder to strong sources."""
    free_outside: bool = True
    """Sources outside the mask cost nothing, so that what the background removal left, or took too much of, is put
    right by the data. False: they cost as much as inside."""


class TvAdmm(Splitting):
    """The iteration, with its state: it can be continued on a field that has been corrected meanwhile."""

    def __init__(self, problem: DipoleProblem, params: TvAdmmParams) -> None:
        xp = problem.xp
        noise_ppm = typical_noise_ppm(problem, params)
        alpha = params.noise_factor * noise_ppm
        gradient_penalty = params.gradient_penalty * alpha
        limit = soft_edges(problem, params, alpha / gradient_penalty)
        if params.free_outside:
            for axis in range(3):
                limit[axis] *= problem.mask & xp.roll(problem.mask, -1, axis)
        super().__init__(
            problem,
            limit=limit,
            gradient_penalty=gradient_penalty,
            data_penalty=params.data_penalty,
            rad_per_ppm=RAD_PER_PPM if params.nonlinear else 0.0,
        )
        self.problem = replace(problem, noise_ppm=None, magnitude=None, csf_mask=None)
        """What is read on the way; weights and edges are made of the rest."""
        self.measured = problem.field_ppm
        self.full_weights = self.weights = tv_weights(problem, params)
        self.least_scale = noise_ppm * _median_amplitude(self.full_weights)
        self.outlier_limit = params.outlier_limit
        self.done = 0
        self.reweight_after = {params.iterations // 3, 2 * params.iterations // 3} - {0}

    def iterate(self, count: int, progress: Progress = silent) -> None:
        """`count` more iterations."""
        for i in range(count):
            if self.done in self.reweight_after:
                self.weights = without_outliers(
                    self.problem, self.full_weights, self._misfit(), self.outlier_limit, self.least_scale
                )
            self.step(self.measured, self.weights)
            self.done += 1
            progress((i + 1) / count)

    def _misfit(self) -> Array:
        """Size of the residual, ppm; as a chord where phases are compared."""
        xp = self.problem.xp
        field, measured = self.field.reshape(-1), self.measured.reshape(-1)
        misfit = xp.empty_like(field)
        half = np.float32(self.rad_per_ppm / 2)

        def fill(run: slice) -> None:
            values = xp.abs(field[run] - measured[run])
            misfit[run] = xp.abs(xp.sin(values * half)) / half if half else values

        in_runs(misfit, misfit.size, fill)
        return misfit.reshape(self.field.shape)


def tv_admm(problem: DipoleProblem, params: TvAdmmParams, progress: Progress = silent) -> DipoleSolution:
    """Susceptibility by weighted, edge-sparing total variation, not yet referenced.

    Raises
    ------
    InputError
        `NoMagnitude` where edges are wanted and no magnitude was given.

    References
    ----------
    Bilgic et al. 2014, doi:10.1002/mrm.25029; Milovic et al. 2018, doi:10.1002/mrm.27073.
    """
    iteration, warnings = TvAdmm(problem, params), input_warnings(problem)
    del problem  # its volumes: nothing reads them from here on
    iteration.iterate(params.iterations, progress)
    return DipoleSolution(iteration.x, iteration.problem.mask, params.iterations, warnings)


def input_warnings(problem: DipoleProblem) -> tuple[str, ...]:
    """What the result stands on less than it could."""
    if problem.noise_ppm is not None:
        return ()
    return ("UniformWeights: no noise map was given, so every voxel weighs the same in the inversion.",)


def typical_noise_ppm(problem: DipoleProblem, params: TvAdmmParams) -> float:
    """Median noise over the mask with the floor in quadrature, ppm; the floor alone where no noise is known."""
    floor = params.noise_floor_ppb / units.PPB_PER_PPM
    if problem.noise_ppm is None:
        return max(floor, 1e-3)
    return float(np.hypot(data_term.median_noise(problem, problem.mask), floor))


def tv_weights(problem: DipoleProblem, params: TvAdmmParams) -> Array:
    """W = (1 / noise)^2, floor added, amplitude of mean 1 over the mask and capped; 0 outside and without signal."""
    xp = problem.xp
    if problem.noise_ppm is None:
        return problem.mask.astype(xp.float32)
    noise = problem.noise_ppm
    floor = params.noise_floor_ppb / units.PPB_PER_PPM
    usable = problem.mask & xp.isfinite(noise) & (noise > 0)
    at = xp.flatnonzero(usable)
    amplitude = 1 / xp.sqrt(noise.reshape(-1)[at] ** 2 + np.float32(floor**2))
    mean = amplitude.sum(dtype=xp.float64) / int(xp.count_nonzero(problem.mask))
    amplitude = xp.minimum(amplitude / mean.astype(xp.float32), np.float32(DATA_WEIGHT_CAP))
    weights = xp.zeros(problem.mask.size, dtype=xp.float32)
    weights[at] = amplitude * amplitude
    return weights.reshape(problem.shape)


def _median_amplitude(weights: Array) -> float:
    """Median of the square root of the weights that count; 0 where none does."""
    xp = backend.namespace(weights)
    counted = weights.reshape(-1)[xp.flatnonzero(weights)]
    return float(xp.sqrt(xp.median(counted))) if counted.size else 0.0


def without_outliers(
    problem: DipoleProblem, weights: Array, misfit_ppm: Array, limit: float, least_scale: float = 0.0
) -> Array:
    """`weights` with those of far outliers lowered: W / max(1, z / (limit s))^4 with z = sqrt(W) misfit.

    s is the robust standard deviation of z over the voxels that count, or `least_scale` where that is more: a field
    without noise leaves only what the iteration has not come to yet.

    References
    ----------
    Liu et al. 2013, doi:10.1002/mrm.24272 (model error reduction).
    """
    xp = problem.xp
    at = xp.flatnonzero(problem.mask & (weights > 0))
    if limit == 0 or at.size == 0:
        return weights
    given, misfit = weights.reshape(-1), misfit_ppm.reshape(-1)
    z = xp.empty(at.size, dtype=xp.float32)
    lowered = given.copy()

    def weigh(run: slice) -> None:
        z[run] = xp.sqrt(given[at[run]]) * misfit[at[run]]

    def lower(run: slice) -> None:
        excess = xp.maximum(z[run] * np.float32(1 / (limit * scale)), np.float32(1))
        lowered[at[run]] = given[at[run]] / (excess * excess) ** 2

    in_runs(at, at.size, weigh)
    scale = max(MAD_TO_SD * float(xp.median(z)), least_scale)
    if scale == 0:
        return weights
    in_runs(at, at.size, lower)
    return lowered.reshape(weights.shape)


def soft_edges(problem: DipoleProblem, params: TvAdmmParams, scale: float = 1.0) -> Array:
    """Weight of each gradient component, (3, x, y, z) float32: `scale` / (1 + (steepness / threshold)^2).

    Raises
    ------
    InputError
        `NoMagnitude` where edges are wanted and there is none.
    """
    xp = problem.xp
    shape = (3, *problem.shape)
    if params.edge_quantile == 0:
        return xp.full(shape, scale, dtype=xp.float32)
    if problem.magnitude is None:
        raise InputError("NoMagnitude", "The edges are taken from the magnitude, and no magnitude was given.")
    edges = kernels.gradient(problem.magnitude * problem.mask, problem.voxel_size_mm)
    edges *= edges
    at = xp.flatnonzero(problem.mask)
    inside = xp.concatenate([component.reshape(-1)[at] for component in edges])
    rank = min(inside.size - 1, int(params.edge_quantile * inside.size))
    inside.partition(rank)
    threshold = float(inside[rank])
    if threshold == 0:
        return xp.full(shape, scale, dtype=xp.float32)  # flat almost everywhere: no edge to speak of
    values = edges.reshape(-1)

    def weigh(run: slice) -> None:
        part = values[run]
        part *= np.float32(1 / threshold)
        part += np.float32(1)
        xp.divide(np.float32(scale), part, out=part)

    in_runs(values, values.size, weigh)
    return edges
