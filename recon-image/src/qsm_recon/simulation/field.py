"""The field that the head makes in the scanner, and the shim that takes its smooth part away.

Independent of the reconstruction on purpose: computed on a grid several times finer, over a volume that reaches
beyond the images on every side, with its own kernel code (Salomir 2003, doi:10.1002/cmr.b.10083; Marques 2005,
doi:10.1002/cmr.b.20034).
"""

import math
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from qsm_recon.qsm import backend

Array = Any


def dipole_field(
    chi_ppm: NDArray[np.float32],
    voxel_size_mm: tuple[float, float, float],
    b0_direction: tuple[float, float, float],
    *,
    margin: float = 1.2,
) -> NDArray[np.float32]:
    """Relative field in ppm of a susceptibility distribution (x, y, z) in ppm that is zero outside its grid.

    Lorentz-corrected, zero mean over the padded volume. `margin` times the grid is zero padded so that the
    periodic images of the transform stay away.
    """
    shape = tuple(scipy.fft.next_fast_len(math.ceil(n * margin), real=True) for n in chi_ppm.shape)
    spectrum = scipy.fft.rfftn(chi_ppm, shape, workers=backend.threads())
    b = np.asarray(b0_direction, dtype=np.float64)
    kx, ky = (np.fft.fftfreq(n, d) for n, d in zip(shape[:2], voxel_size_mm[:2], strict=True))
    kz = np.fft.rfftfreq(shape[2], voxel_size_mm[2])
    along_yz = b[1] * ky[:, None] + b[2] * kz
    square_yz = ky[:, None] ** 2 + kz**2
    for n, k in enumerate(kx):  # plane by plane: the kernel never exists as a whole
        square = square_yz + k * k
        square[square == 0] = np.inf
        spectrum[n] *= (1.0 / 3.0 - (along_yz + b[0] * k) ** 2 / square).astype(np.float32)
    spectrum[0, 0, 0] = 0
    field = scipy.fft.irfftn(spectrum, shape, workers=backend.threads(), overwrite_x=True)
    nx, ny, nz = chi_ppm.shape
    return np.ascontiguousarray(field[:nx, :ny, :nz])


def solid_harmonics(x: Array, y: Array, z: Array) -> list[Array]:
    """The nine solid harmonics of order 0 to 2 at patient coordinates (any unit), the terms a shim can make."""
    one = np.ones(np.broadcast_shapes(np.shape(x), np.shape(y), np.shape(z)))
    return [one, x * one, y * one, z * one, x * y * one, x * z * one, y * z * one, (x * x - y * y) * one,
            (2 * z * z - x * x - y * y) * one]  # fmt: skip


def shim_coefficients(
    field_ppm: NDArray[np.float32], mask: NDArray[np.bool_], positions_m: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Least-squares weights of the nine harmonics over the mask.

    Parameters
    ----------
    field_ppm, mask
        (x, y, z) field, and where to shim.
    positions_m
        (n, 3) patient coordinates of the mask's voxels, in units of 100 mm (keeps the system well scaled).
    """
    values = field_ppm[mask].astype(np.float64)
    take = slice(None, None, max(1, len(values) // 50_000))
    design = np.stack(solid_harmonics(*positions_m[take].T), axis=-1)
    weights, *_ = np.linalg.lstsq(design, values[take], rcond=None)
    return np.asarray(weights, dtype=np.float64)
