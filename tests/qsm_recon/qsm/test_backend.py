"""Transforms and their inverses, on the host."""

import numpy as np
import pytest
import scipy.fft

from qsm_recon.qsm import backend


@pytest.mark.parametrize("shape", [(6, 10, 8), (7, 9, 5), (4, 5, 2)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-14)])
def test_inverse_real_transform_brings_the_volume_back(
    shape: tuple[int, int, int], dtype: type[np.floating], tolerance: float
) -> None:
    volume = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    found = backend.irfftn(backend.rfftn(volume), shape)
    assert found.dtype == dtype
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, volume, atol=tolerance)


def test_inverse_real_transform_is_scipy_s_own() -> None:
    """Also of a spectrum that no real volume has: what is not there to see must not leak in."""
    rng = np.random.default_rng(1)
    spectrum = (rng.standard_normal((6, 5, 5)) + 1j * rng.standard_normal((6, 5, 5))).astype(np.complex64)
    expected = scipy.fft.irfftn(spectrum, (6, 5, 8))
    np.testing.assert_allclose(backend.irfftn(spectrum, (6, 5, 8)), expected, atol=1e-6)
