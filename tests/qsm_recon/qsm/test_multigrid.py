"""Poisson's equation in a region of any shape: the right operator, a symmetric cycle, few iterations at every size."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from array_places import Place

from qsm_recon.qsm import backend, multigrid
from qsm_recon.qsm.multigrid import Poisson
from qsm_recon.qsm.solvers import Solution, conjugate_gradient
from qsm_recon.qsm.vector_spaces import Volumes

VOXELS = [(1.0, 1.0, 1.0), (1.0, 1.0, 3.0), (2.0, 0.7, 1.1)]


def ball(shape: tuple[int, int, int], dent: float = 0.25) -> np.ndarray:
    """An ellipsoid that fills the grid up to its border, with dents."""
    x, y, z = (np.linspace(-1, 1, n) for n in shape)
    squares = x[:, None, None] ** 2 + y[:, None] ** 2 + z**2
    waves = np.sin(9 * x)[:, None, None] * np.sin(8 * y)[:, None] * np.sin(7 * z)
    return squares < 1 - dent * (waves > 0.3)


def inside(region: np.ndarray, seed: int) -> np.ndarray:
    """Normal deviates in `region`."""
    return (np.random.default_rng(seed).standard_normal(region.shape) * region).astype(np.float32)


def solve(region: np.ndarray, voxel: tuple[float, float, float], right: np.ndarray, tolerance: float) -> Solution:
    poisson = Poisson(region, voxel)
    return conjugate_gradient(poisson.apply, right, iterations=60, tolerance=tolerance, space=Volumes(poisson.cycle))


def dot(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sum(a.astype(np.float64) * b))


@pytest.mark.parametrize("voxel", VOXELS)
def test_operator_is_minus_the_laplacian_with_zeros_around(voxel: tuple[float, float, float]) -> None:
    region = ball((14, 11, 9))
    x = inside(region, 1)
    wide = np.pad(x.astype(np.float64), 1)
    expected = np.zeros_like(wide)
    for axis, h in enumerate(voxel):
        expected += (2 * wide - np.roll(wide, 1, axis) - np.roll(wide, -1, axis)) / h**2
    expected = expected[1:-1, 1:-1, 1:-1] * region
    np.testing.assert_allclose(Poisson(region, voxel).apply(x), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("voxel", VOXELS)
def test_operator_and_cycle_are_symmetric_and_positive(voxel: tuple[float, float, float]) -> None:
    region = ball((21, 18, 15))
    poisson = Poisson(region, voxel)
    a, b = inside(region, 1), inside(region, 2)
    for linear in (poisson.apply, poisson.cycle):
        assert dot(linear(a), b) == pytest.approx(dot(a, linear(b)), rel=1e-4, abs=1e-4 * dot(linear(a), a))
        assert dot(linear(a), a) > 0
        assert not linear(a)[~region].any()


@pytest.mark.parametrize("by", [(2, 2, 2), (2, 2, 1), (1, 2, 1)])
@pytest.mark.parametrize("shape", [(8, 6, 4), (9, 7, 5)])
def test_restriction_is_the_adjoint_of_prolongation(by: tuple[int, int, int], shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.standard_normal([-(-n // f) for n, f in zip(shape, by, strict=True)]).astype(np.float32)
    fine = rng.standard_normal(shape).astype(np.float32)
    up, down = multigrid.prolong(coarse, by, shape), multigrid.restrict(fine, by)
    assert up.shape == shape
    assert down.shape == coarse.shape
    assert dot(up, fine) == pytest.approx(dot(coarse, down), rel=1e-5)


def test_prolongation_keeps_straight_lines() -> None:
    centres = np.arange(8) * 2 + 0.5
    coarse = np.broadcast_to(centres[:, None, None], (8, 4, 4)).astype(np.float32)
    fine = multigrid.prolong(coarse, (2, 2, 2), (16, 8, 8))
    np.testing.assert_allclose(fine[1:-1, 2, 2], np.arange(1, 15), rtol=1e-6)


@pytest.mark.parametrize("voxel", VOXELS)
def test_a_box_has_sines_for_eigenvectors(voxel: tuple[float, float, float]) -> None:
    """In closed form: A s = sum_c (2 - 2 cos(pi m_c / (n_c + 1))) / h_c^2 s for products of sines."""
    shape, waves = (15, 22, 11), (1, 2, 1)
    sines = [np.sin(np.pi * m * np.arange(1, n + 1) / (n + 1)) for n, m in zip(shape, waves, strict=True)]
    truth = (sines[0][:, None, None] * sines[1][:, None] * sines[2]).astype(np.float32)
    angles = [np.pi * m / (n + 1) for n, m in zip(shape, waves, strict=True)]
    eigenvalue = sum((2 - 2 * np.cos(a)) / h**2 for a, h in zip(angles, voxel, strict=True))
    solution = solve(np.ones(shape, dtype=bool), voxel, np.float32(eigenvalue) * truth, 1e-6)
    assert solution.converged
    np.testing.assert_allclose(solution.x, truth, atol=2e-5)


@pytest.mark.parametrize("voxel", VOXELS)
@pytest.mark.parametrize("size", [1, 2, 4])
def test_few_iterations_at_every_size(voxel: tuple[float, float, float], size: int) -> None:
    """Without the cycle, conjugate gradients take over 40 at the smallest size, and twice as many at each next."""
    region = ball((18 * size, 22 * size, 16 * size))
    smooth = np.cos(np.linspace(-1.5, 1.5, 18 * size))[:, None, None] * region
    truth = inside(region, 3) * np.float32(0.01) + smooth.astype(np.float32)
    solution = solve(region, voxel, Poisson(region, voxel).apply(truth), 1e-5)
    assert solution.converged
    assert solution.iterations <= 12
    assert np.abs(solution.x - truth).max() < 1e-3


def test_islands_and_single_voxels_are_solved_each_for_itself() -> None:
    region = np.zeros((20, 20, 20), dtype=bool)
    region[2:8, 2:8, 2:8] = region[11:18, 11:18, 11:18] = True
    region[4, 15, 4] = region[0, 0, 0] = region[19, 19, 0] = True
    truth = inside(region, 4)
    right = Poisson(region, (1, 1, 1)).apply(truth)
    solution = solve(region, (1, 1, 1), right, 1e-6)
    np.testing.assert_allclose(solution.x, truth, atol=1e-4)
    right[11:, 11:, 11:] = 0
    alone = solve(region, (1, 1, 1), right, 1e-6).x
    np.testing.assert_allclose(alone[:8], truth[:8], atol=1e-4)
    assert np.abs(alone[11:18, 11:18, 11:18]).max() < 1e-4


def test_compiled_passes_are_the_array_passes(device: Place) -> None:
    region = ball((13, 12, 11))

    def passes(put: Callable[[np.ndarray], Any]) -> list[Any]:
        level = Poisson(put(region), (1.0, 1.2, 3.0)).levels[0]
        x, right = put(inside(region, 6)), put(inside(region, 5))
        multigrid.relax(level, x, right, 0)
        multigrid.relax(level, x, right, 1)
        return [x, multigrid.residual(level, x, right), multigrid.residual(level, x, None)]

    for one, other in zip(passes(np.array), device.get(passes(device.put)), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6 * np.abs(one).max() + 1e-7)


def test_same_bits_for_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    region = ball((40, 36, 30))
    right = inside(region, 7)
    found = set()
    for cores in (1, 2, 3):
        monkeypatch.setattr(backend, "threads", lambda n=cores: n)
        found.add(solve(region, (1.0, 1.0, 2.0), right, 1e-5).x.tobytes())
    assert len(found) == 1
