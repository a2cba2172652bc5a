"""A smooth phase offset, averaged in space: same field, half the noise, and doubt where the offset is not smooth."""

import numpy as np
import pytest

from qsm_recon.qsm.field_mapping import NonlinearParams, fit_field, fit_with_smooth_offset, refine_unwrapped
from qsm_recon.qsm.scan import FieldFit, Geometry, MultiEchoScan

SHAPE = (28, 26, 24)
TIMES_S = (0.0057, 0.0126, 0.0195, 0.0264)
GEOMETRY = Geometry((1.0, 1.0, 1.5), (0.0, 0.0, 1.0))
GRID = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
MASK = (GRID**2).sum(axis=0) < 0.9
SLOPE = (0.8 * GRID[2] + 0.5 * np.sin(6 * GRID[0])).astype(np.float32)
OFFSET = (0.3 * GRID[0] - 0.2 * GRID[1] ** 2 + 0.3).astype(np.float32)


def scan_of(noise: float, offset: np.ndarray = OFFSET, *, bipolar: bool = False) -> MultiEchoScan:
    """Four echoes of `SLOPE` (rad per spacing) with a given offset at echo time zero."""
    rng = np.random.default_rng(5)
    spacing = TIMES_S[1] - TIMES_S[0]
    echoes = [100 * np.exp(-te * 30) * np.exp(1j * (offset + SLOPE * te / spacing)) for te in TIMES_S]
    signal = np.stack(echoes)
    signal = signal + noise * (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape))
    return MultiEchoScan(
        magnitude=np.abs(signal).astype(np.float32),
        phase_rad=np.angle(signal).astype(np.float32),
        echo_times_s=TIMES_S,
        center_frequency_hz=128e6,
        geometry=GEOMETRY,
        bipolar_readout=bipolar,
    )


def free_fit(scan: MultiEchoScan) -> FieldFit:
    """Both unknowns in each voxel; the slope stays within a half turn, so there is nothing to unwrap."""
    fit = fit_field(scan, NonlinearParams())
    return refine_unwrapped(scan, fit, fit.phase_slope_rad, MASK)


def test_without_noise_the_field_stays() -> None:
    scan = scan_of(0.01)
    fit = fit_with_smooth_offset(scan, free_fit(scan), MASK, 2.0, 2.0)
    error = (fit.phase_slope_rad - SLOPE)[MASK]
    assert np.abs(error - np.median(error)).max() < 0.02
    assert (fit.phase_slope_rad[~MASK] == 0).all()


def test_noise_falls_by_half_and_is_told() -> None:
    scan = scan_of(2.5)
    free = free_fit(scan)
    smooth = fit_with_smooth_offset(scan, free, MASK, 2.0, 2.0)
    inner = (GRID**2).sum(axis=0) < 0.5
    spread = [float(np.std((fit.phase_slope_rad - SLOPE)[inner])) for fit in (free, smooth)]
    assert spread[1] < 0.6 * spread[0]
    told = float(np.median(smooth.noise_rad[inner]))
    assert told == pytest.approx(spread[1], rel=0.2)
    assert 0.8 < float(np.median(smooth.residual[inner])) < 1.2


def test_an_offset_that_jumps_shows_in_the_residual() -> None:
    odd = np.zeros(SHAPE, dtype=bool)
    odd[14, 13, 12] = True
    scan = scan_of(1.0, np.where(odd, OFFSET + np.float32(1.0), OFFSET))
    fit = fit_with_smooth_offset(scan, free_fit(scan), MASK, 2.0, 2.0)
    assert fit.residual[odd].min() > 4 * np.median(fit.residual[MASK])


def test_bipolar_readouts_keep_the_free_fit_and_say_so() -> None:
    scan = scan_of(1.0, bipolar=True)
    free = free_fit(scan)
    kept = fit_with_smooth_offset(scan, free, MASK, 2.0, 2.0)
    np.testing.assert_array_equal(kept.phase_slope_rad, free.phase_slope_rad)
    assert any(text.startswith("OffsetFree:") for text in kept.warnings)
