"""FANSI's nonlinear total variation, with the settings its authors publish.

    minimise  1/2 sum |W (exp(i D x) - exp(i phi))|^2  +  alpha sum |grad x|

x and phi in radians of a scan with `rad_per_ppm`, |.| over components, W in [0, 1]. ADMM with z1 = grad x (penalty mu1)
and z2 = D x (mu2); z2 by Newton steps voxel by voxel, z1 by soft thresholding, x in closed form in k-space.

It is the iteration of `tv-admm`, and the same code. What that method does otherwise: alpha follows the noise of the
field; the magnitude's edges are spared; sources outside the mask cost nothing; outliers lose weight; mu2 is 0.3 mean
data weights; Newton takes two steps; the number of iterations is fixed. Here alpha, mu1 and mu2 are what the recipe
says, and the iteration ends where the map has come to rest.

One difference to the published code: gradients are per mm, not per voxel, so that voxels of any size and shape
mean the same. At 1 mm nothing changes.
"""

from typing import Any, Literal

import numpy as np
from pydantic import Field

from qsm_recon.errors import InputError
from qsm_recon.qsm.inversion import passes
from qsm_recon.qsm.inversion.objective import RAD_PER_PPM
from qsm_recon.qsm.inversion.problem import DipoleProblem, DipoleSolution, InversionMethodParams
from qsm_recon.qsm.inversion.splitting import Splitting
from qsm_recon.qsm.inversion.tv_admm import input_warnings
from qsm_recon.qsm.progress import Progress, silent

Array = Any


class FansiParams(InversionMethodParams):
    """Nonlinear total variation (Milovic 2018)."""

    method: Literal["fansi"] = "fansi"
    regularization: float = Field(default=5e-4, gt=0, le=10)
    """alpha, mm; of phases in rad and weights up to 1. The consensus on QSM names 5e-4, the authors' examples 2e-4."""
    gradient_penalty: float = Field(default=100.0, gt=0, le=1e6)
    """mu1 in alphas."""
    data_penalty: float = Field(default=1.0, gt=0, le=1e3)
    """mu2, of weights up to 1."""
    iterations: int = Field(default=150, ge=1, le=5000)
    """Most ADMM iterations."""
    tolerance: float = Field(default=1e-3, ge=0, lt=1)
    """Stop where an iteration changes the map by less than this part of it (both as norms)."""
    newton_steps: int = Field(default=10, ge=1, le=50)
    """Most Newton steps of each voxel in each iteration."""
    weighting: Literal["snr", "magnitude", "uniform"] = "snr"
    """W. snr: median noise over noise, at most 1, so that no voxel of rare quality sets the scale. magnitude: the
    magnitude over its largest value, as published. uniform: the mask."""
    rad_per_ppm: float = Field(default=RAD_PER_PPM, gt=0, le=1e3)
    """Phase that 1 ppm makes: 2 pi 1e-6 x centre frequency x echo time. Default: 3 T and 8 ms, whatever the scan was,
    so that alpha means the same for all."""


def fansi(problem: DipoleProblem, params: FansiParams, progress: Progress = silent) -> DipoleSolution:
    """Susceptibility by nonlinear total variation, not yet referenced.

    Raises
    ------
    InputError
        `NoMagnitude` where the weights are to be the magnitude and none was given; `NoSignal` where it is 0 in the
        whole mask.

    References
    ----------
    Milovic et al. 2018, doi:10.1002/mrm.27073.
    """
    weights = squared_weights(problem, params.weighting)
    state = splitting(problem, params)
    done = 0
    for done in range(1, params.iterations + 1):
        before = state.x
        state.step(problem.field_ppm, weights)
        progress(0.99 * done / params.iterations)
        if passes.change(state.x, before) <= params.tolerance:
            break
    progress(1.0)
    warnings = input_warnings(problem) if params.weighting == "snr" else ()
    return DipoleSolution(state.x, problem.mask, done, warnings)


def splitting(problem: DipoleProblem, params: FansiParams) -> Splitting:
    """The iteration in the units of `Splitting`: the objective over `rad_per_ppm` squared, so that x is in ppm."""
    xp = problem.xp
    gradient_penalty = params.gradient_penalty * params.regularization
    limit = params.regularization / params.rad_per_ppm / gradient_penalty
    return Splitting(
        problem,
        limit=xp.full((3, *problem.shape), np.float32(limit)),
        gradient_penalty=gradient_penalty,
        data_penalty=params.data_penalty,
        rad_per_ppm=params.rad_per_ppm,
        newton_steps=params.newton_steps,
    )


def squared_weights(problem: DipoleProblem, weighting: str) -> Array:
    """W^2, (x, y, z) float32, at most 1; 0 outside the mask and where there is no signal.

    Raises
    ------
    InputError
        `NoMagnitude`, `NoSignal` as in `fansi`.
    """
    xp, mask = problem.xp, problem.mask
    if weighting == "magnitude":
        if problem.magnitude is None:
            raise InputError("NoMagnitude", "The data are to weigh as the magnitude does, and none was given.")
        amplitude = xp.where(mask, problem.magnitude, np.float32(0))
        largest = float(amplitude.max())
        if not largest > 0:
            raise InputError("NoSignal", "The magnitude is zero in the whole mask.")
        amplitude *= np.float32(1 / largest)
    elif weighting == "snr" and problem.noise_ppm is not None:
        noise = problem.noise_ppm
        usable = mask & xp.isfinite(noise) & (noise > 0)
        median = np.float32(float(xp.median(noise[usable])))
        amplitude = xp.where(usable, median / xp.maximum(noise, median), np.float32(0))
    else:
        amplitude = mask.astype(xp.float32)
    return amplitude * amplitude
