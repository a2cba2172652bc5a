"""Weighted least squares by conjugate gradients: minimise sum W (d - A x)^2.

The residual d - A x is carried along, so what A x leaves over is there in the end at no cost, no normal equations are
formed (their rounding is worse), and the last iteration needs no adjoint.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from qsm_recon.qsm import backend
from qsm_recon.qsm.compiling import jit_rows, rows_of
from qsm_recon.qsm.progress import Progress, silent

Array = Any


def least_squares(
    forward: Callable[[Array], Array],
    adjoint: Callable[[Array], Array],
    data: Array,
    weights: Array,
    *,
    iterations: int,
    tolerance: float,
    start: Array | None = None,
    progress: Progress = silent,
) -> tuple[Array, Array]:
    """Unknowns that explain `data` best, and what they leave of it.

    Parameters
    ----------
    forward, adjoint : callable
        A and its adjoint; each returns a new array and leaves its argument alone.
    data, weights : (x, y, z) float32 arrays
        d, and W >= 0; not changed.
    iterations : int
        Cap on the iterations.
    tolerance : float
        Stop at |A' W (d - A x)| <= tolerance * |A' W d|; free of units. 0 runs to the cap.
    start : array, optional
        First x (default 0); not changed.
    progress : callable
        Told the fraction of the cap that is done.

    Returns
    -------
    tuple
        x and d - A x. Ends early where no unknown sees any of the residual.

    References
    ----------
    Hestenes and Stiefel 1952, doi:10.6028/jres.049.044; Paige and Saunders 1982, doi:10.1145/355984.355989 (CGLS).
    """
    residual = data.copy()
    x = None
    if start is not None:
        x = start.copy()
        residual -= forward(x)
    gradient = adjoint(weights * residual)
    square = _square(gradient)
    limit = 0.0
    if tolerance > 0:
        limit = tolerance**2 * (square if start is None else _square(adjoint(weights * data)))
    x = backend.namespace(data).zeros_like(gradient) if x is None else x
    direction = gradient.copy()
    for done in range(iterations):
        if square <= limit:
            break
        image = forward(direction)
        curvature = _square(image, weights)
        if not curvature > 0:
            break
        _advance(x, direction, residual, image, weights, square / curvature)
        progress((done + 1) / iterations)
        if done + 1 == iterations:
            break
        gradient = adjoint(image)  # by now the weighted residual
        del image  # as large as the next one
        previous, square = square, _square(gradient)
        _redirect(direction, gradient, square / previous)
    return x, residual


def _square(values: Array, weights: Array | None = None) -> float:
    """Sum of W v^2 (of v^2), float64."""
    xp = backend.namespace(values)
    if backend.is_device_array(values):
        return float(xp.sum(values * values if weights is None else weights * values * values, dtype=xp.float64))
    v = rows_of(values)
    sums = np.empty(len(v))
    if weights is None:
        _squares(len(v), v, sums)
    else:
        _weighted_squares(len(v), v, rows_of(weights), sums)
    return float(sums.sum())


def _advance(x: Array, direction: Array, residual: Array, image: Array, weights: Array, step: float) -> None:
    """`x` += step direction, `residual` -= step image; `image` becomes the weighted residual."""
    length = x.dtype.type(step)
    if not backend.is_device_array(x):
        arrays = [rows_of(array) for array in (x, direction, residual, image, weights)]
        _advance_host(len(arrays[0]), *arrays, length)
        return
    x += length * direction
    residual -= length * image
    backend.namespace(x).multiply(weights, residual, out=image)


def _redirect(direction: Array, gradient: Array, ratio: float) -> None:
    """`direction` = gradient + ratio `direction`."""
    beta = direction.dtype.type(ratio)
    if not backend.is_device_array(direction):
        _redirect_host(len(rows_of(direction)), rows_of(direction), rows_of(gradient), beta)
        return
    direction *= beta
    direction += gradient


@jit_rows
def _squares(low: int, high: int, values: Any, sums: Any) -> None:
    for i in range(low, high):
        total = 0.0
        for k in range(values.shape[1]):
            total += values[i, k] * values[i, k]
        sums[i] = total


@jit_rows
def _weighted_squares(low: int, high: int, values: Any, weights: Any, sums: Any) -> None:
    for i in range(low, high):
        total = 0.0
        for k in range(values.shape[1]):
            total += weights[i, k] * values[i, k] * values[i, k]
        sums[i] = total


@jit_rows
def _advance_host(low: int, high: int, x: Any, p: Any, r: Any, q: Any, weights: Any, step: Any) -> None:
    for i in range(low, high):
        for k in range(x.shape[1]):
            x[i, k] += step * p[i, k]
            left = r[i, k] - step * q[i, k]
            r[i, k] = left
            q[i, k] = weights[i, k] * left


@jit_rows
def _redirect_host(low: int, high: int, p: Any, s: Any, beta: Any) -> None:
    for i in range(low, high):
        for k in range(p.shape[1]):
            p[i, k] = s[i, k] + beta * p[i, k]
