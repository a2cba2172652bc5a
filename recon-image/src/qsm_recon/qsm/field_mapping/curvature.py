"""Voxels that hold two tissues: their phase bends over the echoes, and only its start tells their mean field.

A voxel's signal is a sum over what it holds, so its phase follows the mean field weighted with the signal:

    phase(t) / t = <f> + cov(ln M0, f) - t cov(R2*, f) + ...

At the border of an iron-rich nucleus the side with more iron decays sooner and takes its field with it, and a line
through the echoes is off by cov(R2*, f) times their mean time: up to 20 ppb round the substantia nigra, always to the
same side, which a dipole inversion turns into nuclei that are too strong. The slope with which the phase starts is
free of that (the part of the proton density M0 remains).

One more unknown in every voxel would double the noise, so a bend is believed only where it is seen: shrunk by the
non-negative garrote, which leaves small ones out and large ones whole; and only where it explains the echoes better
than a phase offset of the voxel's own, which takes as many unknowns (flowing blood has one).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from qsm_recon.qsm import backend

Array = Any

LEAST_ECHOES = 3
"""With two echoes every offset is a bend as well."""

LEAST_INFORMATION = 1e-6
"""Part of the fourth moment of the echo times that the line must leave to the bend."""


@dataclass(frozen=True)
class Echoes:
    """The same voxels at every echo, offset taken off; any one shape."""

    energy: list[Array]
    """Squared magnitudes."""
    angle: list[Array]
    """Phases less the offset, rad, up to multiples of 2 pi."""
    times: list[np.float32]
    """Echo times in echo spacings."""

    def at(self, which: Array) -> "Echoes":
        """Some of the voxels."""
        return Echoes([e[which] for e in self.energy], [a[which] for a in self.angle], self.times)

    def moment(self, power: int) -> Array:
        """Sum of energy times time to a power."""
        return sum(e * t**power for e, t in zip(self.energy, self.times, strict=True))

    def moment_of_rest(self, slope: Array, power: int) -> Array:
        """Sum of energy, time to a power and the angle that a line leaves, rad."""
        return sum(e * t**power * wrap(a - slope * t) for e, a, t in self)

    def misfit(self, slope: Array, bend: Array | float = 0.0) -> Array:
        """Sum of the squared distances on the complex plane from a phase of slope t + bend t^2."""
        half = np.float32(0.5)
        return sum(4 * e * backend.namespace(a).sin(half * (a - t * (slope + bend * t))) ** 2 for e, a, t in self)

    def __iter__(self) -> Any:
        return iter(zip(self.energy, self.angle, self.times, strict=True))


def wrap(angle: Array) -> Array:
    """To [-pi, pi]."""
    return angle - np.float32(2 * np.pi) * backend.namespace(angle).round(angle * np.float32(0.5 / np.pi))


@dataclass(frozen=True)
class Bend:
    """Where the phase bends, and what follows from it; the voxels of `which` in order."""

    which: Array
    """Indices of the voxels."""
    slope: Array
    """Slope at echo time zero, rad per spacing."""
    variance: Array
    """What the bend adds to the slope's variance, rad^2."""
    misfit: Array
    """As `Echoes.misfit`."""


def find_bends(echoes: Echoes, slope: Array, free_misfit: Array, noise_sd: float, limit: float) -> Bend:
    """Voxels whose echoes lie on a curve rather than on their best line through the offset.

    Parameters
    ----------
    echoes
        Three or more.
    slope
        Of that line, rad per spacing, 1-D.
    free_misfit
        As `Echoes.misfit`, of the line with an offset of the voxel's own.
    noise_sd
        Noise per real channel, in units of the magnitude.
    limit
        Standard deviations from which on a bend counts.

    References
    ----------
    Cronin et al. 2017, doi:10.1016/j.neuroimage.2017.01.053 (fields that depend on the echo time); Breiman 1995,
    doi:10.1080/00401706.1995.10484371 (non-negative garrote).
    """
    xp = backend.namespace(slope)
    second, third, fourth = (echoes.moment(power) for power in (2, 3, 4))
    tilt = third / xp.where(second > 0, second, np.float32(1))
    """Slope that the best line gains from a bend of one."""
    information = fourth - tilt * third
    told = information > LEAST_INFORMATION * fourth
    bend = xp.where(told, echoes.moment_of_rest(slope, 2), 0) / xp.where(told, information, np.float32(1))
    variance = np.float32(noise_sd**2) / xp.where(told, information, np.float32(1))
    seen = xp.flatnonzero(bend * bend > np.float32(limit**2) * variance)

    part = echoes.at(seen)
    whole = part.misfit(slope[seen] - tilt[seen] * bend[seen], bend[seen])
    better = whole <= free_misfit[seen]
    which = seen[better]
    kept = 1 - np.float32(limit**2) * variance[which] / bend[which] ** 2
    bend, tilt = bend[which] * kept, tilt[which]
    slope = slope[which] - tilt * bend
    return Bend(which, slope, variance[which] * (kept * tilt) ** 2, part.at(better).misfit(slope, bend))
