"""The fit against closed forms: Cramer-Rao bound, bias, noise in true units, empty voxels."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from qsm_recon.errors import InputError
from qsm_recon.qsm.field_mapping import LinearParams, NonlinearParams, fit_field
from qsm_recon.qsm.scan import MultiEchoScan

PROTOCOLS = {
    "chla": ((0.0057, 0.0126, 0.0195, 0.0264), False),
    "stdres": (tuple(0.0067 + 0.00406 * j for j in range(10)), False),
    "two": ((0.0023, 0.0046), False),
    "uneven": ((0.003, 0.005, 0.009, 0.0155, 0.020), False),
    "uneven-three": ((0.004, 0.008, 0.0147), False),
    "bipolar-five": (tuple(0.004 * j for j in range(1, 6)), True),
    "bipolar-four": (tuple(0.004 * j for j in range(1, 5)), True),
    "bipolar-three": ((0.004, 0.008, 0.012), True),
    "bipolar-uneven": ((0.004, 0.007, 0.011, 0.014, 0.019), True),
}
METHODS = [NonlinearParams(), LinearParams()]


def _error(fit: Any, known: Any) -> Any:
    error = (fit.phase_slope_rad - known.slope_rad)[np.isfinite(known.slope_rad)]
    return error - 2 * np.pi * np.round(error / (2 * np.pi))


@pytest.mark.parametrize("params", METHODS, ids=lambda p: p.method)
@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("snr", [10, 40])
def test_reaches_the_cramer_rao_bound_and_reports_it(known: Callable[..., Any], name: str, snr: float, params: Any):
    te, bipolar = PROTOCOLS[name]
    truth = known(te, snr=snr, bipolar=bipolar)
    fit = fit_field(truth.scan, params)
    error = _error(fit, truth)
    # 7000 voxels: the sample's own SD is uncertain by 0.85 %
    assert error.std() <= (1.05 if snr == 40 else 1.06) * truth.cramer_rao_rad
    assert error.std() >= 0.95 * truth.cramer_rao_rad
    assert abs(error.mean()) < 4 * truth.cramer_rao_rad / np.sqrt(error.size)
    body = np.isfinite(truth.slope_rad)
    assert np.median(fit.noise_rad[body]) == pytest.approx(truth.cramer_rao_rad, rel=0.06)
    assert fit.noise_sd == pytest.approx(truth.noise_sd, rel=0.05)
    assert np.isfinite(fit.phase_slope_rad).all()
    if truth.plan.degrees_of_freedom:
        assert np.sqrt(np.mean(fit.residual[body] ** 2)) == pytest.approx(1, rel=0.08)
    else:
        assert not fit.residual.any()


@pytest.mark.parametrize("name", ["chla", "uneven", "bipolar-five", "bipolar-three"])
def test_bias_without_noise_is_below_a_tenth_of_a_ppb(known: Callable[..., Any], name: str):
    te, bipolar = PROTOCOLS[name]
    truth = known(te, snr=np.inf, bipolar=bipolar)
    fit = fit_field(truth.scan, NonlinearParams())
    ppb = 1000 * fit.ppm_per_rad(truth.scan.center_frequency_hz) * _error(fit, truth)
    assert np.abs(ppb).max() < 0.1


@pytest.mark.parametrize("name", ["chla", "two", "uneven", "bipolar-five"])
def test_voxels_without_signal_are_zero_with_infinite_noise(known: Callable[..., Any], name: str):
    te, bipolar = PROTOCOLS[name]
    scan = known(te, bipolar=bipolar).scan
    magnitude = scan.magnitude.copy()
    magnitude[:, :5] = 0
    magnitude[1:, 12, 3, 4] = 0  # one echo alone gives no slope
    fit = fit_field(replace(scan, magnitude=magnitude), NonlinearParams())
    for nothing in (np.s_[:5], np.s_[12, 3, 4]):
        assert not np.any(fit.phase_slope_rad[nothing])
        assert np.isposinf(fit.noise_rad[nothing]).all()
        assert not np.any(fit.residual[nothing])
    assert not np.isnan(fit.noise_rad).any()
    assert not np.isnan(fit.residual).any()


def test_air_is_no_signal_but_dark_tissue_is(known: Callable[..., Any]):
    truth = known(PROTOCOLS["chla"][0], snr=40)
    fit = fit_field(truth.scan, NonlinearParams())
    body = np.isfinite(truth.slope_rad)
    assert np.isinf(fit.noise_rad[~body]).mean() > 0.99
    assert np.isfinite(fit.noise_rad[body]).all()
    magnitude = truth.scan.magnitude.copy()
    magnitude[:, 8] *= 0.3
    dark = fit_field(replace(truth.scan, magnitude=magnitude), NonlinearParams())
    assert np.isfinite(dark.noise_rad[8]).all()


def test_two_echoes_are_said(known: Callable[..., Any]):
    fit = fit_field(known(PROTOCOLS["two"][0]).scan, NonlinearParams())
    assert [w.split(":")[0] for w in fit.warnings] == ["TwoEchoes"]
    assert not fit.residual.any()


def test_two_echoes_without_air_find_the_noise_from_neighbours(known: Callable[..., Any]):
    truth = known(PROTOCOLS["two"][0], air=False)
    assert fit_field(truth.scan, NonlinearParams()).noise_sd == pytest.approx(truth.noise_sd, rel=0.1)


@pytest.mark.parametrize(("echoes", "code"), [(2, "BipolarTwoEchoes"), (3, "BipolarThreeEchoes")])
def test_what_few_bipolar_echoes_cannot_tell_is_said(known: Callable[..., Any], echoes: int, code: str):
    fit = fit_field(known(tuple(0.004 * j for j in range(1, echoes + 1)), bipolar=True).scan, NonlinearParams())
    assert code in [w.split(":")[0] for w in fit.warnings]


def test_noise_and_slope_scale_with_nothing_but_what_they_should(known: Callable[..., Any]):
    scan = known(PROTOCOLS["chla"][0]).scan
    one = fit_field(scan, NonlinearParams())
    four = fit_field(replace(scan, magnitude=4 * scan.magnitude), NonlinearParams())
    assert four.noise_sd == pytest.approx(4 * one.noise_sd)
    np.testing.assert_array_equal(four.phase_slope_rad, one.phase_slope_rad)
    np.testing.assert_allclose(four.noise_rad, one.noise_rad, rtol=1e-5)


def test_axes_may_be_permuted(known: Callable[..., Any]):
    scan = known(PROTOCOLS["chla"][0]).scan
    turned = replace(
        scan,
        magnitude=np.ascontiguousarray(scan.magnitude.transpose(0, 3, 1, 2)),
        phase_rad=np.ascontiguousarray(scan.phase_rad.transpose(0, 3, 1, 2)),
    )
    here, there = fit_field(scan, NonlinearParams()), fit_field(turned, NonlinearParams())
    both = np.isfinite(here.noise_rad) & np.isfinite(there.noise_rad.transpose(1, 2, 0))
    np.testing.assert_array_equal(here.phase_slope_rad[both], there.phase_slope_rad.transpose(1, 2, 0)[both])


def test_runs_are_bit_identical(known: Callable[..., Any]):
    scan = known(PROTOCOLS["uneven"][0]).scan
    first, second = (fit_field(scan, NonlinearParams()) for _ in range(2))
    for name in ("phase_slope_rad", "noise_rad", "residual"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()
        assert getattr(first, name).dtype == np.float32


def _scan_of(magnitude: Any, phase: Any, scan: MultiEchoScan) -> MultiEchoScan:
    return replace(scan, magnitude=magnitude.astype(np.float32), phase_rad=phase.astype(np.float32))


def test_bad_images_are_refused(known: Callable[..., Any]):
    scan = known(PROTOCOLS["chla"][0]).scan
    with pytest.raises(InputError, match="zero everywhere") as empty:
        fit_field(_scan_of(0 * scan.magnitude, scan.phase_rad, scan), NonlinearParams())
    assert empty.value.reason == "EmptyImages"
    with pytest.raises(InputError) as broken:
        fit_field(_scan_of(scan.magnitude, np.full_like(scan.phase_rad, np.nan), scan), NonlinearParams())
    assert broken.value.reason == "NotFinite"
    with pytest.raises(InputError) as single:
        fit_field(
            MultiEchoScan(scan.magnitude[:1], scan.phase_rad[:1], (0.004,), 127.7e6, scan.geometry),
            NonlinearParams(),
        )
    assert single.value.reason == "TooFewEchoes"


def test_parameters_are_checked():
    with pytest.raises(ValidationError, match="iterations"):
        NonlinearParams(iterations=0)
