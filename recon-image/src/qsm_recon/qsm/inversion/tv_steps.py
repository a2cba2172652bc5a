"""The three pointwise steps of one TV-ADMM iteration, as array code and fused for host arrays.

Each splitting keeps only its scaled dual variable: the auxiliary variable follows from it and the iterate, so a step
reads and writes as few volumes as can be. With v = K x + u (K the gradient, or the dipole), z the minimiser and
u' = v - z the new dual, the next right-hand side needs z - u' = v - 2 u'.

Differences are forward, per mm and periodic, so that they are diagonal in k-space.
"""

import math
from typing import Any

import numpy as np

from qsm_recon.qsm import backend
from qsm_recon.qsm.compiling import jit, jit_parallel, parallel_range

Array = Any
Triple = tuple[float, float, float]

SMALL_ANGLE = 1.0
"""rad; below it sine and cosine are polynomials of seventh and sixth order, 3e-6 from the truth at most."""

NEWTON_STEPS = 2
"""From the linear solution that many reach float32 for phases below a radian."""

NEWTON_REST = 1e-6
"""A voxel is done, after the second step at the earliest, when a step moves it by less than this part of its value."""

LEAST_CURVATURE = 0.1
"""Where the data term is concave (a misfit beyond a quarter turn) its curvature counts as this part of its largest."""


def shrink(x: Array, dual: Array, limit: Array, voxel_size_mm: Triple) -> Array:
    """Gradient splitting: update `dual` (3, x, y, z) in place; returns the adjoint gradient of z - dual.

    Soft thresholding takes `limit` off the gradient, and what it takes off is the new dual: v clipped to the limit.
    """
    xp = backend.namespace(x)
    if backend.is_device_array(x):
        return _shrink_array(xp, x, dual, limit, voxel_size_mm)
    out = np.empty_like(x)
    scale = np.array([1 / h for h in voxel_size_mm], dtype=x.dtype)
    along_x = dual[0].copy()  # the neighbour's old value is needed, whichever thread came first
    _shrink_host(x, along_x, dual, limit, scale, out)
    return out


def _shrink_array(xp: Any, x: Array, dual: Array, limit: Array, voxel_size_mm: Triple) -> Array:
    out = xp.zeros_like(x)
    for axis, h in enumerate(voxel_size_mm):
        v = (xp.roll(x, -1, axis) - x) * x.dtype.type(1 / h) + dual[axis]
        xp.clip(v, -limit[axis], limit[axis], out=dual[axis])
        v -= 2 * dual[axis]
        v *= x.dtype.type(1 / h)
        out += xp.roll(v, 1, axis)
        out -= v
    return out


@jit
def _clip(value: Any, limit: Any) -> Any:
    return min(max(value, -limit), limit)


@jit_parallel
def _shrink_host(x: Any, old: Any, dual: Any, limit: Any, scale: Any, out: Any) -> None:
    nx, ny, nz = x.shape
    two = x.dtype.type(2)
    for i in parallel_range(nx):
        before, after = (i - 1) % nx, (i + 1) % nx
        flux_y = np.empty((ny, nz), x.dtype)
        flux_z = np.empty(nz, x.dtype)
        for j in range(ny):
            right = (j + 1) % ny
            for k in range(nz):
                here = x[i, j, k]
                v = (x[after, j, k] - here) * scale[0] + old[i, j, k]
                u = _clip(v, limit[0, i, j, k])
                w = (here - x[before, j, k]) * scale[0] + old[before, j, k]
                total = (w - two * _clip(w, limit[0, before, j, k]) - v + two * u) * scale[0]
                dual[0, i, j, k] = u
                v = (x[i, right, k] - here) * scale[1] + dual[1, i, j, k]
                u = _clip(v, limit[1, i, j, k])
                dual[1, i, j, k] = u
                flux_y[j, k] = (v - two * u) * scale[1]
                total -= flux_y[j, k]
                out[i, j, k] = total
            for k in range(nz):
                right_k = k + 1 if k + 1 < nz else 0
                v = (x[i, j, right_k] - x[i, j, k]) * scale[2] + dual[2, i, j, k]
                u = _clip(v, limit[2, i, j, k])
                dual[2, i, j, k] = u
                flux_z[k] = (v - two * u) * scale[2]
            out[i, j, 0] += flux_z[nz - 1] - flux_z[0]
            for k in range(1, nz):
                out[i, j, k] += flux_z[k - 1] - flux_z[k]
        for j in range(ny):
            for k in range(nz):
                out[i, j, k] += flux_y[j - 1, k]  # j = 0 takes the last row: periodic


def fit_data(
    field: Array,
    dual: Array,
    weights: Array,
    measured: Array,
    penalty: float,
    rad_per_ppm: float,
    newton_steps: int = NEWTON_STEPS,
) -> None:
    """Data splitting, in place: `field` (D x) becomes z - dual, `dual` the new dual.

    z minimises W (1 - cos(s (z - b))) / s^2 + penalty / 2 (z - v)^2 by Newton steps from the linear solution;
    `rad_per_ppm` s = 0 takes the linear data term W (z - b)^2 / 2. Where W is 0, z = v and the dual stays 0.
    """
    if not backend.is_device_array(field):
        scalar = field.dtype.type
        _fit_data_host(field, dual, weights, measured, scalar(penalty), scalar(rad_per_ppm), newton_steps)
        return
    xp = backend.namespace(field)
    field += dual
    z = (weights * measured + penalty * field) / (weights + penalty)
    if rad_per_ppm > 0:
        for _ in range(newton_steps):
            angle = rad_per_ppm * (z - measured)
            curvature = xp.maximum(xp.cos(angle), LEAST_CURVATURE)
            z -= (weights * xp.sin(angle) / rad_per_ppm + penalty * (z - field)) / (weights * curvature + penalty)
    dual[...] = xp.where(weights > 0, field - z, 0)
    field -= 2 * dual


@jit
def _sine_cosine(angle: Any) -> Any:
    if abs(angle) < SMALL_ANGLE:
        q = angle * angle
        one = np.float32(1)
        sixth, twentieth, rest = np.float32(1 / 6), np.float32(1 / 20), np.float32(1 / 42)
        sine = angle * (one - q * sixth * (one - q * twentieth * (one - q * rest)))
        half, twelfth, thirtieth = np.float32(1 / 2), np.float32(1 / 12), np.float32(1 / 30)
        cosine = one - q * half * (one - q * twelfth * (one - q * thirtieth))
        return sine, cosine
    return np.float32(math.sin(angle)), np.float32(math.cos(angle))


@jit_parallel
def _fit_data_host(
    field: Any, dual: Any, weights: Any, measured: Any, penalty: Any, rad_per_ppm: Any, newton_steps: int
) -> None:
    nx, ny, nz = field.shape
    least, rest = np.float32(LEAST_CURVATURE), np.float32(NEWTON_REST)
    two = np.float32(2)
    for i in parallel_range(nx):
        for j in range(ny):
            for k in range(nz):
                w = weights[i, j, k]
                if w == 0:
                    continue
                v = field[i, j, k] + dual[i, j, k]
                b = measured[i, j, k]
                z = (w * b + penalty * v) / (w + penalty)
                if rad_per_ppm > 0:
                    for n in range(newton_steps):
                        sine, cosine = _sine_cosine(rad_per_ppm * (z - b))
                        step = (w * sine / rad_per_ppm + penalty * (z - v)) / (w * max(cosine, least) + penalty)
                        z -= step
                        if n > 0 and abs(step) <= rest * abs(z):
                            break
                u = v - z
                dual[i, j, k] = u
                field[i, j, k] = v - two * u


def combine(smooth: Array, data: Array, kernel: Array, symbols: tuple[Array, Array, Array], ratio: float) -> Array:
    """Spectrum of the next iterate, in place of `smooth`: (r smooth + D data) / (r |E|^2 + D^2).

    `ratio` r is the gradient's penalty over the data's; `symbols` are the parts of |E|^2 along each axis, to be
    broadcast. The constant, which neither term sees, is set to 0. `data` becomes D times the result: the spectrum of
    its field.
    """
    if not backend.is_device_array(smooth):
        sx, sy, sz = (s.ravel() for s in symbols)
        _combine_host(smooth, data, kernel, sx, sy, sz, kernel.dtype.type(ratio))
        return smooth
    xp = backend.namespace(smooth)
    ratio = kernel.dtype.type(ratio)
    denominator = ratio * (symbols[0] + symbols[1] + symbols[2]) + kernel * kernel
    denominator[0, 0, 0] = np.float32(np.inf)
    smooth *= ratio
    data *= kernel
    smooth += data
    smooth /= denominator
    xp.multiply(smooth, kernel, out=data)
    return smooth


@jit_parallel
def _combine_host(smooth: Any, data: Any, kernel: Any, sx: Any, sy: Any, sz: Any, ratio: Any) -> None:
    nx, ny, nz = smooth.shape
    for i in parallel_range(nx):
        for j in range(ny):
            across = sx[i] + sy[j]
            for k in range(nz):
                d = kernel[i, j, k]
                denominator = ratio * (across + sz[k]) + d * d
                if denominator == 0:
                    smooth[i, j, k] = 0
                    data[i, j, k] = 0
                    continue
                value = (ratio * smooth[i, j, k] + d * data[i, j, k]) * (np.float32(1) / denominator)
                smooth[i, j, k] = value
                data[i, j, k] = d * value
