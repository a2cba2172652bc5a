"""Voxels with two tissues: the field is their mean, not that of the brighter one, and nothing else bends."""

import numpy as np
import pytest

from qsm_recon.qsm.field_mapping import NonlinearParams, fit_field, fit_with_smooth_offset, refine_unwrapped
from qsm_recon.qsm.scan import FieldFit, Geometry, MultiEchoScan

SHAPE = (24, 24, 24)
GRID = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
MASK = (GRID**2).sum(axis=0) < 0.9
OFFSET = 0.3 * GRID[0] - 0.2 * GRID[1] + 0.3
SPACING_S = 0.0069
WHITE_HZ, IRON_HZ = 3.0, -11.0
WHITE_R2STAR, IRON_R2STAR = 20.0, 40.0


def times(count: int) -> tuple[float, ...]:
    return tuple(0.0057 + SPACING_S * n for n in range(count))


def scan_of(
    iron: np.ndarray, *, echoes: int = 4, noise: float = 0.0, offset: np.ndarray = OFFSET, magnitude: float = 100.0
) -> MultiEchoScan:
    """Voxels of which the part `iron` has another field and decays sooner."""
    rng = np.random.default_rng(3)
    signal = np.stack(
        [
            (1 - iron) * np.exp((2j * np.pi * WHITE_HZ - WHITE_R2STAR) * te)
            + iron * np.exp((2j * np.pi * IRON_HZ - IRON_R2STAR) * te)
            for te in times(echoes)
        ]
    )
    signal = magnitude * signal * np.exp(1j * offset)
    signal = signal + noise * (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape))
    return MultiEchoScan(
        magnitude=np.abs(signal).astype(np.float32),
        phase_rad=np.angle(signal).astype(np.float32),
        echo_times_s=times(echoes),
        center_frequency_hz=128e6,
        geometry=Geometry((1.0, 1.0, 1.0), (0.0, 0.0, 1.0)),
    )


def fitted(scan: MultiEchoScan, limit: float) -> FieldFit:
    fit = fit_field(scan, NonlinearParams())
    fit = refine_unwrapped(scan, fit, fit.phase_slope_rad, MASK)
    return fit_with_smooth_offset(scan, fit, MASK, 3.0, 2.0, limit)


def field_hz(fit: FieldFit) -> np.ndarray:
    return np.asarray(fit.phase_slope_rad) / (2 * np.pi * SPACING_S)


def some_mixed() -> np.ndarray:
    """A sheet of voxels half white matter, half nucleus, with each alone on either side."""
    iron = np.zeros(SHAPE)
    iron[:, :, 12] = 0.5
    iron[:, :, 13:15] = 1.0
    iron[:, :, 15] = 0.5
    return iron


@pytest.mark.parametrize("echoes", [4, 10])
def test_a_mixed_voxel_has_the_mean_field(echoes: int) -> None:
    iron = some_mixed()
    mixed = MASK & (iron == 0.5)
    truth = WHITE_HZ + (IRON_HZ - WHITE_HZ) * iron
    scan = scan_of(iron, echoes=echoes, noise=0.1)
    line, bent = (np.abs(field_hz(fitted(scan, limit)) - truth)[mixed].mean() for limit in (0.0, 2.5))
    assert line > 0.6
    assert bent < 0.5 * line


def test_a_mixed_voxel_misfits_less_and_is_noisier_than_its_line() -> None:
    iron = some_mixed()
    mixed = MASK & (iron == 0.5)
    scan = scan_of(iron, noise=0.2)
    line, bent = fitted(scan, 0.0), fitted(scan, 2.5)
    assert np.median(bent.residual[mixed]) < 0.5 * np.median(line.residual[mixed])
    assert np.median(bent.noise_rad[mixed]) > 1.5 * np.median(line.noise_rad[mixed])


def test_the_told_noise_of_a_bent_phase_is_its_spread() -> None:
    iron = some_mixed()
    mixed = MASK & (iron == 0.5)
    fit = fitted(scan_of(iron, noise=0.3, offset=np.zeros(SHAPE)), 2.5)
    assert np.std(fit.phase_slope_rad[mixed]) == pytest.approx(float(np.median(fit.noise_rad[mixed])), rel=0.25)


def test_without_mixtures_nearly_every_voxel_keeps_its_line() -> None:
    scan = scan_of(np.zeros(SHAPE), noise=2.5)
    line, bent = fitted(scan, 0.0), fitted(scan, 2.5)
    changed = (line.phase_slope_rad != bent.phase_slope_rad)[MASK]
    assert 0 < changed.mean() < 0.03  # beyond 2.5 standard deviations, either side: 1.2 %
    spread = [float(np.std(field_hz(fit)[MASK])) for fit in (line, bent)]
    assert spread[1] < 1.05 * spread[0]


def test_an_offset_of_its_own_is_no_bend() -> None:
    odd = np.zeros(SHAPE, dtype=bool)
    odd[12, 12, 12] = odd[8, 12, 12] = True
    scan = scan_of(np.zeros(SHAPE), noise=0.2, offset=np.where(odd, OFFSET + 0.8, OFFSET))
    line, bent = fitted(scan, 0.0), fitted(scan, 2.5)
    np.testing.assert_array_equal(bent.phase_slope_rad[odd], line.phase_slope_rad[odd])
    np.testing.assert_array_equal(bent.residual[odd], line.residual[odd])


def test_two_echoes_have_lines() -> None:
    scan = scan_of(some_mixed(), echoes=2, noise=0.1)
    line, bent = fitted(scan, 0.0), fitted(scan, 2.5)
    np.testing.assert_array_equal(bent.phase_slope_rad, line.phase_slope_rad)
    np.testing.assert_array_equal(bent.noise_rad, line.noise_rad)


def test_noise_told_ten_times_too_low_makes_no_bends() -> None:
    scan = scan_of(np.zeros(SHAPE), noise=2.5)
    fit = fit_field(scan, NonlinearParams())
    fit = refine_unwrapped(scan, fit, fit.phase_slope_rad, MASK)
    told = FieldFit(fit.phase_slope_rad, fit.noise_rad / 10, fit.residual * 10, fit.echo_spacing_s, fit.noise_sd / 10)
    line, bent = (fit_with_smooth_offset(scan, told, MASK, 3.0, 2.0, limit) for limit in (0.0, 2.5))
    assert (line.phase_slope_rad != bent.phase_slope_rad)[MASK].mean() < 0.05
