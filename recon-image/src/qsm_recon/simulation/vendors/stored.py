"""Complex signal to the integers a scanner stores.

All functions take volumes as (slice, row, column), the order of the files, and keep one scale for all echoes:
a scale of its own per echo would destroy the decay.
"""

import numpy as np
from numpy.typing import NDArray

from qsm_recon.simulation.measurement import Measurement

TOP_12_BIT = 4095

ComplexVolume = NDArray[np.complex64]


def peak(measurement: Measurement) -> float:
    """Largest magnitude of all echoes.

    Raises
    ------
    ValueError
        Where there is no signal at all, or it is not finite.
    """
    largest = max(float(np.abs(echo).max()) for echo in measurement.signal)
    if not (np.isfinite(largest) and largest > 0):
        raise ValueError("the measurement has no finite signal to write")
    return largest


def echo_volume(measurement: Measurement, echo: int) -> ComplexVolume:
    """One echo, (slice, row, column)."""
    return np.ascontiguousarray(measurement.signal[echo].T)


def magnitude(signal: ComplexVolume, scale: float) -> NDArray[np.uint16]:
    """|signal| * scale, rounded."""
    steps: NDArray[np.float32] = np.rint(np.abs(signal) * np.float32(scale))
    return steps.astype(np.uint16)


def phase_of_turn(signal: ComplexVolume) -> NDArray[np.uint16]:
    """A turn in 4096 steps, 0 = -pi, 2048 = 0 (Siemens, UIH); +pi is the same angle as -pi and becomes 0."""
    turns: NDArray[np.float32] = np.rint((np.angle(signal) / np.float32(np.pi) + 1) * 2048)
    return turns.astype(np.uint16) & np.uint16(4095)


def phase_of_range(signal: ComplexVolume, slope: float, intercept: float) -> NDArray[np.uint16]:
    """12 bits whose rescaled value is the phase in mrad (Philips)."""
    steps: NDArray[np.float32] = np.rint(
        (np.angle(signal) * np.float32(1e3) - np.float32(intercept)) / np.float32(slope)
    )
    np.clip(steps, 0, TOP_12_BIT, out=steps)
    return steps.astype(np.uint16)


def signed(part: NDArray[np.float32], scale: float) -> NDArray[np.int16]:
    """A real or imaginary part as two's complement."""
    steps: NDArray[np.float32] = np.rint(part * np.float32(scale))
    return steps.astype(np.int16)
