"""How noisy the images are, from the images: no scanner says it.

Three witnesses, on a regular subset of x-slices:

- the fit residual of bright voxels (needs more echoes than unknowns): noise where the object is, whatever coil
  combination or parallel imaging did to it, and small model errors with it;
- air: magnitude that is Rayleigh distributed there (checked; masked, filtered or many-coil air fails the check);
- second differences of phase between neighbouring bright voxels: for two echoes without usable air.

All are medians, so a few vessels, edges or ghosts do not matter.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special

from qsm_recon.errors import InputError
from qsm_recon.qsm import backend
from qsm_recon.qsm.field_mapping.echoes import EchoPlan
from qsm_recon.qsm.field_mapping.settings import FitSettings
from qsm_recon.qsm.scan import MultiEchoScan

SAMPLE_VOXELS = 400_000
BRIGHT_FRACTION = 0.1
"""Bright: energy (sum of squared magnitude over echoes) above this fraction of its 99th percentile."""
FINEST_NOISE = 1e-4
"""Smallest noise believed, as fraction of the bright signal: 12-bit phase alone is worse than this."""
AIR_TOLERANCE = 0.15
"""How far the quartiles of air may lie from those of pure noise, as a fraction."""
MODEL_MISFIT_RATIO = 3.0
"""A fit residual this many times the air noise is said in a warning."""


@dataclass(frozen=True)
class NoiseEstimate:
    """Noise, and where signal ends."""

    noise_sd: float
    """Standard deviation per real channel, unit of the magnitude."""
    energy_floor: float
    """Sum of squared magnitude over echoes up to which a voxel carries no signal."""
    warnings: tuple[str, ...]


def _chi2_quantile(probability: float, degrees_of_freedom: int) -> float:
    return float(scipy.special.chdtri(degrees_of_freedom, 1 - probability))


def sample_slices(scan: MultiEchoScan) -> slice:
    """Regular subset of x-slices of about `SAMPLE_VOXELS` voxels (at least three slices where there are)."""
    nx, ny, nz = scan.shape
    wanted = min(nx, max(3, -(-SAMPLE_VOXELS // (ny * nz))))
    stride = max(1, nx // wanted)
    return slice(stride // 2, nx, stride)


def _noise_of_air(energy: Any, ceiling: float, echoes: int) -> float | None:
    """Noise from voxels that hold nothing else; None where they do not look like pure noise."""
    dof = 2 * echoes
    candidates = np.sort(energy[(energy > 0) & (energy < ceiling)])
    if candidates.size < max(100, 0.02 * energy.size):
        return None
    median, top = _chi2_quantile(0.5, dof), _chi2_quantile(0.999, dof)
    # start below the middle: signal can only be brighter than air
    variance = float(candidates[candidates.size // 4]) / _chi2_quantile(0.25, dof)
    kept = candidates
    for _ in range(20):
        kept = candidates[: int(np.searchsorted(candidates, variance * top))]
        if kept.size < 100:
            return None
        variance = float(kept[kept.size // 2]) / median
    if kept.size < 0.02 * energy.size:
        return None
    for quantile in (0.1, 0.25, 0.75, 0.9):
        expected = variance * _chi2_quantile(quantile, dof)
        if abs(kept[int(quantile * kept.size)] / expected - 1) > AIR_TOLERANCE:
            return None
    return math.sqrt(variance)


def _noise_of_neighbours(magnitude: Any, phase_rad: Any, bright: Any) -> float:
    """Noise from second differences of phase along y (within sampled slices) over bright voxels; 0 if none."""
    both = bright[:, :-2] & bright[:, 1:-1] & bright[:, 2:]
    if not both.any():
        return 0.0
    found = []
    for m, p in zip(magnitude, phase_rad, strict=True):
        curvature = (p[:, :-2] - 2 * p[:, 1:-1] + p[:, 2:])[both].astype(np.float64)
        curvature -= 2 * math.pi * np.round(curvature / (2 * math.pi))
        with np.errstate(divide="ignore"):
            variance = (1 / m[:, :-2] ** 2 + 4 / m[:, 1:-1] ** 2 + 1 / m[:, 2:] ** 2)[both]
        found.append(float(np.median(np.abs(curvature) / np.sqrt(variance))) / 0.67449)
    return min(found)


def estimate_noise(scan: MultiEchoScan, plan: EchoPlan, settings: FitSettings) -> NoiseEstimate:
    """Noise and signal floor of `scan`.

    Raises
    ------
    InputError
        `EmptyImages` where no voxel has any magnitude, `NotFinite` where magnitude or phase is not a number.
    """
    from qsm_recon.qsm.field_mapping import compiled_fit  # noqa: PLC0415 - keeps the sample fit beside its use

    pick = sample_slices(scan)
    magnitude = np.ascontiguousarray(backend.to_host(scan.magnitude[:, pick]), np.float32)
    phase = np.ascontiguousarray(backend.to_host(scan.phase_rad[:, pick]), np.float32)
    energy = np.einsum("exyz,exyz->xyz", magnitude, magnitude, dtype=np.float64)
    if not (np.isfinite(energy).all() and np.isfinite(phase).all()):
        raise InputError("NotFinite", "Magnitude or phase holds values that are no numbers (NaN or infinite).")
    positive = energy[energy > 0]
    if positive.size == 0:
        raise InputError("EmptyImages", "The magnitude images are zero everywhere.")
    high = float(np.percentile(positive, 99))
    bright = energy > BRIGHT_FRACTION * high
    air = _noise_of_air(energy, BRIGHT_FRACTION * high, len(magnitude))
    warnings: list[str] = []

    dof = plan.degrees_of_freedom
    if dof > 0:
        sample_settings = FitSettings(steps=settings.steps, linear=settings.linear, polarity=settings.polarity)
        if plan.remove_polarity_phase:  # the sample has its own x axis
            c, gx, gy, gz = settings.polarity
            moved = (c + gx * pick.start, gx * pick.step, gy, gz)
            sample_settings = FitSettings(steps=settings.steps, linear=settings.linear, polarity=moved)
        residual = compiled_fit.fit(magnitude, phase, plan, sample_settings)[2]
        variance = float(np.median(residual[bright].astype(np.float64) ** 2)) * dof / _chi2_quantile(0.5, dof)
        noise_sd = math.sqrt(variance)
        if air is not None and noise_sd > MODEL_MISFIT_RATIO * air:
            warnings.append(
                f"ModelMisfit: the phase departs from a straight line in TE by {noise_sd / air:.1f} times the noise "
                "of air; motion, flow or a wrong readout polarity can do this."
            )
    elif air is not None:
        noise_sd = air
    else:
        noise_sd = _noise_of_neighbours(magnitude, phase, bright)

    signal = math.sqrt(float(np.median(energy[bright])) / len(magnitude))
    noise_sd = max(noise_sd, FINEST_NOISE * signal)
    channels = 2 * len(magnitude)
    # Five standard deviations above pure noise, and never more than a tenth of the bright signal: where the
    # noise is over-estimated, dark tissue must not be taken for air.
    quiet = noise_sd if air is None else min(noise_sd, air)
    floor = min(quiet**2 * (channels + 5 * math.sqrt(2 * channels)), 0.01 * high)
    return NoiseEstimate(noise_sd, floor, tuple(warnings))
