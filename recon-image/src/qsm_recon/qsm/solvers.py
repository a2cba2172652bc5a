"""Iterative solvers: they take operators as callables and know no MRI.

Dot products are accumulated in float64 by the array module's own sum, never by BLAS, whose order of addition depends
on the number of threads: the same input gives the same bits everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qsm_recon.qsm import backend
from qsm_recon.qsm.progress import Progress, silent

Array = Any


@dataclass(frozen=True)
class Solution:
    """What a linear solver found."""

    x: Array
    """The solution, same kind as the right-hand side."""
    iterations: int
    """Iterations done."""
    relative_residual: float
    """Norm of the (recursive) residual over that of the right-hand side."""
    converged: bool
    """Whether the tolerance was reached before the cap."""


def inner(a: Array, b: Array) -> float:
    """Real dot product of two real volumes, accumulated in float64."""
    xp = backend.namespace(a)
    return float(xp.sum(a * b, dtype=xp.float64))


def half_spectrum_inner(last_size: int) -> Callable[[Array, Array], float]:
    """Dot product for half spectra of real volumes whose last axis has `last_size` voxels.

    The planes that the half spectrum leaves out are the conjugates of those it holds, so all planes count twice
    but k_z = 0 and, at an even size, the Nyquist plane. (Equal to the volumes' dot product times their size.)
    """

    def dot(a: Array, b: Array) -> float:
        xp = backend.namespace(a)
        product = a.real * b.real
        product += a.imag * b.imag
        total = 2 * float(xp.sum(product, dtype=xp.float64)) - float(xp.sum(product[..., 0], dtype=xp.float64))
        if last_size % 2 == 0:
            total -= float(xp.sum(product[..., -1], dtype=xp.float64))
        return total

    return dot


def conjugate_gradient(
    apply: Callable[[Array], Array],
    right_hand_side: Array,
    *,
    iterations: int,
    tolerance: float,
    start: Array | None = None,
    precondition: Callable[[Array], Array] | None = None,
    dot: Callable[[Array, Array], float] = inner,
    progress: Progress = silent,
) -> Solution:
    """Solve A x = b for a symmetric positive (semi-)definite A by preconditioned conjugate gradients.

    Parameters
    ----------
    apply : callable
        x -> A x; must not change its argument.
    right_hand_side : array
        b; not changed.
    iterations : int
        Cap on the iterations.
    tolerance : float
        Stop at |b - A x| <= tolerance * |b|; free of units. 0 runs to the cap.
    start : array, optional
        First x (default 0); not changed.
    precondition : callable, optional
        r -> an approximation of A^-1 r, symmetric positive definite.
    dot : callable
        The inner product in which A is symmetric.
    progress : callable
        Told the fraction of the cap that is done.

    Returns
    -------
    Solution
        Stops early, `converged` False, where A shows a direction without curvature: nothing more can be gained.

    References
    ----------
    Hestenes and Stiefel, J Res NBS 1952, doi:10.6028/jres.049.044.
    """
    norm = dot(right_hand_side, right_hand_side) ** 0.5
    if start is None:
        x, residual = backend.namespace(right_hand_side).zeros_like(right_hand_side), right_hand_side.copy()
    else:
        x, residual = start.copy(), right_hand_side - apply(start)
    if norm == 0:
        return Solution(backend.namespace(x).zeros_like(x), 0, 0.0, converged=True)
    square = dot(residual, residual)
    direction, slope = None, 0.0
    done = 0
    while done < iterations and square**0.5 > tolerance * norm:
        z = residual if precondition is None else precondition(residual)
        new_slope = square if precondition is None else dot(residual, z)
        if direction is None:
            direction = z.copy()
        else:
            direction *= _scalar(direction, new_slope / slope)
            direction += z
        slope = new_slope
        image = apply(direction)
        curvature = dot(direction, image)
        if not curvature > 0:
            break
        step = _scalar(direction, slope / curvature)
        x += step * direction
        image *= step
        residual -= image
        square = dot(residual, residual)
        done += 1
        progress(done / iterations)
    return Solution(x, done, square**0.5 / norm, converged=square**0.5 <= tolerance * norm)


def portion(progress: Progress, start: float, stop: float) -> Progress:
    """`progress` for a part of the work that takes the stage from fraction `start` to `stop`."""

    def report(fraction: float, /) -> None:
        progress(start + (stop - start) * fraction)

    return report


def _scalar(array: Array, value: float) -> Any:
    """`value` in the real precision of `array`, so that float32 work stays float32."""
    return array.real.dtype.type(value)
