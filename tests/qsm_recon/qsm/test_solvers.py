"""Conjugate gradients on small systems whose solution is known."""

import numpy as np

from qsm_recon.qsm import solvers
from qsm_recon.qsm.vector_spaces import Volumes


def system(seed: int = 0, size: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((size, size))
    return root @ root.T + np.eye(size), rng.standard_normal(size)


def test_solves_as_many_equations_as_iterations() -> None:
    matrix, b = system()
    solution = solvers.conjugate_gradient(lambda x: matrix @ x, b, iterations=40, tolerance=1e-10)
    assert solution.converged
    assert np.allclose(matrix @ solution.x, b, atol=1e-7)


def test_start_and_right_hand_side_are_not_changed() -> None:
    matrix, b = system()
    start = np.ones_like(b)
    kept = b.copy()
    solvers.conjugate_gradient(lambda x: matrix @ x, b, iterations=3, tolerance=0, start=start)
    assert np.array_equal(b, kept)
    assert np.array_equal(start, np.ones_like(b))


def test_the_exact_inverse_as_preconditioner_needs_one_iteration() -> None:
    matrix, b = system()
    inverse = np.linalg.inv(matrix)
    solution = solvers.conjugate_gradient(
        lambda x: matrix @ x, b, iterations=40, tolerance=1e-8, space=Volumes(lambda r: inverse @ r)
    )
    assert solution.converged
    assert solution.iterations == 1


def test_cap_is_kept_and_said() -> None:
    matrix, b = system()
    seen: list[float] = []
    solution = solvers.conjugate_gradient(lambda x: matrix @ x, b, iterations=2, tolerance=1e-12, progress=seen.append)
    assert (solution.iterations, solution.converged) == (2, False)
    assert solution.relative_residual > 1e-12
    assert seen == [0.5, 1.0]


def test_stopping_does_not_depend_on_units() -> None:
    matrix, b = system()
    one = solvers.conjugate_gradient(lambda x: matrix @ x, b, iterations=40, tolerance=1e-3)
    million = solvers.conjugate_gradient(lambda x: matrix @ x, 1e6 * b, iterations=40, tolerance=1e-3)
    assert one.iterations == million.iterations


def test_a_direction_without_curvature_ends_the_iteration() -> None:
    b = np.array([1.0, 1.0])
    solution = solvers.conjugate_gradient(lambda x: x * [1.0, -1.0], b, iterations=5, tolerance=1e-6)
    assert not solution.converged
    assert np.isfinite(solution.x).all()


def test_nothing_to_solve_is_zero() -> None:
    solution = solvers.conjugate_gradient(lambda x: x, np.zeros(3), iterations=5, tolerance=0, start=np.ones(3))
    assert solution.converged
    assert not solution.x.any()


def test_portion_maps_a_part_to_its_place() -> None:
    seen: list[float] = []
    solvers.portion(seen.append, 0.5, 0.75)(0.5)
    assert seen == [0.625]
