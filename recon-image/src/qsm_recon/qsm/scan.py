"""What the stages hand to each other: frozen, units in names.

Every volume has axes (x, y, z) = (column index, row index, slice index) of the scanner's images, C order,
float32 (masks bool), NumPy or CuPy alike; `echo` comes first where there is one.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from qsm_recon.qsm import units

Array = Any
"""A NumPy or CuPy array. (CuPy has no stable static types; docstrings give shape and dtype.)"""


@dataclass(frozen=True)
class Geometry:
    """Where the voxels are, as far as the physics cares."""

    voxel_size_mm: tuple[float, float, float]
    """Distance between voxel centres along (x, y, z); z is the slice *step*, not the thickness."""
    b0_direction: tuple[float, float, float]
    """Unit vector of B0 in voxel axes (x, y, z)."""

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) and v > 0 for v in self.voxel_size_mm):
            raise ValueError(f"voxel_size_mm must be three positive numbers, got {self.voxel_size_mm}")
        norm = math.sqrt(sum(b * b for b in self.b0_direction))
        if not math.isclose(norm, 1.0, abs_tol=1e-6):
            raise ValueError(f"b0_direction must be a unit vector, its length is {norm:g}")


@dataclass(frozen=True)
class MultiEchoScan:
    """A multi-echo gradient-echo scan, ready for the science."""

    magnitude: Array
    """(echo, x, y, z) float32, arbitrary unit, >= 0."""
    phase_rad: Array
    """(echo, x, y, z) float32, in [-pi, pi], growing with TE where the field is positive."""
    echo_times_s: tuple[float, ...]
    """Ascending echo times in s."""
    center_frequency_hz: float
    """Scanner's imaging frequency in Hz (or gamma-bar times the nominal field)."""
    geometry: Geometry
    bipolar_readout: bool = False
    """True where even and odd echoes were read in opposite directions."""

    def __post_init__(self) -> None:
        te = self.echo_times_s
        if self.magnitude.shape != self.phase_rad.shape or self.magnitude.ndim != 4:
            raise ValueError(
                f"magnitude {self.magnitude.shape} and phase_rad {self.phase_rad.shape} must both be (echo, x, y, z)"
            )
        if len(te) != self.magnitude.shape[0]:
            raise ValueError(f"{len(te)} echo times for {self.magnitude.shape[0]} echoes")
        if any(b <= a for a, b in pairwise(te)) or te[0] <= 0:
            raise ValueError(f"echo_times_s must be positive and ascending, got {te}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Volume shape (x, y, z)."""
        _, nx, ny, nz = self.magnitude.shape
        return nx, ny, nz

    @property
    def field_strength_t(self) -> float:
        """B0 in tesla, from the imaging frequency."""
        return self.center_frequency_hz / units.GAMMA_BAR_HZ_PER_T


@dataclass(frozen=True)
class FieldFit:
    """Result of the complex multi-echo fit, before spatial unwrapping."""

    phase_slope_rad: Array
    """(x, y, z) float32: phase evolution over `echo_spacing_s`, up to multiples of 2 pi; 0 without signal."""
    noise_rad: Array
    """(x, y, z) float32: standard deviation of `phase_slope_rad` (image noise included); +inf without signal."""
    residual: Array
    """(x, y, z) float32: rms misfit of the complex signal over its expected value, so about 1 for pure noise;
    0 everywhere when two echoes leave no degree of freedom."""
    echo_spacing_s: float
    """The interval the slope refers to: the (smallest) echo spacing, in s."""
    noise_sd: float
    """Estimated noise standard deviation per real channel, in units of the magnitude."""
    warnings: tuple[str, ...] = ()

    def ppm_per_rad(self, center_frequency_hz: float) -> float:
        """Factor from `phase_slope_rad` and `noise_rad` to ppm of B0."""
        return units.ppm_per_rad(self.echo_spacing_s, center_frequency_hz)


@dataclass(frozen=True)
class LocalField:
    """Field of the sources inside the mask, after background removal."""

    local_field_ppm: Array
    """(x, y, z) float32, ppm of B0; 0 outside `mask`."""
    mask: Array
    """(x, y, z) bool: where the local field is valid (may be smaller than the mask that went in)."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inversion:
    """Result of dipole inversion."""

    chi_ppm: Array
    """(x, y, z) float32, ppm, unreferenced; 0 outside `mask`."""
    mask: Array
    """(x, y, z) bool: where chi is valid."""
    warnings: tuple[str, ...] = ()
    iterations: int = 0


def norm3(vector: tuple[float, float, float]) -> tuple[float, float, float]:
    """`vector` scaled to unit length."""
    v = np.asarray(vector, dtype=np.float64)
    length = float(np.linalg.norm(v))
    if not math.isfinite(length) or length == 0:
        raise ValueError(f"cannot take the direction of {vector}")
    x, y, z = (float(c) for c in v / length)
    return x, y, z
