"""The physics as arrays: dipole, spherical mean, gradient, and their symbols in k-space.

Spectra live on the half grid of a real FFT, shape (nx, ny, nz // 2 + 1), with k in cycles per mm. Every kernel here
is real and even, so its spectrum is a real array.
"""

import math
from types import ModuleType
from typing import Any

import numpy as np

from qsm_recon.qsm import backend
from qsm_recon.qsm.compiling import jit_rows, reals_of, rows_of

Array = Any
Shape = tuple[int, int, int]
Triple = tuple[float, float, float]

SPHERE_SUBDIVISION = 10
"""Sub-voxels per axis with which the surface of a spherical kernel is rendered."""


def frequencies_per_mm(shape: Shape, voxel_size_mm: Triple) -> tuple[Any, Any, Any]:
    """Spatial frequencies (cycles/mm, host, float64) along x, y, z, shaped to broadcast over the half spectrum."""
    kx = np.fft.fftfreq(shape[0], voxel_size_mm[0])[:, None, None]
    ky = np.fft.fftfreq(shape[1], voxel_size_mm[1])[None, :, None]
    kz = np.fft.rfftfreq(shape[2], voxel_size_mm[2])[None, None, :]
    return kx, ky, kz


def dipole_kernel(shape: Shape, voxel_size_mm: Triple, b0_direction: Triple, xp: ModuleType | Any = np) -> Array:
    """Spectrum of the unit dipole, D(k) = 1/3 - (k.b)^2 / |k|^2, D(0) = 0.

    Parameters
    ----------
    shape : grid (x, y, z)
    voxel_size_mm : voxel size in mm
    b0_direction : unit vector of B0 in voxel axes
    xp : array module of the result

    Returns
    -------
    (nx, ny, nz // 2 + 1) float32 array
        Multiplied with the spectrum of chi (ppm) it gives the spectrum of the relative field (ppm), Lorentz
        sphere corrected. On the Nyquist planes of even sizes +k and -k are one sample: there D is the mean over
        both signs, which keeps the kernel real and even for an oblique B0.

    References
    ----------
    Salomir et al., Concepts Magn Reson B 2003, doi:10.1002/cmr.b.10083; Marques and Bowtell 2005,
    doi:10.1002/cmr.b.20034.
    """
    k = [f.ravel() for f in frequencies_per_mm(shape, voxel_size_mm)]
    along, unpaired = [], []
    for f, n, b in zip(k, shape, b0_direction, strict=True):
        nyquist = np.zeros(f.size, dtype=bool)
        if n % 2 == 0:
            nyquist[n // 2] = True
        along.append(np.where(nyquist, 0.0, f * b))
        unpaired.append(np.where(nyquist, (f * b) ** 2, 0.0))
    if xp is not np:
        return _dipole_on_device([f**2 for f in k], along, unpaired, xp)
    kernel = np.empty([f.size for f in k], dtype=np.float32)
    _dipole(shape[0], *(f**2 for f in k), *along, *unpaired, kernel)
    kernel[0, 0, 0] = 0.0
    return kernel


def _dipole_on_device(squares: list[Any], along: list[Any], unpaired: list[Any], xp: Any) -> Array:
    """What `_dipole` computes: only its axes travel, no volume does."""

    def sum_over_axes(parts: list[Any]) -> Array:
        x, y, z = (xp.asarray(part) for part in parts)
        return x[:, None, None] + y[:, None] + z

    numerator = sum_over_axes(along)
    numerator *= numerator
    numerator += sum_over_axes(unpaired)
    denominator = sum_over_axes(squares)
    denominator[0, 0, 0] = 1
    kernel = (1 / 3 - numerator / denominator).astype(xp.float32)
    kernel[0, 0, 0] = 0
    return kernel


@jit_rows
def _dipole(
    low: int, high: int, x2: Any, y2: Any, z2: Any, ax: Any, ay: Any, az: Any, ux: Any, uy: Any, uz: Any, out: Any
) -> None:
    """1/3 less the square of the part along B0 (summed from `a`, and `u` from squares) over |k|^2."""
    for i in range(low, high):
        for j in range(y2.size):
            for k in range(z2.size):
                along = ax[i] + ay[j] + az[k]
                out[i, j, k] = 1.0 / 3.0 - (along * along + (ux[i] + uy[j] + uz[k])) / (x2[i] + y2[j] + z2[k])


def sphere_kernel(shape: Shape, voxel_size_mm: Triple, radius_mm: float, xp: ModuleType | Any = np) -> Array:
    """Spectrum of the mean over a ball (spherical mean value), unit sum.

    Voxels cut by the surface weigh with the part of them that is inside (10 x 10 x 10 sub-voxels).

    Raises
    ------
    ValueError
        Where the ball is wider than the grid.
    """
    return _spectrum_of_ball(shape, voxel_size_mm, radius_mm, xp, even=False)


def harmonic_mean_kernel(shape: Shape, voxel_size_mm: Triple, radius_mm: float, xp: ModuleType | Any = np) -> Array:
    """Spectrum of a mean over a ball that leaves harmonic fields alone where voxels are no cubes, too.

    It is `sphere_kernel` with second moments made alike along all axes (a ball of long voxels is too long), so that
    harmonic fields up to the third degree equal their mean exactly. For cubes it is the same kernel.

    Raises
    ------
    ValueError
        Where the ball is wider than the grid.
    """
    return _spectrum_of_ball(shape, voxel_size_mm, radius_mm, xp, even=True)


def _spectrum_of_ball(shape: Shape, voxel_size_mm: Triple, radius_mm: float, xp: Any, *, even: bool) -> Array:
    reach = _reach(voxel_size_mm, radius_mm)
    if not ball_fits(shape, voxel_size_mm, radius_mm):
        raise ValueError(f"a ball of {radius_mm} mm does not fit the grid {shape} of {voxel_size_mm} mm voxels")
    index = [np.arange(-r, r + 1) for r in reach]
    rendered = _rendered_ball(index, voxel_size_mm, radius_mm)
    if even and len(set(voxel_size_mm)) > 1:
        rendered = _with_even_moments(rendered, index, voxel_size_mm)
    ball = xp.zeros(shape, dtype=np.float32)
    ball[xp.ix_(*(xp.asarray(i) for i in index))] = xp.asarray(rendered)
    return backend.contiguous(backend.rfftn(ball).real)


def ball_fits(shape: Shape, voxel_size_mm: Triple, radius_mm: float) -> bool:
    """Whether a ball of `radius_mm` is no wider than the grid."""
    return all(2 * r + 1 <= n for r, n in zip(_reach(voxel_size_mm, radius_mm), shape, strict=True))


def _reach(voxel_size_mm: Triple, radius_mm: float) -> list[int]:
    """Voxels from the centre of a ball to the last one it may touch, per axis."""
    return [math.ceil(radius_mm / h + 0.5) for h in voxel_size_mm]


def _rendered_ball(index: list[Any], voxel_size_mm: Triple, radius_mm: float) -> Any:
    """Fraction of each voxel inside the ball about the origin, scaled to unit sum, float32."""
    x, y, z = (c.ravel() * h for c, h in zip(np.meshgrid(*index, indexing="ij"), voxel_size_mm, strict=True))
    distance = np.sqrt(x**2 + y**2 + z**2)
    half_diagonal = 0.5 * math.sqrt(sum(h**2 for h in voxel_size_mm))
    inside = (distance <= radius_mm).astype(np.float64)
    shell = np.abs(distance - radius_mm) <= half_diagonal
    sub = (np.arange(SPHERE_SUBDIVISION) + 0.5) / SPHERE_SUBDIVISION - 0.5
    xs, ys, zs = ((c[shell][:, None] + sub * h) ** 2 for c, h in zip((x, y, z), voxel_size_mm, strict=True))
    hits = np.zeros(int(shell.sum()))
    for i in range(SPHERE_SUBDIVISION):
        in_plane = xs[:, i, None] + ys
        for j in range(SPHERE_SUBDIVISION):
            hits += ((in_plane[:, j, None] + zs) <= radius_mm**2).sum(axis=1)
    inside[shell] = hits / SPHERE_SUBDIVISION**3
    return (inside / inside.sum()).reshape([len(i) for i in index]).astype(np.float32)


def _with_even_moments(ball: Any, index: list[Any], voxel_size_mm: Triple) -> Any:
    """`ball` times 1 + sum_c b_c (c^2 - its mean), with b such that the means of x^2, y^2 and z^2 become one."""
    weights = ball.astype(np.float64)
    squares = np.stack([(c * h) ** 2 for c, h in zip(np.meshgrid(*index, indexing="ij"), voxel_size_mm, strict=True)])
    means = (weights * squares).sum(axis=(1, 2, 3))
    apart = squares - means[:, None, None, None]
    covariance = np.einsum("aijk,bijk,ijk->ab", apart, apart, weights)
    slopes = np.linalg.solve(covariance, means.mean() - means)
    return (weights * (1 + np.tensordot(slopes, apart, axes=1))).astype(np.float32)


def convolve(volume: Array, spectrum: Array) -> Array:
    """Periodic convolution of a real volume with the kernel whose (real) half spectrum is given."""
    product = backend.rfftn(volume)
    multiply(product, spectrum, product)
    return backend.irfftn(product, volume.shape)


def multiply(values: Array, factor: Array, out: Array) -> None:
    """`out` = values * factor, a real array, for spectra and for volumes; `out` may be `values`."""
    if backend.is_device_array(values) or values.dtype.kind != "c":
        backend.namespace(values).multiply(values, factor, out=out)
        return
    rows = rows_of(factor)
    _multiply(len(rows), reals_of(values), reals_of(out), rows)


@jit_rows
def _multiply(low: int, high: int, a: Any, out: Any, factor: Any) -> None:
    for i in range(low, high):
        for k in range(factor.shape[1]):
            out[i, 2 * k] = a[i, 2 * k] * factor[i, k]
            out[i, 2 * k + 1] = a[i, 2 * k + 1] * factor[i, k]


def laplacian_symbol(shape: Shape, voxel_size_mm: Triple, xp: ModuleType | Any = np) -> Array:
    """Eigenvalues of minus the 7-point Laplacian, sum_c (2 - 2 cos(2 pi k_c h_c)) / h_c^2, float32, >= 0.

    Equal to |E(k)|^2 with E the symbol of the forward differences, 1/mm^2.
    """
    x, y, z = (
        xp.asarray((2 - 2 * np.cos(2 * np.pi * k * h)) / h**2)
        for k, h in zip(frequencies_per_mm(shape, voxel_size_mm), voxel_size_mm, strict=True)
    )
    return (x + y + z).astype(np.float32)


def gradient(volume: Array, voxel_size_mm: Triple) -> Array:
    """Forward differences per mm, (3, x, y, z); the last difference of each axis is 0 (Neumann)."""
    xp = backend.namespace(volume)
    result = xp.zeros((3, *volume.shape), dtype=volume.dtype)
    for axis, h in enumerate(voxel_size_mm):
        lower, upper = _pair(axis)
        result[axis][lower] = (volume[upper] - volume[lower]) * volume.dtype.type(1 / h)
    return result


def gradient_adjoint(vectors: Array, voxel_size_mm: Triple) -> Array:
    """Exact adjoint of `gradient` (minus the divergence): (3, x, y, z) -> (x, y, z)."""
    xp = backend.namespace(vectors)
    result = xp.zeros(vectors.shape[1:], dtype=vectors.dtype)
    for axis, h in enumerate(voxel_size_mm):
        lower, upper = _pair(axis)
        flux = vectors[axis][lower] * vectors.dtype.type(1 / h)
        result[lower] -= flux
        result[upper] += flux
    return result


def weighted_laplacian(volume: Array, weights: Array, voxel_size_mm: Triple, out: Array | None = None) -> Array:
    """`gradient_adjoint(weights * gradient(volume))`, weights (3, x, y, z); in `out` where given and on the host.

    On the host one compiled pass does it (the array form needs about fifteen): this sits in the innermost loop
    of the inversion.
    """
    if backend.is_device_array(volume):
        return gradient_adjoint(weights * gradient(volume, voxel_size_mm), voxel_size_mm)
    result = np.empty_like(volume) if out is None else out
    inverse_square = np.array([1 / h**2 for h in voxel_size_mm], dtype=volume.dtype)
    _weighted_laplacian_host(volume.shape[0], volume, weights, inverse_square, result)
    return result


@jit_rows
def _weighted_laplacian_host(low: int, high: int, x: Any, w: Any, c: Any, out: Any) -> None:
    nx, ny, nz = x.shape
    for i in range(low, high):
        # A neighbour beyond the border is the voxel itself: its difference is 0, and no loop needs a branch.
        before_i, after_i = max(i - 1, 0), min(i + 1, nx - 1)
        for j in range(ny):
            before_j, after_j = max(j - 1, 0), min(j + 1, ny - 1)
            for k in range(nz):
                here = x[i, j, k]
                along_x = w[0, i, j, k] * (here - x[after_i, j, k])
                along_x += w[0, before_i, j, k] * (here - x[before_i, j, k])
                along_y = w[1, i, j, k] * (here - x[i, after_j, k])
                along_y += w[1, i, before_j, k] * (here - x[i, before_j, k])
                out[i, j, k] = c[0] * along_x + c[1] * along_y
            for k in range(nz - 1):
                out[i, j, k] += c[2] * w[2, i, j, k] * (x[i, j, k] - x[i, j, k + 1])
            for k in range(1, nz):
                out[i, j, k] += c[2] * w[2, i, j, k - 1] * (x[i, j, k] - x[i, j, k - 1])


def _pair(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Index of every voxel but the last, and of every voxel but the first, along `axis`."""
    lower = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
    upper = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
    return lower, upper
