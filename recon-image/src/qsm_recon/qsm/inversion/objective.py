"""MEDI's objective: its value, its slope and its Gauss-Newton operator.

    lambda |m (exp(i D x) - exp(i b))|^2 + |G grad x|_1 + lambda_csf / 2 |P x|^2

x and b are in radians of a fixed 3 T x 8 ms scan, so that lambda means the same at every field and echo spacing. The
operator works on the spectrum of x: there D is diagonal, and the preconditioner costs no transform.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from qsm_recon.qsm import backend, kernels, units
from qsm_recon.qsm.inversion import passes
from qsm_recon.qsm.inversion.data_term import FilteredProblem
from qsm_recon.qsm.inversion.problem import DipoleProblem

Array = Any

RAD_PER_PPM = 1 / units.ppm_per_rad(8e-3, units.center_frequency_hz(3.0))
"""Internal unit: phase at 3 T after 8 ms, 6.42 rad per ppm, whatever the scan was."""

L1_SMOOTHING = 1e-6
"""(rad/mm)^2 added under the root of the L1 norm, which makes it differentiable."""

STIFFNESS_SHARE = 1.0
"""Part of the mean smoothness weight with which the preconditioner reckons."""


@dataclass
class Iterate:
    """The iterate: volume and phase belong together."""

    x: Array
    phase: Array

    def moved(self, step: "Iterate", part: float) -> "Iterate":
        """Sum of the iterate and `part` of `step`."""
        t = np.float32(part)
        return Iterate(self.x + t * step.x, self.phase + t * step.phase)


class Objective:
    """The cost, its gradient and its Gauss-Newton operator, all for given weights.

    It keeps one spectrum and one volume to work in: not for several threads at once.
    """

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
        self.squared_weights = self.xp.zeros_like(self.measured)
        """2 lambda m^2."""
        self._spectrum = self.xp.empty_like(self.kernel, dtype=self.xp.complex64)
        self._volume = self.xp.empty_like(self.measured)

    def weigh(self, weights: Array) -> None:
        """Take m, the weights of the data (x, y, z)."""
        self.squared_weights = weights * weights
        self.squared_weights *= self.twice_lambda

    def cost(self, state: Iterate) -> float:
        """Value of the objective (L1 norm smoothed as in its gradient)."""
        xp = self.xp
        total = 2 * passes.phase_misfit(state.phase, self.measured, self.squared_weights)
        total += passes.l1_norm(state.x, self.smooth, self.voxel_size_mm, L1_SMOOTHING)
        if self.csf is not None:
            deviation = self._csf_deviation(state.x)
            total += 0.5 * float(self.csf_weight) * float(xp.sum(deviation * deviation, dtype=xp.float64))
        return total

    def gradient_weights(self, x: Array, out: Array | None = None) -> Array:
        """Quadratic weights (3, x, y, z) that stand for the L1 norm at x."""
        return passes.l1_weights(x, self.smooth, self.voxel_size_mm, L1_SMOOTHING, out)

    def descent(self, state: Iterate, weights: Array) -> Array:
        """Spectrum of minus the gradient."""
        data = backend.rfftn(passes.phase_force(state.phase, self.measured, self.squared_weights))
        passes.multiply_add(data, self.kernel, backend.rfftn(self._smoothness(state.x, weights)))
        data *= np.float32(-1)
        return data

    def curvature(self, spectrum: Array, weights: Array) -> Array:
        """Gauss-Newton operator applied to a spectrum: four transforms."""
        kernels.multiply(spectrum, self.kernel, self._spectrum)
        field = backend.irfftn(self._spectrum, self.shape)
        kernels.multiply(field, self.squared_weights, field)
        result = backend.rfftn(field)
        del field  # as large as the next volume
        self._spectrum[...] = spectrum
        volume = self._smoothness(backend.irfftn(self._spectrum, self.shape), weights)
        passes.multiply_add(result, self.kernel, backend.rfftn(volume))
        return result

    def iterate(self, spectrum: Array) -> Iterate:
        """Volume and phase of a spectrum, which is used up."""
        kernels.multiply(spectrum, self.kernel, self._spectrum)
        phase = backend.irfftn(self._spectrum, self.shape)
        return Iterate(backend.irfftn(spectrum, self.shape), phase)

    def preconditioner(self, weights: Array) -> Array:
        """Inverse of the operator with every weight replaced by its mean: diagonal in k-space."""
        xp = self.xp
        data = float(xp.mean(self.squared_weights, dtype=xp.float64))
        stiffness = STIFFNESS_SHARE * float(
            sum(xp.sum(w[self.mask], dtype=xp.float64) for w in weights) / (3 * int(self.mask.sum()))
        )
        inverse = kernels.laplacian_symbol(self.shape, self.voxel_size_mm, xp)
        inverse *= np.float32(stiffness)
        inverse += np.float32(data) * self.kernel**2
        inverse += np.float32(1e-3 * data + 1e-12)
        xp.reciprocal(inverse, out=inverse)
        return inverse

    def _smoothness(self, x: Array, weights: Array) -> Array:
        result = kernels.weighted_laplacian(x, weights, self.voxel_size_mm, self._volume)
        if self.csf is not None:
            result[self.csf] += self.csf_weight * self._csf_deviation(x)
        return result

    def _csf_deviation(self, x: Array) -> Array:
        values = x[self.csf]
        return values - values.mean(dtype=self.xp.float64).astype(values.dtype)
