import numpy as np
import pytest

from qsm_recon.qsm.field_mapping import reliable_noise
from qsm_recon.qsm.scan import FieldFit

MASK = np.ones((4, 4, 4), dtype=bool)


def fit(residual):
    noise = np.full(MASK.shape, 0.01, dtype=np.float32)
    noise[0, 0, 0] = np.inf
    return FieldFit(np.zeros(MASK.shape, np.float32), noise, residual.astype(np.float32), 5e-3, 1.0)


def test_noise_grows_with_the_square_of_the_excess():
    residual = np.ones(MASK.shape)
    residual[1, 1, 1] = 6.0
    noise = reliable_noise(fit(residual), MASK, 2.0)
    assert noise[1, 1, 1] == pytest.approx(0.09)
    assert noise[2, 2, 2] == np.float32(0.01)
    assert np.isinf(noise[0, 0, 0])
    assert noise.dtype == np.float32


def test_only_the_ratio_to_the_median_counts():
    residual = np.random.default_rng(0).uniform(0.5, 9, MASK.shape)
    np.testing.assert_allclose(
        reliable_noise(fit(residual), MASK, 2.0), reliable_noise(fit(7 * residual), MASK, 2.0), rtol=1e-5
    )


def test_nothing_to_judge_by_leaves_the_noise_alone():
    two_echoes = fit(np.zeros(MASK.shape))
    assert reliable_noise(two_echoes, MASK, 2.0) is two_echoes.noise_rad
    off = fit(np.random.default_rng(0).uniform(0.5, 9, MASK.shape))
    assert reliable_noise(off, MASK, 0.0) is off.noise_rad
