"""The gyromagnetic ratio, once, and the conversions between rad, Hz and ppm.

Sign convention of the whole package: paramagnetic susceptibility is positive, and a positive field makes the
phase *grow* with echo time, s(TE) = |s| exp(+i(phi0 + 2 pi f TE)). Vendors that store the opposite are
turned round at the border (`dicom.phase`).
"""

import math

GAMMA_BAR_HZ_PER_T = 42.577478518e6
"""Proton gyromagnetic ratio / 2 pi in Hz/T (CODATA 2018, shielded difference of 26 ppm is immaterial here)."""

PPB_PER_PPM = 1000.0


def center_frequency_hz(field_strength_t: float) -> float:
    """Larmor frequency in Hz at `field_strength_t` tesla."""
    return GAMMA_BAR_HZ_PER_T * field_strength_t


def ppm_per_rad(interval_s: float, center_frequency_hz: float) -> float:
    """Relative field in ppm that turns the phase by one radian within `interval_s` seconds."""
    return 1e6 / (2 * math.pi * interval_s * center_frequency_hz)


def ppm_per_hz(center_frequency_hz: float) -> float:
    """Relative field in ppm that shifts the frequency by one hertz."""
    return 1e6 / center_frequency_hz
