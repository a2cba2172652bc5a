"""R2* against closed forms."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsm_recon.errors import InputError
from qsm_recon.qsm.relaxometry import ArloParams, fit_r2star, r2star_warnings
from qsm_recon.qsm.relaxometry.arlo import quadrature_weights
from qsm_recon.qsm.scan import Geometry, MultiEchoScan

GEOMETRY = Geometry((1.0, 1.0, 1.0), (0.0, 0.0, 1.0))
EVEN = tuple(0.0057 + 0.0069 * j for j in range(4))
UNEVEN = (0.003, 0.0071, 0.0092, 0.0155, 0.021)


def _scan(te: tuple[float, ...], r2star: Any, noise_sd: float = 0.0) -> MultiEchoScan:
    t = np.array(te)[:, None, None, None]
    rng = np.random.default_rng(2)
    magnitude = 100 * np.exp(-t * r2star)
    magnitude = np.abs(
        magnitude + noise_sd * (rng.normal(size=magnitude.shape) + 1j * rng.normal(size=magnitude.shape))
    )
    magnitude = magnitude.astype(np.float32)
    return MultiEchoScan(magnitude, np.zeros_like(magnitude), te, 127.7e6, GEOMETRY)


@settings(derandomize=True)
@given(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(0, 5))
def test_weights_integrate_parabolas(first: float, second: float, t0: float):
    t = np.array([t0, t0 + first, t0 + first + second])
    weights = np.array(quadrature_weights(*t))
    for power in range(3):
        # about the first time, where nothing cancels
        exact = (t[2] - t[0]) ** (power + 1) / (power + 1)
        assert weights @ (t - t[0]) ** power == pytest.approx(exact, rel=1e-8, abs=1e-8 * np.abs(weights).sum())


@pytest.mark.parametrize("te", [EVEN, UNEVEN, EVEN[:3], EVEN[:2]], ids=["even", "uneven", "three", "two"])
def test_noiseless_decay_is_exact(te: tuple[float, ...]):
    r2star = np.linspace(1, 60, 60).reshape(3, 4, 5)
    mask = np.ones(r2star.shape, bool)
    mask[0, 0, :2] = False
    found = fit_r2star(_scan(te, r2star), mask, ArloParams())
    # the quadrature's own error grows with the fourth power of R2* times the spacing
    np.testing.assert_allclose(found[mask], r2star[mask], rtol=5e-4)
    assert not found[~mask].any()
    assert found.dtype == np.float32


@pytest.mark.parametrize("te", [EVEN, UNEVEN])
def test_noise_brings_little_bias(te: tuple[float, ...]):
    shape = (20, 20, 20)
    found = fit_r2star(_scan(te, np.full(shape, 20.0), noise_sd=2.5), np.ones(shape, bool), ArloParams())
    assert found.mean() == pytest.approx(20, rel=0.02)


def test_limits_hold_and_voids_do_not_look_like_fluid():
    scan = _scan(EVEN, np.full((2, 2, 2), 20.0))
    scan.magnitude[:, 0, 0, 0] = 0
    scan.magnitude[:, 0, 0, 1] = [1, 2, 3, 4]  # growing: no decay
    found = fit_r2star(scan, np.ones((2, 2, 2), bool), ArloParams(max_per_s=500.0))
    assert found[0, 0, 0] == 500
    assert found[0, 0, 1] == 0
    assert found[1, 1, 1] == pytest.approx(20, rel=1e-3)


def test_two_echoes_are_said():
    assert r2star_warnings(_scan(EVEN[:2], np.ones((1, 1, 1))))[0].startswith("R2starTwoEchoes:")
    assert r2star_warnings(_scan(EVEN, np.ones((1, 1, 1)))) == ()


def test_one_echo_is_refused():
    with pytest.raises(InputError) as refused:
        fit_r2star(_scan((0.005,), np.ones((1, 1, 1))), np.ones((1, 1, 1), bool), ArloParams())
    assert refused.value.reason == "TooFewEchoes"
    with pytest.raises(ValueError, match="mask"):
        fit_r2star(_scan(EVEN, np.ones((1, 1, 1))), np.ones((1, 1, 2), bool), ArloParams())
