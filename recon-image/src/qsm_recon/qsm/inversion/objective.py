"""MEDI's objective: its value, its slope and its Gauss-Newton operator.

    lambda |m (exp(i D x) - exp(i b))|^2 + |G grad x|_1 + lambda_csf / 2 |P x|^2

x and b are in radians of a fixed 3 T x 8 ms scan, so that lambda means the same at every field and echo spacing. The
operator works on the spectrum of x: there D is diagonal, and the preconditioner costs no transform.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from qsm_recon.qsm import backend, kernels, units
from qsm_recon.qsm.inversion.data_term import FilteredProblem
from qsm_recon.qsm.inversion.problem import DipoleProblem

Array = Any

RAD_PER_PPM = 1 / units.ppm_per_rad(8e-3, units.center_frequency_hz(3.0))
"""Internal unit: phase at 3 T after 8 ms, 6.42 rad per ppm, whatever the scan was."""

L1_SMOOTHING = 1e-6
"""(rad/mm)^2 added under the root of the L1 norm, which makes it differentiable."""


@dataclass
class Iterate:
    """The iterate: spectrum, volume and phase belong together."""

    spectrum: Array
    x: Array
    phase: Array

    def moved(self, step: "Iterate", part: float) -> "Iterate":
        """Sum of the iterate and `part` of `step`."""
        t = np.float32(part)
        return Iterate(self.spectrum + t * step.spectrum, self.x + t * step.x, self.phase + t * step.phase)


class Objective:
    """The cost, its gradient and its Gauss-Newton operator, all for given weights."""

    def __init__(
        self, problem: DipoleProblem, filtered: FilteredProblem, smooth: Array, data_weight: float, csf_weight: float
    ) -> None:
        self.xp = problem.xp
        self.voxel_size_mm = problem.voxel_size_mm
        self.shape = problem.shape
        self.kernel = filtered.kernel
        self.mask = filtered.mask
        self.measured = filtered.field_ppm * np.float32(RAD_PER_PPM)
        self.smooth = smooth
        csf = None if problem.csf_mask is None else problem.csf_mask & filtered.mask
        self.csf = csf if csf is not None and bool(csf.any()) and csf_weight > 0 else None
        self.csf_weight = np.float32(csf_weight)
        self.twice_lambda = np.float32(2 * data_weight)
        self.weights = self.xp.zeros_like(self.measured)

    def cost(self, state: Iterate) -> float:
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

    def descent(self, state: Iterate, weights: Array) -> Array:
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
