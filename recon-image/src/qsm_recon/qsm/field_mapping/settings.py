"""Numbers that both forms of the fit (arrays, compiled) take alike."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class FitSettings:
    """How one pass of the fit is to be made."""

    noise_sd: float = 1.0
    """Noise per real channel; scales the noise and residual maps, leaves the slope alone."""
    energy_floor: float = 0.0
    """Voxels whose sum of squared magnitude over the echoes is not above this carry no signal."""
    alias_gain: float = math.inf
    """Uneven spacing: a slope shifted by +-2 pi is taken where it lowers the misfit by more than this."""
    steps: int = 2
    """Gauss-Newton steps after the closed-form start."""
    linear: bool = False
    """True for weighted linear regression on phase (one step that takes the angle instead of its sine)."""
    polarity: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Phase of odd (second, fourth ...) against even echoes: constant, and rad per voxel along x, y, z."""
