"""What conjugate gradients do to vectors: dot products and updates, for volumes and for half spectra.

Half spectra sit in the innermost loop of the inversion, so on the host their passes are compiled and fused. Dot
products are float64 sums over rows, added up in one order: the same input gives the same bits for any number of
threads (BLAS would not).
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from qsm_recon.qsm import backend
from qsm_recon.qsm.compiling import jit, jit_rows, reals_of, rows_of

Array = Any


class VectorSpace(Protocol):
    """Inner product, preconditioner and updates in place."""

    def inner(self, a: Array, b: Array) -> float:
        """Real dot product."""

    def norms(self, residual: Array) -> tuple[float, float]:
        """Squares of the residual's norm: plain, and in the metric of the preconditioner."""

    def redirect(self, direction: Array, residual: Array, ratio: float) -> None:
        """`direction` = preconditioned residual + ratio * `direction`; its `norms` were asked last."""

    def advance(self, x: Array, residual: Array, direction: Array, image: Array, step: float) -> tuple[float, float]:
        """`x` += step * direction, `residual` -= step * image; then its `norms`. May use up `image`."""


class Volumes:
    """Real arrays of any shape, NumPy or CuPy."""

    def __init__(self, precondition: Callable[[Array], Array] | None = None) -> None:
        self.precondition = precondition
        self._preconditioned: Array | None = None
        """Of the residual whose norms were asked last: the next direction needs it too."""

    def inner(self, a: Array, b: Array) -> float:
        """Sum of products, accumulated in float64 by the array module's own sum."""
        xp = backend.namespace(a)
        return float(xp.sum(a * b, dtype=xp.float64))

    def norms(self, residual: Array) -> tuple[float, float]:
        """See `VectorSpace`."""
        square = self.inner(residual, residual)
        if self.precondition is None:
            return square, square
        self._preconditioned = self.precondition(residual)
        return square, self.inner(residual, self._preconditioned)

    def redirect(self, direction: Array, residual: Array, ratio: float) -> None:
        """See `VectorSpace`."""
        direction *= direction.dtype.type(ratio)
        direction += residual if self._preconditioned is None else self._preconditioned

    def advance(self, x: Array, residual: Array, direction: Array, image: Array, step: float) -> tuple[float, float]:
        """See `VectorSpace`."""
        length = x.dtype.type(step)
        x += length * direction
        image *= length
        residual -= image
        return self.norms(residual)


class HalfSpectra:
    """Half spectra of real volumes whose last axis has `last_size` voxels, with a diagonal preconditioner.

    The planes that a half spectrum leaves out are the conjugates of those it holds, so all planes count twice but
    k_z = 0 and, at an even size, the Nyquist plane. (The product equals that of the volumes times their size.)
    """

    def __init__(self, last_size: int, inverse: Array) -> None:
        self.inverse = inverse
        """Real array that multiplies a residual: roughly the inverse of the operator."""
        self.nyquist = last_size % 2 == 0

    def inner(self, a: Array, b: Array) -> float:
        """See `VectorSpace`."""
        if backend.is_device_array(a):
            return self._total(a.real * b.real + a.imag * b.imag)
        rows = np.empty(a.size // a.shape[-1])
        _inner(rows.size, reals_of(a), reals_of(b), self.nyquist, rows)
        return float(rows.sum())

    def norms(self, residual: Array) -> tuple[float, float]:
        """See `VectorSpace`."""
        if backend.is_device_array(residual):
            square = residual.real**2 + residual.imag**2
            return self._total(square), self._total(square * self.inverse)
        rows = np.empty((2, residual.size // residual.shape[-1]))
        _norms(rows.shape[1], reals_of(residual), rows_of(self.inverse), self.nyquist, rows)
        return float(rows[0].sum()), float(rows[1].sum())

    def redirect(self, direction: Array, residual: Array, ratio: float) -> None:
        """See `VectorSpace`."""
        if backend.is_device_array(direction):
            direction *= np.float32(ratio)
            direction += self.inverse * residual
        else:
            _redirect(
                rows_of(direction).shape[0], reals_of(direction), reals_of(residual), rows_of(self.inverse), ratio
            )

    def advance(self, x: Array, residual: Array, direction: Array, image: Array, step: float) -> tuple[float, float]:
        """See `VectorSpace`."""
        if backend.is_device_array(x):
            x += np.float32(step) * direction
            residual -= np.float32(step) * image
            return self.norms(residual)
        rows = np.empty((2, x.size // x.shape[-1]))
        parts = reals_of(x), reals_of(residual), reals_of(direction), reals_of(image)
        _advance(rows.shape[1], *parts, rows_of(self.inverse), step, self.nyquist, rows)
        return float(rows[0].sum()), float(rows[1].sum())

    def _total(self, product: Array) -> float:
        xp = backend.namespace(product)
        total = 2 * xp.sum(product, dtype=xp.float64) - xp.sum(product[..., 0], dtype=xp.float64)
        if self.nyquist:
            total = total - xp.sum(product[..., -1], dtype=xp.float64)
        return float(total)  # once: the device is waited for


@jit_rows
def _inner(
    low: int,
    high: int,
    a: Any,
    b: Any,
    nyquist: bool,  # noqa: FBT001 - numba kernels take no keywords
    rows: Any,
) -> None:
    last = a.shape[1] - 1
    for i in range(low, high):
        even, odd = 0.0, 0.0
        for k in range(0, last, 2):
            even += a[i, k] * b[i, k]
            odd += a[i, k + 1] * b[i, k + 1]
        once = a[i, 0] * b[i, 0] + a[i, 1] * b[i, 1]
        if nyquist:
            once += a[i, last - 1] * b[i, last - 1] + a[i, last] * b[i, last]
        rows[i] = 2 * (even + odd) - once


@jit
def _row_norms(r: Any, inverse: Any, i: int, nyquist: bool) -> tuple[float, float]:  # noqa: FBT001 - numba kernels take no keywords
    """Squares of one row of a half spectrum, plain and weighted; columns but the first and Nyquist count twice."""
    last = inverse.shape[1] - 1
    plain, metric, square = 0.0, 0.0, 0.0
    for k in range(last + 1):
        square = float(r[i, 2 * k] * r[i, 2 * k] + r[i, 2 * k + 1] * r[i, 2 * k + 1])
        plain += square
        metric += inverse[i, k] * square
    once = float(r[i, 0] * r[i, 0] + r[i, 1] * r[i, 1])
    plain, metric = 2 * plain - once, 2 * metric - inverse[i, 0] * once
    if nyquist:
        plain -= square
        metric -= inverse[i, last] * square
    return plain, metric


@jit_rows
def _norms(
    low: int,
    high: int,
    r: Any,
    inverse: Any,
    nyquist: bool,  # noqa: FBT001 - numba kernels take no keywords
    rows: Any,
) -> None:
    for i in range(low, high):
        rows[0, i], rows[1, i] = _row_norms(r, inverse, i, nyquist)


@jit_rows
def _redirect(low: int, high: int, p: Any, r: Any, inverse: Any, ratio: float) -> None:
    beta = p.dtype.type(ratio)
    for i in range(low, high):
        for k in range(inverse.shape[1]):
            p[i, 2 * k] = inverse[i, k] * r[i, 2 * k] + beta * p[i, 2 * k]
            p[i, 2 * k + 1] = inverse[i, k] * r[i, 2 * k + 1] + beta * p[i, 2 * k + 1]


@jit_rows
def _advance(
    low: int,
    high: int,
    x: Any,
    r: Any,
    p: Any,
    q: Any,
    inverse: Any,
    step: float,
    nyquist: bool,  # noqa: FBT001 - numba kernels take no keywords
    rows: Any,
) -> None:
    t = x.dtype.type(step)
    for i in range(low, high):
        for k in range(2 * inverse.shape[1]):
            x[i, k] += t * p[i, k]
            r[i, k] -= t * q[i, k]
        rows[0, i], rows[1, i] = _row_norms(r, inverse, i, nyquist)
