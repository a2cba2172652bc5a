"""Laplacian unwrapping: solve for the phase whose Laplacian is that of the wrapped phase. Not exact.

The Laplacian of the true phase follows from the wrapped one, since exp(i phase) has no jumps; with the seven-point
stencil cos(p) lap(sin p) - sin(p) lap(cos p) is the sum over face neighbours q of sin(q - p) / h^2. Poisson's
equation with mirrored borders is then diagonal under the cosine transform. Where the phase steps by more than
about a quarter turn between voxels, and for the part of the field that is harmonic, the answer is wrong: use it
for previews and for chains that were published with it.

Source: Schofield & Zhu 2003, doi:10.1364/OL.28.001194.
"""

import math
from typing import Any, Literal

from qsm_recon.qsm import backend
from qsm_recon.qsm.parameters import Params
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.qsm.scan import Geometry

TWO_PI = 2 * math.pi


class LaplacianParams(Params):
    """Parameters of `laplacian`: none."""

    method: Literal["laplacian"] = "laplacian"


def _laplacian_of_true_phase(wrapped_rad: Any, geometry: Geometry) -> Any:
    xp = backend.namespace(wrapped_rad)
    total = xp.zeros_like(wrapped_rad)
    for axis, size_mm in enumerate(geometry.voxel_size_mm):
        upper: list[slice] = [slice(None)] * 3
        lower: list[slice] = [slice(None)] * 3
        upper[axis], lower[axis] = slice(1, None), slice(None, -1)
        flux = xp.sin(xp.diff(wrapped_rad, axis=axis)) / xp.float32(size_mm**2)
        # mirrored border: no flux through the outer faces
        total[tuple(lower)] += flux
        total[tuple(upper)] -= flux
    return total


def laplacian(
    wrapped_rad: Any,
    mask: Any,
    noise_rad: Any,  # noqa: ARG001 - the signature of the stage
    geometry: Geometry,
    params: LaplacianParams,  # noqa: ARG001 - the signature of the stage
    progress: Progress = silent,
) -> Any:
    """Smooth unwrapped phase over the whole volume, cut out by `mask`.

    The mean, which the Laplacian does not know, is set so that result and input agree on average (as angles)
    inside the mask, with the median within half a turn of zero.

    Parameters
    ----------
    wrapped_rad
        (x, y, z) float32 phase in rad; all of it is used, also outside the mask.
    mask
        (x, y, z) bool.
    noise_rad, params
        Not used by this method.
    geometry
        Voxel size.
    progress
        Told the fraction done.

    Returns
    -------
    Array
        (x, y, z) float32 in rad, 0 outside `mask`; **not** the input plus multiples of 2 pi.
    """
    xp = backend.namespace(wrapped_rad)
    if not bool(mask.any()):
        return xp.zeros_like(wrapped_rad)
    spectrum = backend.dctn(_laplacian_of_true_phase(wrapped_rad, geometry))
    progress(0.4)
    eigenvalue = xp.zeros((1, 1, 1), dtype=xp.float32)
    for axis, (n, size_mm) in enumerate(zip(wrapped_rad.shape, geometry.voxel_size_mm, strict=True)):
        shape = [1, 1, 1]
        shape[axis] = n
        # -4 sin^2(pi k / 2n) rather than 2 cos - 2: low frequencies keep their digits in float32
        along = -((2 * xp.sin(math.pi * xp.arange(n) / (2 * n)) / size_mm) ** 2)
        eigenvalue = eigenvalue + along.astype(xp.float32).reshape(shape)
    eigenvalue[0, 0, 0] = 1
    spectrum /= eigenvalue
    spectrum[0, 0, 0] = 0
    result = backend.idctn(spectrum)
    progress(0.8)
    apart = (wrapped_rad - result)[mask]
    result += xp.float32(math.atan2(float(xp.sin(apart).sum(dtype=float)), float(xp.cos(apart).sum(dtype=float))))
    result -= xp.float32(TWO_PI * round(float(xp.median(result[mask])) / TWO_PI))
    progress(1.0)
    return xp.where(mask, result, xp.float32(0))
