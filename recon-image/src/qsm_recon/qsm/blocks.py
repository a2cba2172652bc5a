"""Means over blocks of voxels: how a volume comes to a grid of half the resolution."""

from typing import Any

import numpy as np

from qsm_recon.qsm import backend
from qsm_recon.qsm.compiling import jit_rows

Array = Any
Factors = tuple[int, int, int]


def block_mean(volume: Array, by: Factors) -> Array:
    """Means over blocks of `by` voxels, float32; of a mask the share that is set.

    `by` must divide the shape.
    """
    nx, ny, nz = (n // f for n, f in zip(volume.shape, by, strict=True))
    fx, fy, fz = by
    if backend.is_device_array(volume):
        return volume.reshape(nx, fx, ny, fy, nz, fz).mean(axis=(1, 3, 5), dtype=np.float32)
    out = np.empty((nx, ny, nz), dtype=np.float32)
    _block_means(nx, volume, np.array(by), out)
    return out


@jit_rows
def _block_means(low: int, high: int, volume: Any, by: Any, out: Any) -> None:
    _, ny, nz = out.shape
    share = 1.0 / (by[0] * by[1] * by[2])
    sums = np.empty(nz)
    for i in range(low, high):
        for j in range(ny):
            for k in range(nz):
                sums[k] = 0.0
            for a in range(i * by[0], (i + 1) * by[0]):
                for b in range(j * by[1], (j + 1) * by[1]):
                    for k in range(nz):
                        for c in range(by[2]):
                            sums[k] += volume[a, b, k * by[2] + c]
            for k in range(nz):
                out[i, j, k] = sums[k] * share
