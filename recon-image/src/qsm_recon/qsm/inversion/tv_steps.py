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
from qsm_recon.qsm.compiling import jit, jit_rows, reals_of, rows_of

Array = Any
Triple = tuple[float, float, float]

TO_WHOLE = np.float32(1.5 * 2**23)
"""Added and taken off again it rounds to a whole number, as vector code on every processor (`floor` is not)."""

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
    _shrink_host(x.shape[0], x, along_x, dual, limit, scale, out)
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


@jit_rows
def _shrink_host(low: int, high: int, x: Any, old: Any, dual: Any, limit: Any, scale: Any, out: Any) -> None:
    nx, ny, nz = x.shape
    two = x.dtype.type(2)
    flux_y = np.empty((ny, nz), x.dtype)
    flux_z = np.empty(nz, x.dtype)
    for i in range(low, high):
        before, after = (i - 1) % nx, (i + 1) % nx
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
        rows = rows_of(field)
        scalar = field.dtype.type
        others = rows_of(dual), rows_of(weights), rows_of(measured), scalar(penalty)
        if rad_per_ppm > 0:
            _fit_phase_host(rows.shape[0], rows, *others, scalar(rad_per_ppm), newton_steps)
        else:
            _fit_field_host(rows.shape[0], rows, *others)
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
    """Both by the half angle, whose polynomials are within 2e-7 of the truth; no branch: loops become vector code."""
    one = np.float32(1)
    turns = angle * np.float32(0.5 / math.pi) + TO_WHOLE - TO_WHOLE
    half = np.float32(0.5) * (angle - np.float32(2 * math.pi) * turns)
    q = half * half
    rest = one - q * np.float32(1 / 110)
    rest = one - q * np.float32(1 / 72) * rest
    rest = one - q * np.float32(1 / 42) * rest
    rest = one - q * np.float32(1 / 20) * rest
    sine = half * (one - q * np.float32(1 / 6) * rest)
    rest = one - q * np.float32(1 / 132)
    rest = one - q * np.float32(1 / 90) * rest
    rest = one - q * np.float32(1 / 56) * rest
    rest = one - q * np.float32(1 / 30) * rest
    rest = one - q * np.float32(1 / 12) * rest
    cosine = one - q * np.float32(0.5) * rest
    return np.float32(2) * sine * cosine, one - np.float32(2) * sine * sine


@jit
def _fit_phase_row(field: Any, dual: Any, weights: Any, measured: Any, penalty: Any, rad_per_ppm: Any) -> None:
    least, two, none = np.float32(LEAST_CURVATURE), np.float32(2), np.float32(0)
    ppm_per_rad = np.float32(1) / rad_per_ppm
    for k in range(field.size):
        w, b = weights[k], measured[k]
        v = field[k] + dual[k]
        z = (w * b + penalty * v) / (w + penalty)
        sine, cosine = _sine_cosine(rad_per_ppm * (z - b))
        z -= (w * sine * ppm_per_rad + penalty * (z - v)) / (w * max(least, cosine) + penalty)
        sine, cosine = _sine_cosine(rad_per_ppm * (z - b))
        z -= (w * sine * ppm_per_rad + penalty * (z - v)) / (w * max(least, cosine) + penalty)
        u = v - z if w > none else none
        dual[k] = u
        field[k] = v - two * u


@jit
def _fit_phase_row_to_rest(
    field: Any, dual: Any, weights: Any, measured: Any, penalty: Any, rad_per_ppm: Any, newton_steps: int
) -> None:
    """The same with more steps, each voxel until it rests: no vector code."""
    least, rest, two = np.float32(LEAST_CURVATURE), np.float32(NEWTON_REST), np.float32(2)
    ppm_per_rad = np.float32(1) / rad_per_ppm
    for k in range(field.size):
        w, b = weights[k], measured[k]
        if w == 0:
            continue
        v = field[k] + dual[k]
        z = (w * b + penalty * v) / (w + penalty)
        for n in range(newton_steps):
            sine, cosine = _sine_cosine(rad_per_ppm * (z - b))
            step = (w * sine * ppm_per_rad + penalty * (z - v)) / (w * max(least, cosine) + penalty)
            z -= step
            if n > 0 and abs(step) <= rest * abs(z):
                break
        dual[k] = v - z
        field[k] = v - two * dual[k]


@jit_rows
def _fit_phase_host(
    low: int,
    high: int,
    field: Any,
    dual: Any,
    weights: Any,
    measured: Any,
    penalty: Any,
    rad_per_ppm: Any,
    newton_steps: int,
) -> None:
    for i in range(low, high):
        first, last = 0, field.shape[1]
        while first < last and weights[i, first] == 0:  # most rows lie beside the brain, and all begin and end there
            first += 1
        while last > first and weights[i, last - 1] == 0:
            last -= 1
        inside = slice(first, last)
        row, u, w, b = field[i, inside], dual[i, inside], weights[i, inside], measured[i, inside]
        if newton_steps == NEWTON_STEPS:
            _fit_phase_row(row, u, w, b, penalty, rad_per_ppm)
        else:
            _fit_phase_row_to_rest(row, u, w, b, penalty, rad_per_ppm, newton_steps)


@jit_rows
def _fit_field_host(low: int, high: int, field: Any, dual: Any, weights: Any, measured: Any, penalty: Any) -> None:
    two, none = np.float32(2), np.float32(0)
    for i in range(low, high):
        for k in range(field.shape[1]):
            w = weights[i, k]
            v = field[i, k] + dual[i, k]
            u = v - (w * measured[i, k] + penalty * v) / (w + penalty) if w > none else none
            dual[i, k] = u
            field[i, k] = v - two * u


def combine(smooth: Array, data: Array, kernel: Array, symbols: tuple[Array, Array, Array], ratio: float) -> Array:
    """Spectrum of the next iterate, in place of `smooth`: (r smooth + D data) / (r |E|^2 + D^2).

    `ratio` r is the gradient's penalty over the data's; `symbols` are the parts of |E|^2 along each axis, to be
    broadcast. The constant, which neither term sees, is set to 0. `data` becomes D times the result: the spectrum of
    its field.
    """
    if not backend.is_device_array(smooth):
        across = rows_of(symbols[0] + symbols[1])[:, 0]
        _combine_host(
            across.size,
            reals_of(smooth),
            reals_of(data),
            rows_of(kernel),
            across,
            symbols[2].ravel(),
            kernel.dtype.type(ratio),
        )
        smooth[0, 0, 0] = data[0, 0, 0] = 0
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


@jit_rows
def _combine_host(low: int, high: int, smooth: Any, data: Any, kernel: Any, across: Any, sz: Any, ratio: Any) -> None:
    """Rows of spectra as reals, real and imaginary parts in turn; the constant becomes NaN."""
    one = np.float32(1)
    for i in range(low, high):
        for k in range(kernel.shape[1]):
            d = kernel[i, k]
            inverse = one / (ratio * (across[i] + sz[k]) + d * d)
            real = (ratio * smooth[i, 2 * k] + d * data[i, 2 * k]) * inverse
            imaginary = (ratio * smooth[i, 2 * k + 1] + d * data[i, 2 * k + 1]) * inverse
            smooth[i, 2 * k] = real
            smooth[i, 2 * k + 1] = imaginary
            data[i, 2 * k] = d * real
            data[i, 2 * k + 1] = d * imaginary
