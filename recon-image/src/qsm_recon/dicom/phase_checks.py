"""Does the phase, as scaled from tags, look like a phase? Conservative: only the impossible is refused.

Each check looks at values that the tags promised; none of them ever *sets* a scale, and a phantom with a
smooth field or a masked background passes.
"""

import math

import numpy as np
from numpy.typing import NDArray

from qsm_recon.errors import InputError

OUTSIDE_LIMIT_RAD = 1.01 * math.pi
OUTSIDE_FRACTION = 1e-3
SMALLEST_SPAN_RAD = 1.0
"""Less than this between the 0.1st and 99.9th percentile, over all echoes: not radians."""
USUAL_SPAN_RAD = 0.8 * 2 * math.pi
"""Noise in air spans a full turn; less than this is said, not refused (masked background, smooth phantom)."""

_MAX_SAMPLES = 1_000_000
_LARGE_SCALE_CONCENTRATION = 0.98
_MID_OVER_LARGE = 3.0
_MID_SCALE_FLOOR = 2e-3
_ALTERNATION_LIMIT = 0.2

Volume = NDArray[np.float32]
ComplexVolume = NDArray[np.complex64]


def check_range(phase_rad: Volume, where: str) -> None:
    """Refuse a volume of which more than 0.1 % lies outside +-1.01 pi.

    Raises
    ------
    InputError
        `PhaseScaleUnknown`.
    """
    # Plane by plane, here and below: a temporary volume costs more than the check.
    outside = sum(int(np.count_nonzero(np.abs(plane) > OUTSIDE_LIMIT_RAD)) for plane in phase_rad) / phase_rad.size
    if outside > OUTSIDE_FRACTION:
        raise InputError(
            "PhaseScaleUnknown",
            f"{where}: {outside:.1%} of the voxels lie outside -pi..pi after the scaling that the tags state.",
        )


def check_span(phase_rad: Volume) -> str | None:
    """Refuse echoes that together span less than 1 rad; return a warning below 80 % of a turn.

    Parameters
    ----------
    phase_rad
        (echo, x, y, z).

    Raises
    ------
    InputError
        `PhaseScaleUnknown`.
    """
    flat = phase_rad.reshape(-1)
    # An odd stride walks through all rows, slices and echoes instead of along one plane.
    sample = flat[:: max(1, flat.size // _MAX_SAMPLES) | 1]
    low, high = np.percentile(sample, (0.1, 99.9))
    span = float(high - low)
    if span < SMALLEST_SPAN_RAD:
        raise InputError(
            "PhaseScaleUnknown",
            f"The phase of all echoes together spans {span:.2g} rad: these values cannot be a phase in radians.",
        )
    if span < USUAL_SPAN_RAD:
        return (
            f"PhaseSpanSmall: The phase spans {span:.2g} rad, less than a turn: right for a masked background or a "
            "smooth phantom, else a sign of wrong scaling."
        )
    return None


def wrap(phase_rad: Volume) -> None:
    """Bring values that rounding put just outside [-pi, pi] back by whole turns, in place."""
    for plane in phase_rad:
        over = np.abs(plane) > np.float32(math.pi)
        if over.any():
            values = plane[over].astype(np.float64)
            plane[over] = values - 2 * math.pi * np.round(values / (2 * math.pi))
            # float32(pi) is above pi: keep the promise of the interval literally.
            np.clip(plane, -np.float32(math.pi), np.float32(math.pi), out=plane)


def signs_alternate(first_echo: ComplexVolume) -> bool:
    """Whether every second slice of a GE volume carries the opposite sign.

    GE writes the slice axis of 3-D complex data without the half-period shift, which multiplies every second
    slice by -1; some releases undo it, some do not, and no tag says which. Neighbouring slices of the first
    echo are nearly equal, so the real part of their complex correlation is near +1 or, with alternation,
    near -1.

    Parameters
    ----------
    first_echo
        (x, y, z) complex signal of the shortest echo.

    Raises
    ------
    InputError
        `PhaseScaleUnknown` where the correlation is too weak to tell.
    """
    here, above = first_echo[..., :-1], first_echo[..., 1:]
    scale = float(np.sum(np.abs(here) * np.abs(above), dtype=np.float64))
    correlation = float(np.sum((np.conj(here) * above).real, dtype=np.float64)) / scale if scale > 0 else 0.0
    if abs(correlation) < _ALTERNATION_LIMIT:
        raise InputError(
            "PhaseScaleUnknown",
            "It cannot be told whether the sign of every second slice is inverted (a GE habit): neighbouring slices of "
            f"the first echo correlate with only {correlation:+.2f}.",
        )
    return correlation < 0


def looks_filtered(signal: ComplexVolume) -> bool:
    """Whether one echo's phase lacks everything large: the mark of a high-pass (SWI) filter.

    A filtered phase is zero on average over any large block of tissue, while within such blocks it still
    varies (vessels, edges, noise). A raw phase is the other way round: coil phase and background field vary
    mostly from block to block. Measured by the concentration of phases (1 = all equal): of large blocks
    among each other, and of small blocks within large ones.

    Parameters
    ----------
    signal
        (x, y, z) complex signal.
    """
    nx, ny, _ = signal.shape
    small_x, small_y = max(2, round(nx / 64)), max(2, round(ny / 64))
    times_x, times_y = max(2, round(nx / 8 / small_x)), max(2, round(ny / 8 / small_y))
    small = _block_sums(signal, small_x, small_y)
    large = _block_sums(small, times_x, times_y)
    if large.size == 0:
        return False
    small = small[: large.shape[0] * times_x, : large.shape[1] * times_y]
    total = complex(large.sum(dtype=np.complex128))
    sum_large = float(np.abs(large).sum(dtype=np.float64))
    sum_small = float(np.abs(small).sum(dtype=np.float64))
    if sum_large == 0 or abs(math.atan2(total.imag, total.real)) > 0.2:
        return False
    large_spread = 1 - abs(total) / sum_large
    mid_spread = 1 - sum_large / sum_small
    return (
        large_spread < 1 - _LARGE_SCALE_CONCENTRATION
        and mid_spread > _MID_SCALE_FLOOR
        and mid_spread > _MID_OVER_LARGE * large_spread
    )


def check_not_filtered(magnitude: Volume, phase_rad: Volume) -> None:
    """Refuse a scan in which *every* echo's phase looks high-pass filtered.

    Parameters
    ----------
    magnitude, phase_rad
        (echo, x, y, z).

    Raises
    ------
    InputError
        `FilteredPhase`.
    """
    slices = np.linspace(0, magnitude.shape[3] - 1, min(magnitude.shape[3], 16)).round().astype(int)
    for m, p in zip(magnitude, phase_rad, strict=True):
        if not looks_filtered(polar(m[..., slices], p[..., slices])):
            return
    raise InputError(
        "FilteredPhase",
        "The phase has no large-scale part in any echo: it was high-pass filtered (as for SWI), and the field cannot "
        "be had from it. Export the unfiltered phase.",
    )


def polar(magnitude: Volume, phase_rad: Volume) -> ComplexVolume:
    """Magnitude * exp(i phase), complex64."""
    out = np.empty(magnitude.shape, dtype=np.complex64)
    out.real = magnitude * np.cos(phase_rad)
    out.imag = magnitude * np.sin(phase_rad)
    return out


def _block_sums(volume: ComplexVolume, bx: int, by: int) -> ComplexVolume:
    cx, cy = volume.shape[0] // bx, volume.shape[1] // by
    cut = volume[: cx * bx, : cy * by].reshape(cx, bx, cy, by, -1)
    return np.asarray(cut.sum(axis=(1, 3)))
