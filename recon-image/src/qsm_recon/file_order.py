"""Between an array's order (z fastest) and that of files (x fastest), in blocks that fit the cache.

NIfTI and DICOM agree here: column, row, slice. NumPy's own copy touches a new cache line for almost every voxel; at
StdRes that took longer than the transfer.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsm_recon.qsm.compiling import jit

_BLOCK = 16
"""Voxels: 16 × 16 of them are a page at most, read and written along whole cache lines."""


def to_file(array: NDArray[Any]) -> NDArray[Any]:
    """(x, y, z) in any order as a new (z, y, x) in C order: the bytes of the file."""
    nx, ny, nz = array.shape
    made = np.empty((nz, ny, nx), array.dtype)
    _transpose(array, made)
    return made


def from_file(stored: NDArray[Any], made: NDArray[Any]) -> None:
    """The values of a file, (z, y, x) in C order, into an array (x, y, z) in C order."""
    _transpose(stored, made)


@jit
def _transpose(source: NDArray[Any], target: NDArray[Any]) -> None:
    """Reverse the axes: `target[k, j, i] = source[i, j, k]`."""
    ni, nj, nk = source.shape
    for j in range(nj):
        for i_low in range(0, ni, _BLOCK):
            i_high = min(i_low + _BLOCK, ni)
            for k_low in range(0, nk, _BLOCK):
                for k in range(k_low, min(k_low + _BLOCK, nk)):
                    for i in range(i_low, i_high):
                        target[k, j, i] = source[i, j, k]
