"""TV-ADMM: its fused steps are the array steps, each step solves what it says, and the whole recovers a source."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from array_places import Place

from qsm_recon.errors import InputError
from qsm_recon.qsm import backend, kernels
from qsm_recon.qsm.inversion import TvAdmmParams, invert, tv_steps
from qsm_recon.qsm.inversion.problem import DipoleProblem
from qsm_recon.qsm.inversion.tv_admm import TvAdmm, soft_edges, tv_weights, without_outliers
from qsm_recon.qsm.scan import Geometry

SHAPE = (20, 18, 24)
VOXEL = (1.0, 1.5, 2.0)
GEOMETRY = Geometry(VOXEL, (0.6, 0.0, 0.8))


def noise_volume(seed: int, *shape: int) -> np.ndarray:
    """Reproducible normal deviates."""
    return np.random.default_rng(seed).standard_normal(shape or SHAPE).astype(np.float32)


def both_forms(device: Place, step: Callable[[Callable[[np.ndarray], Any]], tuple[Any, ...]]) -> list[tuple]:
    """Result of the compiled form, and of the array form on the same input."""
    return [step(np.array), device.get(step(device.put))]


def test_shrink_host_is_array(device: Place) -> None:
    def step(put: Callable[[np.ndarray], Any]) -> tuple[Any, ...]:
        dual = put(noise_volume(2, 3, *SHAPE) * 0.1)
        limit = put(np.abs(noise_volume(3, 3, *SHAPE)) * 0.1)
        return tv_steps.shrink(put(noise_volume(1)), dual, limit, VOXEL), dual

    (out, dual), (array_out, array_dual) = both_forms(device, step)
    np.testing.assert_allclose(dual, array_dual, atol=1e-6)
    np.testing.assert_allclose(out, array_out, atol=1e-5)


@pytest.mark.parametrize("rad_per_ppm", [0.0, 6.4])
def test_fit_data_host_is_array(device: Place, rad_per_ppm: float) -> None:
    def step(put: Callable[[np.ndarray], Any]) -> tuple[Any, ...]:
        weights = np.maximum(noise_volume(3), 0)
        field, dual = put(noise_volume(1)), put(np.where(weights == 0, 0, noise_volume(2) * np.float32(0.1)))
        tv_steps.fit_data(field, dual, put(weights), put(noise_volume(4) * 0.2), 0.3, rad_per_ppm)
        return field, dual

    (field, dual), (array_field, array_dual) = both_forms(device, step)
    np.testing.assert_allclose(field, array_field, atol=2e-5)
    np.testing.assert_allclose(dual, array_dual, atol=2e-5)


def test_sine_and_cosine_of_any_angle() -> None:
    angles = np.linspace(-20, 20, 4001, dtype=np.float32)
    found = np.array([tv_steps._sine_cosine(angle) for angle in angles])
    exact = np.stack([np.sin(angles.astype(np.float64)), np.cos(angles.astype(np.float64))], axis=1)
    np.testing.assert_allclose(found[np.abs(angles) < np.pi], exact[np.abs(angles) < np.pi], atol=5e-7)
    np.testing.assert_allclose(found, exact, atol=3e-6)


def test_combine_host_is_array_and_solves_its_equation(device: Place) -> None:
    kernel = kernels.dipole_kernel(SHAPE, VOXEL, GEOMETRY.b0_direction)
    symbols = tuple(
        ((2 - 2 * np.cos(2 * np.pi * k * h)) / h**2).astype(np.float32)
        for k, h in zip(kernels.frequencies_per_mm(SHAPE, VOXEL), VOXEL, strict=True)
    )

    spectra = backend.rfftn(noise_volume(1)), backend.rfftn(noise_volume(2))

    def step(put: Callable[[np.ndarray], Any]) -> tuple[Any, ...]:
        smooth, data = map(put, spectra)
        return tv_steps.combine(smooth, data, put(kernel), tuple(map(put, symbols)), 0.2), data

    (x, field), (array_x, array_field) = both_forms(device, step)
    np.testing.assert_allclose(x, array_x, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(field, array_field, rtol=1e-4, atol=1e-4)
    left = (np.float32(0.2) * sum(symbols) + kernel**2) * x
    right = np.float32(0.2) * spectra[0] + kernel * spectra[1]
    right[0, 0, 0] = 0
    np.testing.assert_allclose(left, right, rtol=1e-3, atol=1e-3)


def test_shrink_is_the_adjoint_of_the_gradient() -> None:
    """Without a limit the dual is v itself: what returns is minus the adjoint gradient of (grad x + u)."""
    x, dual, test = noise_volume(1), noise_volume(2, 3, *SHAPE), noise_volume(3)
    v = np.stack([(np.roll(x, -1, a) - x) / h for a, h in enumerate(VOXEL)]) + dual
    out = tv_steps.shrink(x, dual, np.full_like(dual, np.inf), VOXEL)
    gradient = np.stack([(np.roll(test, -1, a) - test) / h for a, h in enumerate(VOXEL)])
    assert np.vdot(out, test) == pytest.approx(-np.vdot(v, gradient), rel=1e-4)


def test_fit_data_finds_the_minimum() -> None:
    """At z = v - u' the slope W sin(s (z - b)) / s + p (z - v) vanishes."""
    v, b = noise_volume(1) * 0.05, noise_volume(2) * 0.05
    weights = np.abs(noise_volume(3)) + np.float32(0.1)
    field, dual = v.copy(), np.zeros_like(v)
    tv_steps.fit_data(field, dual, weights, b, 0.3, 6.4)
    z = v - dual
    slope = weights * np.sin(6.4 * (z - b)) / 6.4 + 0.3 * (z - v)
    assert np.abs(slope).max() < 2e-5
    np.testing.assert_allclose(field, z - dual, atol=1e-6)


def ball(radius: float, centre: tuple[float, float, float]) -> np.ndarray:
    axes = [(np.arange(n) * h - c) ** 2 for n, h, c in zip((40, 40, 40), (1.5,) * 3, centre, strict=True)]
    return axes[0][:, None, None] + axes[1][:, None] + axes[2] <= radius**2


HEAD = ball(24, (30, 30, 30))
TRUTH = np.where(ball(5, (30, 34, 30)), 0.1, 0).astype(np.float32) - np.where(ball(4, (30, 22, 33)), 0.05, 0).astype(
    np.float32
)
CUBE = Geometry((1.5, 1.5, 1.5), (0.0, 0.0, 1.0))
FIELD = np.where(HEAD, kernels.convolve(TRUTH, kernels.dipole_kernel((40, 40, 40), (1.5,) * 3, (0, 0, 1))), 0).astype(
    np.float32
)
MAGNITUDE = (HEAD * (100 - 300 * TRUTH)).astype(np.float32)
NOISE = np.where(HEAD, 0.001, np.inf).astype(np.float32)


def relative_error(chi: np.ndarray, inside: np.ndarray) -> float:
    a, b = chi[inside] - chi[inside].mean(), TRUTH[inside] - TRUTH[inside].mean()
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def test_recovers_sources_better_with_edges() -> None:
    edges = invert(FIELD, HEAD, CUBE, TvAdmmParams(iterations=30), noise_ppm=NOISE, magnitude=MAGNITUDE)
    plain = invert(
        FIELD, HEAD, CUBE, TvAdmmParams(iterations=30, edge_quantile=0), noise_ppm=NOISE, magnitude=MAGNITUDE
    )
    assert edges.iterations == 30
    assert relative_error(edges.chi_ppm, HEAD) < 0.35
    assert relative_error(edges.chi_ppm, HEAD) < relative_error(plain.chi_ppm, HEAD) + 0.02


def test_voxels_without_signal_do_not_count() -> None:
    noise, field = NOISE.copy(), FIELD.copy()
    hole = ball(3, (38, 30, 30))
    noise[hole], field[hole] = np.inf, 7.0
    chi = invert(field, HEAD, CUBE, TvAdmmParams(), noise_ppm=noise, magnitude=MAGNITUDE).chi_ppm
    assert relative_error(chi, HEAD & ~hole) < 0.45


def test_linear_and_nonlinear_agree_on_weak_sources() -> None:
    a, b = (
        invert(FIELD, HEAD, CUBE, TvAdmmParams(nonlinear=nonlinear), noise_ppm=NOISE, magnitude=MAGNITUDE).chi_ppm
        for nonlinear in (True, False)
    )
    assert np.abs(a - b).max() < 0.01


def test_same_bits_every_time_and_when_continued() -> None:
    problem = DipoleProblem(FIELD, HEAD, NOISE, CUBE.voxel_size_mm, CUBE.b0_direction, MAGNITUDE, None)
    params = TvAdmmParams(iterations=6)
    whole, parts = TvAdmm(problem, params), TvAdmm(problem, params)
    whole.iterate(6)
    parts.iterate(2)
    parts.iterate(4)
    np.testing.assert_array_equal(whole.x, parts.x)


def test_a_field_that_no_source_explains_loses_its_say() -> None:
    """Voxels whose echoes fit well and are wrong all the same, as when a phase was unwrapped wrongly."""
    wrong = FIELD.copy()
    patch = ball(3, (36, 36, 24))
    wrong[patch] += np.where(np.indices(wrong.shape).sum(axis=0)[patch] % 2, 0.4, -0.4).astype(np.float32)
    measured = wrong + 0.001 * np.random.default_rng(3).standard_normal(wrong.shape).astype(np.float32) * HEAD

    def error(limit: float) -> float:
        params = TvAdmmParams(iterations=30, outlier_limit=limit)
        chi = invert(measured, HEAD, CUBE, params, noise_ppm=NOISE, magnitude=MAGNITUDE).chi_ppm
        return relative_error(chi, HEAD & ~patch)

    clean = relative_error(
        invert(FIELD, HEAD, CUBE, TvAdmmParams(iterations=30), noise_ppm=NOISE, magnitude=MAGNITUDE).chi_ppm,
        HEAD & ~patch,
    )
    assert error(8) - clean < 0.5 * (error(0) - clean)


@pytest.mark.parametrize("limit", [0.0, 8.0])
def test_noise_alone_loses_no_weight(limit: float) -> None:
    problem = DipoleProblem(FIELD, HEAD, NOISE, CUBE.voxel_size_mm, CUBE.b0_direction, MAGNITUDE, None)
    weights = tv_weights(problem, TvAdmmParams())
    normal = np.abs(np.random.default_rng(1).standard_normal(HEAD.shape)).astype(np.float32)
    np.testing.assert_array_equal(without_outliers(problem, weights, normal, limit), weights)
    normal[HEAD.nonzero()[0][0], 20, 20] = 1e4
    assert (without_outliers(problem, weights, normal, limit) <= weights).all()


def test_weights_and_edges() -> None:
    problem = DipoleProblem(FIELD, HEAD, NOISE, CUBE.voxel_size_mm, CUBE.b0_direction, MAGNITUDE, None)
    weights = tv_weights(problem, TvAdmmParams())
    assert (weights[~HEAD] == 0).all()
    assert np.sqrt(weights[HEAD]).mean() == pytest.approx(1, abs=1e-5)
    edges = soft_edges(problem, TvAdmmParams())
    assert edges.dtype == np.float32
    assert (edges > 0).all()
    assert (edges <= 1).all()


def test_magnitude_is_needed_for_edges() -> None:
    with pytest.raises(InputError, match="no magnitude"):
        invert(FIELD, HEAD, CUBE, TvAdmmParams(), noise_ppm=NOISE)
    without = invert(FIELD, HEAD, CUBE, TvAdmmParams(edge_quantile=0, iterations=2))
    assert without.warnings[0].startswith("UniformWeights:")
