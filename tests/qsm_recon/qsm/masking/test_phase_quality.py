import numpy as np
import pytest

from qsm_recon.qsm.masking.phase_quality import WORST_RAD, phase_roughness_rad
from qsm_recon.qsm.scan import FieldFit


def _fit(slope, noise=None):
    slope = slope.astype(np.float32)
    noise = np.full_like(slope, 0.1) if noise is None else noise
    return FieldFit(slope, noise, np.zeros_like(slope), 0.005, 1.0)


def test_ramps_of_any_steepness_are_smooth_though_wrapped():
    x, y, z = np.meshgrid(np.arange(12.0), np.arange(10.0), np.arange(8.0), indexing="ij")
    wrapped = np.angle(np.exp(1j * (2.4 * x - 1.9 * y + 0.7 * z)))
    assert np.abs(np.diff(wrapped, axis=0)).max() > np.pi
    assert phase_roughness_rad(_fit(wrapped)).max() < 1e-5


def test_a_known_curvature_is_measured():
    x, _, _ = np.meshgrid(np.arange(12.0), np.arange(5.0), np.arange(5.0), indexing="ij")
    rough = phase_roughness_rad(_fit(0.15 * x**2 / 2))
    np.testing.assert_allclose(rough[1:-1, 1:-1, 1:-1], 0.15 / np.sqrt(3), rtol=1e-3)


def test_noise_is_rough_and_no_signal_is_worst():
    slope = np.random.default_rng(2).uniform(-np.pi, np.pi, (20, 20, 20))
    noise = np.full(slope.shape, 0.1, dtype=np.float32)
    noise[:3] = np.inf
    rough = phase_roughness_rad(_fit(slope, noise))
    assert rough[4:].mean() > 1.0
    assert rough[:3].min() == pytest.approx(WORST_RAD)


def test_a_single_slice_has_no_axis_across():
    assert phase_roughness_rad(_fit(np.zeros((6, 6, 1)))).max() == 0
    assert phase_roughness_rad(_fit(np.zeros((1, 1, 1)))).max() == 0
