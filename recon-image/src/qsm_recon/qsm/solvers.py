"""Iterative solvers: they take operators as callables and know no MRI."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qsm_recon.qsm import backend
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.qsm.vector_spaces import VectorSpace, Volumes

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


def conjugate_gradient(
    apply: Callable[[Array], Array],
    right_hand_side: Array,
    *,
    iterations: int,
    tolerance: float,
    start: Array | None = None,
    space: VectorSpace | None = None,
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
    space : VectorSpace, optional
        The inner product in which A is symmetric, the preconditioner and how vectors are updated; plain volumes
        without preconditioner by default.
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
    space = Volumes() if space is None else space
    xp = backend.namespace(right_hand_side)
    norm = space.inner(right_hand_side, right_hand_side) ** 0.5
    if norm == 0:
        return Solution(xp.zeros_like(right_hand_side), 0, 0.0, converged=True)
    if start is None:
        x, residual = xp.zeros_like(right_hand_side), right_hand_side.copy()
    else:
        x, residual = start.copy(), right_hand_side - apply(start)
    del right_hand_side  # where the caller has no name for it either, this is its end
    square, slope = space.norms(residual)
    direction, ratio = xp.zeros_like(residual), 0.0
    done = 0
    while done < iterations and square**0.5 > tolerance * norm:
        space.redirect(direction, residual, ratio)
        image = apply(direction)
        curvature = space.inner(direction, image)
        if not curvature > 0:
            break
        previous = slope
        square, slope = space.advance(x, residual, direction, image, slope / curvature)
        ratio = slope / previous
        done += 1
        progress(done / iterations)
    return Solution(x, done, square**0.5 / norm, converged=square**0.5 <= tolerance * norm)


def portion(progress: Progress, start: float, stop: float) -> Progress:
    """`progress` for a part of the work that takes the stage from fraction `start` to `stop`."""

    def report(fraction: float, /) -> None:
        progress(start + (stop - start) * fraction)

    return report
