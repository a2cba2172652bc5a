"""Weighted least squares on small systems whose solution is known."""

from collections.abc import Callable

import numpy as np
import pytest
from array_places import Place

from qsm_recon.qsm.least_squares import least_squares

RNG = np.random.default_rng(3)
SHAPE = (4, 3, 5)
MATRIX = RNG.standard_normal((60, 60)) / 8 + np.eye(60)
DATA = RNG.standard_normal(SHAPE).astype(np.float32)
WEIGHTS = np.where(RNG.random(SHAPE) > 0.3, 0.5 + RNG.random(SHAPE), 0).astype(np.float32)
SEEN = RNG.random(SHAPE) > 0.5


def forward(x: np.ndarray) -> np.ndarray:
    return (MATRIX @ x.ravel()).reshape(SHAPE).astype(np.float32)


def adjoint(d: np.ndarray) -> np.ndarray:
    return ((MATRIX.T @ d.ravel()).reshape(SHAPE) * SEEN).astype(np.float32)


def solve(**how: object) -> tuple[np.ndarray, np.ndarray]:
    return least_squares(forward, adjoint, DATA, WEIGHTS, **({"iterations": 80, "tolerance": 1e-5} | how))  # type: ignore[arg-type]


def exact() -> np.ndarray:
    root = np.sqrt(WEIGHTS.astype(np.float64)).ravel()
    unknowns = SEEN.ravel()
    x = np.zeros(60)
    x[unknowns] = np.linalg.lstsq(root[:, None] * MATRIX[:, unknowns], root * DATA.ravel(), rcond=None)[0]
    return (DATA.ravel() - MATRIX @ x).reshape(SHAPE)


def test_leaves_what_the_best_fit_leaves() -> None:
    x, left = solve()
    np.testing.assert_allclose(left * np.sqrt(WEIGHTS), exact() * np.sqrt(WEIGHTS), atol=1e-3)
    np.testing.assert_allclose(left, DATA - forward(x), atol=1e-4)
    assert not x[~SEEN].any()


def test_device_form_is_the_host_form(device: Place) -> None:
    matrix, seen = device.put(MATRIX), device.put(SEEN)
    there = least_squares(
        lambda x: (matrix @ x.ravel()).reshape(SHAPE).astype(np.float32),
        lambda d: ((matrix.T @ d.ravel()).reshape(SHAPE) * seen).astype(np.float32),
        device.put(DATA),
        device.put(WEIGHTS),
        iterations=4,
        tolerance=0,
    )
    for one, other in zip(solve(iterations=4, tolerance=0), device.get(there), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_two_iterations_and_two_more_from_there_go_on() -> None:
    first, _ = solve(iterations=2, tolerance=0)
    _, alone = solve(iterations=2, tolerance=0)
    x, left = solve(iterations=2, tolerance=0, start=first)
    np.testing.assert_allclose(left, DATA - forward(x), atol=1e-5)
    assert np.sum(WEIGHTS * left**2) < np.sum(WEIGHTS * alone**2)


def test_inputs_are_not_changed_and_progress_is_told() -> None:
    start, told = np.where(SEEN, 1, 0).astype(np.float32), list[float]()
    kept = [array.copy() for array in (start, DATA, WEIGHTS)]
    solve(iterations=4, tolerance=0, start=start, progress=told.append)
    assert told == [0.25, 0.5, 0.75, 1.0]
    for now, before in zip((start, DATA, WEIGHTS), kept, strict=True):
        assert np.array_equal(now, before)


def counted() -> tuple[Callable[[np.ndarray], np.ndarray], list[int]]:
    calls = [0]

    def count(x: np.ndarray) -> np.ndarray:
        calls[0] += 1
        return forward(x)

    return count, calls


@pytest.mark.parametrize(("start", "extra"), [(None, 0), (np.zeros(SHAPE, np.float32), 1)])
def test_stops_at_the_tolerance_whatever_the_unit(start: np.ndarray | None, extra: int) -> None:
    found = []
    for unit in (1.0, 1024.0):
        count, calls = counted()
        least_squares(count, adjoint, DATA * np.float32(unit), WEIGHTS, iterations=80, tolerance=0.05, start=start)
        found.append(calls[0])
    assert found[0] == found[1]
    assert extra < found[0] < 40


def test_nothing_to_explain_takes_no_iteration() -> None:
    count, calls = counted()
    x, left = least_squares(count, adjoint, np.zeros(SHAPE, np.float32), WEIGHTS, iterations=5, tolerance=1e-3)
    assert calls == [0]
    assert not x.any()
    assert not left.any()
