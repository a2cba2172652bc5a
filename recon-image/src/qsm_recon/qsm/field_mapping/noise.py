"""How noisy the images are, from the images: no scanner says it.

Three witnesses, on a regular subset of x-slices:

- the fit residual of bright voxels (needs more echoes than unknowns): noise where the object is, whatever coil
  combination or parallel imaging did to it, and small model errors with it;
- air: magnitude that is Rayleigh distributed there (checked; masked, filtered or many-coil air fails the check);
- phase of two echoes in neighbouring bright voxels, combined so that the field cancels: for scans that leave no
  residual and have no usable air. Ringing counts as noise here, so this one errs upwards.

All are medians, so a few vessels, edges or ghosts do not matter.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.special

from qsm_recon.errors import InputError
from qsm_recon.qsm import backend
from qsm_recon.qsm.field_mapping import compiled_fit
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


NORMAL_QUARTILE = 0.67449
"""Median of |x| for a standard normal x."""


@dataclass(frozen=True)
class _Sample:
    """A regular subset of x-slices."""

    magnitude: Any
    """(echo, x, y, z) float32, on the host."""
    phase_rad: Any
    """(echo, x, y, z) float32, on the host."""
    energy: Any
    """(x, y, z) sum of squared magnitude over the echoes."""
    high: float
    """99th percentile of the energy where there is any."""

    @property
    def bright(self) -> Any:
        """(x, y, z) bool: clearly object."""
        return self.energy > BRIGHT_FRACTION * self.high


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


def _sample_slices(shape: tuple[int, int, int]) -> slice:
    """Regular subset of x-slices of about `SAMPLE_VOXELS` voxels (at least three slices where there are)."""
    nx, ny, nz = shape
    wanted = min(nx, max(3, -(-SAMPLE_VOXELS // (ny * nz))))
    stride = max(1, nx // wanted)
    return slice(stride // 2, nx, stride)


def _sample(scan: MultiEchoScan, pick: slice) -> _Sample:
    magnitude = np.ascontiguousarray(backend.to_host(scan.magnitude[:, pick]), np.float32)
    phase = np.ascontiguousarray(backend.to_host(scan.phase_rad[:, pick]), np.float32)
    energy = np.einsum("exyz,exyz->xyz", magnitude, magnitude, dtype=np.float64)
    if not (np.isfinite(energy).all() and np.isfinite(phase).all()):
        raise InputError("NotFinite", "Magnitude or phase holds values that are no numbers (NaN or infinite).")
    positive = energy[energy > 0]
    if positive.size == 0:
        raise InputError("EmptyImages", "The magnitude images are zero everywhere.")
    return _Sample(magnitude, phase, energy, float(np.percentile(positive, 99)))


def _noise_of_residual(sample: _Sample, plan: EchoPlan, settings: FitSettings) -> float:
    """Noise from what the fit leaves over in bright voxels."""
    residual = compiled_fit.fit(sample.magnitude, sample.phase_rad, plan, settings)[2]
    squares = float(np.median(residual[sample.bright].astype(np.float64) ** 2))
    dof = plan.degrees_of_freedom
    return math.sqrt(squares * dof / _chi2_quantile(0.5, dof))


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


def _curvature(values: Any, axis: int) -> tuple[Any, Any, Any]:
    """The three neighbours whose second difference along `axis` is taken: before, at, after."""
    moved = np.moveaxis(values, axis, 0)
    return moved[:-2], moved[1:-1], moved[2:]


def _noise_of_neighbours(scan: _Sample, pair: tuple[int, int], echo_times_s: tuple[float, ...]) -> float:
    """Noise from phase of two echoes in neighbouring bright voxels; 0 where there are none.

    The second difference of phase_b - phase_a TE_b/TE_a along an axis holds no field (that grows with TE) and
    hardly any coil phase (that is smooth): what is left is noise of known weight. The quieter of two axes counts.
    """
    first, second = pair
    ratio = echo_times_s[second] / echo_times_s[first]
    found = []
    for axis in (1, 2):  # within the sampled slices
        if scan.bright.shape[axis] < 3:
            continue
        inside = np.logical_and.reduce(_curvature(scan.bright, axis))
        if not inside.any():
            continue
        turns, variances = [], []
        for j in (first, second):
            before, at, after = (v[inside].astype(np.float64) for v in _curvature(scan.phase_rad[j], axis))
            turn = before - 2 * at + after
            turns.append(turn - 2 * math.pi * np.round(turn / (2 * math.pi)))
            # a voxel without magnitude counts as one of a thousandth: it only widens its own variance
            before, at, after = (
                np.maximum(v[inside].astype(np.float64), 1e-3 * scan.high**0.5)
                for v in _curvature(scan.magnitude[j], axis)
            )
            variances.append(before**-2 + 4 * at**-2 + after**-2)
        spread = np.abs(turns[1] - ratio * turns[0]) / np.sqrt(variances[1] + ratio**2 * variances[0])
        found.append(float(np.median(spread)) / NORMAL_QUARTILE)
    return min(found, default=0.0)


def estimate_noise(scan: MultiEchoScan, plan: EchoPlan, settings: FitSettings) -> NoiseEstimate:
    """Noise and signal floor of `scan`; of `settings` the way of fitting counts.

    Raises
    ------
    InputError
        `EmptyImages` where no voxel has any magnitude, `NotFinite` where magnitude or phase is not a number.
    """
    pick = _sample_slices(scan.shape)
    sample = _sample(scan, pick)
    echoes = len(sample.magnitude)
    air = _noise_of_air(sample.energy, BRIGHT_FRACTION * sample.high, echoes)
    warnings: list[str] = []
    if plan.degrees_of_freedom > 0:
        constant, along_x, along_y, along_z = settings.polarity
        # the sample has its own x axis
        polarity = (constant + along_x * pick.start, along_x * pick.step, along_y, along_z)
        noise_sd = _noise_of_residual(sample, plan, replace(settings, polarity=polarity))
        if air is not None and noise_sd > MODEL_MISFIT_RATIO * air:
            warnings.append(
                f"ModelMisfit: the phase departs from a straight line in TE by {noise_sd / air:.1f} times the noise "
                "of air, and the noise map says so; eddy currents, flow, motion or a wrong readout polarity do this."
            )
    elif air is not None:
        noise_sd = air
    else:
        noise_sd = _noise_of_neighbours(sample, plan.start_pairs[0], scan.echo_times_s)

    signal = math.sqrt(float(np.median(sample.energy[sample.bright])) / echoes)
    noise_sd = max(noise_sd, FINEST_NOISE * signal)
    channels = 2 * echoes
    # Five standard deviations above pure noise, and never more than a tenth of the bright signal: where the
    # noise is over-estimated, dark tissue must not be taken for air.
    quiet = noise_sd if air is None else min(noise_sd, air)
    floor = min(quiet**2 * (channels + 5 * math.sqrt(2 * channels)), 0.01 * sample.high)
    return NoiseEstimate(noise_sd, floor, tuple(warnings))
