"""How rough the phase is: a reliability map that works with two echoes and needs no unwrapping."""

import math
from typing import Any

import numpy as np

from qsm_recon.qsm import backend
from qsm_recon.qsm.compiling import jit_rows
from qsm_recon.qsm.scan import FieldFit

Array = Any

WORST_RAD = math.pi / 2
"""Roughness is clipped here, so that one wild voxel does not condemn its neighbours."""


def phase_roughness_rad(fit: FieldFit) -> Array:
    """Root mean square over the axes of the wrapped second difference of the phase slope.

    A second difference cancels any constant and any gradient, so smooth background fields of any strength leave
    it near zero, while air, dephased voxels and mixed fat and water make it large. Voxels without signal, and
    differences that need one, count as the worst.

    Parameters
    ----------
    fit
        Field fit; `phase_slope_rad` and `noise_rad` are used.

    Returns
    -------
    (x, y, z) float32 on the host, rad per echo spacing, 0 to pi/2.
    """
    slope = np.ascontiguousarray(backend.to_host(fit.phase_slope_rad), dtype=np.float32)
    signal = np.ascontiguousarray(np.isfinite(backend.to_host(fit.noise_rad)))
    out = np.empty_like(slope)
    _roughness(slope.shape[0], slope, signal, np.float32(WORST_RAD), out)
    return out


@jit_rows
def _roughness(low: int, high: int, slope: Array, signal: Array, worst: np.float32, out: Array) -> None:
    """Fill `out`; at the edge of the volume the axis that lacks a neighbour is left out."""
    shape = slope.shape
    turn = np.float32(2 * np.pi)
    for x in range(low, high):
        for y in range(shape[1]):
            for z in range(shape[2]):
                if not signal[x, y, z]:
                    out[x, y, z] = worst
                    continue
                total = np.float32(0)
                axes = 0
                for axis in range(3):
                    dx, dy, dz = int(axis == 0), int(axis == 1), int(axis == 2)
                    before = x - dx >= 0 and y - dy >= 0 and z - dz >= 0
                    after = x + dx < shape[0] and y + dy < shape[1] and z + dz < shape[2]
                    if not (before and after):
                        continue
                    axes += 1
                    if not (signal[x - dx, y - dy, z - dz] and signal[x + dx, y + dy, z + dz]):
                        total += worst * worst
                        continue
                    second = slope[x - dx, y - dy, z - dz] + slope[x + dx, y + dy, z + dz] - 2 * slope[x, y, z]
                    second -= turn * np.rint(second / turn)
                    second = min(abs(second), worst)
                    total += second * second
                out[x, y, z] = np.sqrt(total / np.float32(axes)) if axes else np.float32(0)
