"""Fields beyond the unambiguous range: even spacing up to 2 pi, uneven spacing through `refine_unwrapped`."""

from collections.abc import Callable
from typing import Any

import numpy as np

from qsm_recon.qsm.field_mapping import NonlinearParams, fit_field, refine_unwrapped
from qsm_recon.qsm.unwrapping import RegionGrowingParams, unwrap


def _whole_chain(truth: Any) -> Any:
    fit = fit_field(truth.scan, NonlinearParams())
    mask = np.isfinite(truth.slope_rad)
    unwrapped = unwrap(fit.phase_slope_rad, mask, fit.noise_rad, truth.scan.geometry, RegionGrowingParams())
    refined = refine_unwrapped(truth.scan, fit, unwrapped, mask)
    assert not refined.phase_slope_rad[~mask].any()
    return fit, refined, (refined.phase_slope_rad - truth.slope_rad)[mask]


def test_even_spacing_is_left_as_unwrapped(known: Callable[..., Any]):
    truth = known((0.0057, 0.0126, 0.0195, 0.0264), max_hz=300.0)
    assert np.nanmax(np.abs(truth.slope_rad)) > 2 * np.pi
    _, _, error = _whole_chain(truth)
    assert np.abs(error).max() < 6 * truth.cramer_rao_rad


def test_uneven_spacing_beyond_two_pi_reaches_the_bound(known: Callable[..., Any]):
    truth = known((0.004, 0.009, 0.0165, 0.020, 0.0285), max_hz=900.0)
    assert np.nanmax(np.abs(truth.slope_rad)) > 3 * np.pi  # beyond the aliases the fit looks at
    _, refined, error = _whole_chain(truth)
    assert error.std() < 1.05 * truth.cramer_rao_rad
    assert np.abs(error).max() < 6 * truth.cramer_rao_rad
    body = np.isfinite(truth.slope_rad)
    assert np.sqrt(np.mean(refined.residual[body] ** 2)) < 1.1


def test_uneven_spacing_tells_slopes_two_pi_apart(known: Callable[..., Any]):
    # the field passes the first alias: the shifted slope fits the other echoes, the unshifted one does not
    truth = known((0.004, 0.008, 0.0147, 0.020), max_hz=180.0)
    assert np.nanmax(np.abs(truth.slope_rad)) > np.pi
    fit = fit_field(truth.scan, NonlinearParams())
    body = np.isfinite(truth.slope_rad)
    error = (fit.phase_slope_rad - truth.slope_rad)[body]
    error -= 2 * np.pi * np.round(error / (2 * np.pi))
    assert error.std() < 1.05 * truth.cramer_rao_rad


def test_polarity_phase_of_many_turns_is_found(known: Callable[..., Any]):
    # 0.6 rad per voxel along x and two free offsets
    truth = known(tuple(0.003 * j for j in range(1, 7)), bipolar=True, polarity=(-1.0, 0.6))
    fit = fit_field(truth.scan, NonlinearParams())
    body = np.isfinite(truth.slope_rad)
    error = (fit.phase_slope_rad - truth.slope_rad)[body]
    turns = np.round(error / np.pi)
    assert np.ptp(turns) == 0  # half a turn everywhere or nowhere: a constant field
    assert (error - np.pi * turns).std() < 1.05 * truth.cramer_rao_rad
