"""The magnitude of all echoes together: the image that shows the object best."""

from typing import Any

import numpy as np

from qsm_recon.qsm import backend
from qsm_recon.qsm.compiling import jit_rows

Array = Any


def root_sum_of_squares(magnitude: Array, unit: float = 1.0) -> Array:
    """Magnitude over all echoes in `unit`s, (echo, x, y, z) to (x, y, z) float32 (Spincemaille 2019: I).

    A unit near the largest magnitude keeps the squares within float32, whatever a scanner's numbers are.
    """
    xp = backend.namespace(magnitude)
    total = xp.zeros(magnitude.shape[1:], dtype=xp.float32)
    if backend.is_device_array(magnitude):
        for echo in magnitude:  # one echo at a time: no second copy of the scan
            part = echo / np.float32(unit)
            part *= part
            total += part
        return xp.sqrt(total, out=total)
    _root_sums(total.shape[0], magnitude, np.float32(unit), total)
    return total


@jit_rows
def _root_sums(low: int, high: int, magnitude: Any, unit: Any, out: Any) -> None:
    _, ny, nz = out.shape
    for x in range(low, high):
        for y in range(ny):
            for echo in range(magnitude.shape[0]):
                for z in range(nz):
                    part = magnitude[echo, x, y, z] / unit
                    out[x, y, z] += part * part
            for z in range(nz):
                out[x, y, z] = np.sqrt(out[x, y, z])
