"""ADMM for the total-variation inversion: the state of the iteration and one step of it.

Two splittings, z1 = grad x and z2 = D x, each with its own penalty and scaled dual variable; a step costs two pairs of
transforms. `tv_admm` and `fansi` are this iteration with different weights, penalties and ends.
"""

from typing import Any

import numpy as np

from qsm_recon.qsm import backend, kernels
from qsm_recon.qsm.inversion import tv_steps
from qsm_recon.qsm.inversion.problem import DipoleProblem

Array = Any


class Splitting:
    """The iterate and its dual variables, all 0 at first."""

    def __init__(
        self,
        problem: DipoleProblem,
        *,
        limit: Array,
        gradient_penalty: float,
        data_penalty: float,
        rad_per_ppm: float,
        newton_steps: int = tv_steps.NEWTON_STEPS,
    ) -> None:
        xp = problem.xp
        self.shape = problem.shape
        self.voxel_size_mm = problem.voxel_size_mm
        self.limit = limit
        """(3, x, y, z) float32, ppm/mm: largest gradient dual, the weight of each component over its penalty."""
        self.penalty = data_penalty
        self.ratio = gradient_penalty / data_penalty
        self.rad_per_ppm = rad_per_ppm
        self.newton_steps = newton_steps
        self.kernel = problem.dipole()
        self.symbols = _difference_symbols(problem)
        self.gradient_dual = xp.zeros((3, *problem.shape), dtype=xp.float32)
        self.data_dual = xp.zeros(problem.shape, dtype=xp.float32)
        self.x = xp.zeros(problem.shape, dtype=xp.float32)
        """(x, y, z) susceptibility, ppm."""
        self.field = xp.zeros(problem.shape, dtype=xp.float32)
        """Its field D x, ppm."""

    def step(self, measured: Array, weights: Array) -> None:
        """Once round, for the field `measured` (ppm) and W, the squared data weights."""
        right = tv_steps.shrink(self.x, self.gradient_dual, self.limit, self.voxel_size_mm)
        tv_steps.fit_data(
            self.field, self.data_dual, weights, measured, self.penalty, self.rad_per_ppm, self.newton_steps
        )
        smooth, data = backend.rfftn(right), backend.rfftn(self.field)
        del right, self.field, self.x  # each as large as one of those to come
        tv_steps.combine(smooth, data, self.kernel, self.symbols, self.ratio)
        self.field = backend.irfftn(data, self.shape)
        del data
        self.x = backend.irfftn(smooth, self.shape)


def _difference_symbols(problem: DipoleProblem) -> tuple[Array, Array, Array]:
    """Parts of |E|^2 along x, y and z, shaped to broadcast over the half spectrum."""
    x, y, z = (
        problem.xp.asarray(((2 - 2 * np.cos(2 * np.pi * k * h)) / h**2).astype(np.float32))
        for k, h in zip(
            kernels.frequencies_per_mm(problem.shape, problem.voxel_size_mm), problem.voxel_size_mm, strict=True
        )
    )
    return x, y, z
