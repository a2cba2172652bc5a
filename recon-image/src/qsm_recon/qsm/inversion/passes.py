"""The inversion's passes over volumes and half spectra: compiled and fused for host arrays, array code otherwise.

Sums run in float64 within a row and over the rows in one order, so the number of threads changes no bit.
"""

import math
from typing import Any

import numpy as np

from qsm_recon.qsm import backend, kernels
from qsm_recon.qsm.compiling import jit_rows, reals_of, rows_of

Array = Any
Triple = tuple[float, float, float]


def multiply_add(spectrum: Array, factor: Array, other: Array) -> None:
    """`spectrum` = factor * spectrum + other, in place."""
    if backend.is_device_array(spectrum):
        spectrum *= factor
        spectrum += other
    else:
        rows = rows_of(factor)
        _multiply_add(len(rows), reals_of(spectrum), rows, reals_of(other))


def l1_weights(x: Array, smooth: Array, voxel_size_mm: Triple, smoothing: float, out: Array | None = None) -> Array:
    """Quadratic weights smooth / sqrt(|grad_c x|^2 + smoothing), (3, x, y, z), that stand for the L1 norm at x.

    `out`, where given, receives them.
    """
    xp = backend.namespace(x)
    weights = xp.empty((3, *x.shape), dtype=x.dtype) if out is None else out
    if not backend.is_device_array(x):
        _l1_weights(x.shape[0], x, smooth, _inverse(voxel_size_mm, x), x.dtype.type(smoothing), weights)
        return weights
    weights[...] = kernels.gradient(x, voxel_size_mm)
    weights *= weights
    weights += np.float32(smoothing)
    xp.sqrt(weights, out=weights)
    xp.divide(smooth, weights, out=weights)
    return weights


def l1_norm(x: Array, smooth: Array, voxel_size_mm: Triple, smoothing: float) -> float:
    """Sum of sqrt((smooth * grad_c x)^2 + smoothing) over voxels and components."""
    if not backend.is_device_array(x):
        rows = np.empty(x.shape[0])
        _l1_norm(x.shape[0], x, smooth, _inverse(voxel_size_mm, x), x.dtype.type(smoothing), rows)
        return float(rows.sum())
    xp = backend.namespace(x)
    steepness = kernels.gradient(x, voxel_size_mm)
    steepness *= smooth
    return float(xp.sum(xp.sqrt(steepness * steepness + np.float32(smoothing)), dtype=xp.float64))


def change(x: Array, before: Array) -> float:
    """Norm of x - before over that of x; 0 where both are 0."""
    if not backend.is_device_array(x):
        rows = np.empty((2, x.shape[0]))
        _squares(x.shape[0], x, before, rows)
        difference, size = float(rows[0].sum()), float(rows[1].sum())
    else:
        xp = backend.namespace(x)
        difference = float(xp.sum((x - before) ** 2, dtype=xp.float64))
        size = float(xp.sum(x * x, dtype=xp.float64))
    if size == 0:
        return 0.0 if difference == 0 else math.inf
    return math.sqrt(difference / size)


def phase_misfit(phase: Array, measured: Array, squared_weights: Array) -> float:
    """Sum of W sin^2((phase - measured) / 2): a quarter of W |exp(i phase) - exp(i measured)|^2."""
    if not backend.is_device_array(phase):
        rows = np.empty(phase.shape[0])
        _phase_misfit(phase.shape[0], phase, measured, squared_weights, rows)
        return float(rows.sum())
    xp = backend.namespace(phase)
    half = xp.sin((phase - measured) * np.float32(0.5))
    return float(xp.sum(half * half * squared_weights, dtype=xp.float64))


def phase_force(phase: Array, measured: Array, squared_weights: Array) -> Array:
    """W sin(phase - measured), (x, y, z)."""
    if not backend.is_device_array(phase):
        force = np.empty_like(phase)
        _phase_force(phase.shape[0], phase, measured, squared_weights, force)
        return force
    force = backend.namespace(phase).sin(phase - measured)
    force *= squared_weights
    return force


def _inverse(voxel_size_mm: Triple, like: Array) -> Array:
    return np.array([1 / h for h in voxel_size_mm], dtype=like.dtype)


@jit_rows
def _multiply_add(low: int, high: int, a: Any, factor: Any, b: Any) -> None:
    for i in range(low, high):
        for k in range(factor.shape[1]):
            a[i, 2 * k] = a[i, 2 * k] * factor[i, k] + b[i, 2 * k]
            a[i, 2 * k + 1] = a[i, 2 * k + 1] * factor[i, k] + b[i, 2 * k + 1]


@jit_rows
def _l1_weights(low: int, high: int, x: Any, smooth: Any, inverse: Any, smoothing: Any, out: Any) -> None:
    nx, ny, nz = x.shape
    for i in range(low, high):
        i1 = min(i + 1, nx - 1)  # beyond the border the difference is 0
        for j in range(ny):
            j1 = min(j + 1, ny - 1)
            for k in range(nz):
                here = x[i, j, k]
                a = (x[i1, j, k] - here) * inverse[0]
                b = (x[i, j1, k] - here) * inverse[1]
                out[0, i, j, k] = smooth[0, i, j, k] / np.sqrt(a * a + smoothing)
                out[1, i, j, k] = smooth[1, i, j, k] / np.sqrt(b * b + smoothing)
            for k in range(nz - 1):
                c = (x[i, j, k + 1] - x[i, j, k]) * inverse[2]
                out[2, i, j, k] = smooth[2, i, j, k] / np.sqrt(c * c + smoothing)
            out[2, i, j, nz - 1] = smooth[2, i, j, nz - 1] / np.sqrt(smoothing)


@jit_rows
def _l1_norm(low: int, high: int, x: Any, smooth: Any, inverse: Any, smoothing: Any, rows: Any) -> None:
    nx, ny, nz = x.shape
    for i in range(low, high):
        i1 = min(i + 1, nx - 1)
        total = 0.0
        for j in range(ny):
            j1 = min(j + 1, ny - 1)
            for k in range(nz):
                here = x[i, j, k]
                a = (x[i1, j, k] - here) * inverse[0] * smooth[0, i, j, k]
                b = (x[i, j1, k] - here) * inverse[1] * smooth[1, i, j, k]
                c = (x[i, j, min(k + 1, nz - 1)] - here) * inverse[2] * smooth[2, i, j, k]
                total += np.sqrt(a * a + smoothing) + np.sqrt(b * b + smoothing) + np.sqrt(c * c + smoothing)
        rows[i] = total


@jit_rows
def _squares(low: int, high: int, x: Any, before: Any, rows: Any) -> None:
    _, ny, nz = x.shape
    for i in range(low, high):
        difference, size = 0.0, 0.0
        for j in range(ny):
            for k in range(nz):
                step = float(x[i, j, k]) - float(before[i, j, k])
                difference += step * step
                size += float(x[i, j, k]) * float(x[i, j, k])
        rows[0, i] = difference
        rows[1, i] = size


@jit_rows
def _phase_misfit(low: int, high: int, phase: Any, measured: Any, squared_weights: Any, rows: Any) -> None:
    _, ny, nz = phase.shape
    for i in range(low, high):
        total = 0.0
        for j in range(ny):
            for k in range(nz):
                if squared_weights[i, j, k] > 0:
                    half = math.sin((phase[i, j, k] - measured[i, j, k]) * 0.5)
                    total += squared_weights[i, j, k] * half * half
        rows[i] = total


@jit_rows
def _phase_force(low: int, high: int, phase: Any, measured: Any, squared_weights: Any, out: Any) -> None:
    _, ny, nz = phase.shape
    for i in range(low, high):
        for j in range(ny):
            for k in range(nz):
                weight = squared_weights[i, j, k]
                out[i, j, k] = weight * math.sin(phase[i, j, k] - measured[i, j, k]) if weight > 0 else 0.0
