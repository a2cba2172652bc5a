"""FANSI: where it comes to rest, the published conditions of the optimum hold; it stops and weighs as it says."""

import numpy as np
import pytest

from qsm_recon.errors import InputError
from qsm_recon.qsm import kernels
from qsm_recon.qsm.inversion import FansiParams, TvAdmmParams, invert
from qsm_recon.qsm.inversion.fansi import fansi, splitting, squared_weights
from qsm_recon.qsm.inversion.objective import RAD_PER_PPM
from qsm_recon.qsm.inversion.problem import DipoleProblem
from qsm_recon.qsm.scan import Geometry

SHAPE = (20, 24, 18)
VOXEL = (1.0, 1.2, 1.5)
B0 = (0.0, 0.6, 0.8)


def squares(centre: tuple[float, float, float]) -> np.ndarray:
    axes = [((np.arange(n) - c) * h) ** 2 for n, c, h in zip(SHAPE, centre, VOXEL, strict=True)]
    return axes[0][:, None, None] + axes[1][:, None] + axes[2]


MASK = squares((10, 12, 9)) <= 8.5**2
CHI = (0.4 * (squares((11, 13, 9)) <= 3**2) - 0.15 * (squares((7, 9, 8)) <= 2.2**2)).astype(np.float32)
NOISE = np.where(MASK, np.random.default_rng(2).uniform(0.002, 0.006, SHAPE), np.inf).astype(np.float32)
MAGNITUDE = np.where(MASK, np.random.default_rng(3).uniform(40, 100, SHAPE), 0).astype(np.float32)
FIELD = np.where(
    MASK,
    kernels.convolve(CHI, kernels.dipole_kernel(SHAPE, VOXEL, B0))
    + 0.003 * np.random.default_rng(1).standard_normal(SHAPE),
    0,
).astype(np.float32)
PROBLEM = DipoleProblem(FIELD, MASK, NOISE, VOXEL, B0, MAGNITUDE, None)


def gradient(x: np.ndarray) -> np.ndarray:
    return np.stack([(np.roll(x, -1, a) - x) / h for a, h in enumerate(VOXEL)])


def gradient_adjoint(p: np.ndarray) -> np.ndarray:
    return sum((np.roll(p[a], 1, a) - p[a]) / h for a, h in enumerate(VOXEL))


@pytest.mark.parametrize(
    "params",
    [
        FansiParams(regularization=5e-3),
        FansiParams(regularization=5e-3, gradient_penalty=10, data_penalty=0.3, weighting="magnitude"),
        FansiParams(regularization=2e-2, weighting="uniform", rad_per_ppm=20.0),
    ],
    ids=["defaults", "other-penalties", "phases-beyond-a-turn"],
)
def test_at_rest_the_conditions_of_the_published_optimum_hold(params: FansiParams) -> None:
    """0 = D W^2 sin(D x - phi) + alpha grad' p with |p| <= 1, and p = sign(grad x) where that is not 0; in radians."""
    state, weights = splitting(PROBLEM, params), squared_weights(PROBLEM, params.weighting)
    for _ in range(2000):
        state.step(PROBLEM.field_ppm, weights)
    x, phase = (params.rad_per_ppm * v.astype(np.float64) for v in (state.x, FIELD))
    dipole = PROBLEM.dipole()
    force = kernels.convolve(
        (weights * np.sin(kernels.convolve(x.astype(np.float32), dipole) - phase)).astype(np.float32), dipole
    )
    p = state.gradient_dual / state.limit
    tension = params.regularization * gradient_adjoint(p)
    assert np.abs(p).max() <= 1 + 1e-6
    slope = gradient(x)
    steep = np.abs(slope) > 0.02 * np.abs(slope).max()
    assert 50 < steep.sum() < 0.7 * steep.size
    assert np.abs(p - np.sign(slope))[steep].max() < 1e-3
    total = force + tension
    assert np.linalg.norm(total - total.mean()) < 5e-3 * np.linalg.norm(tension)


def cost(x_ppm: np.ndarray, params: FansiParams) -> float:
    x, phase = params.rad_per_ppm * x_ppm, params.rad_per_ppm * FIELD
    turned = np.exp(1j * kernels.convolve(x, PROBLEM.dipole())) - np.exp(1j * phase)
    weights = squared_weights(PROBLEM, params.weighting)
    return float(0.5 * np.sum(weights * np.abs(turned) ** 2) + params.regularization * np.abs(gradient(x)).sum())


def test_no_other_map_nearby_costs_less() -> None:
    params = FansiParams(regularization=5e-3, iterations=600, tolerance=0)
    best = fansi(PROBLEM, params).chi_ppm
    least = cost(best, params)
    assert least < cost(np.zeros_like(best), params)
    rng = np.random.default_rng(5)
    for others in (CHI - CHI.mean(), best * np.float32(1.02), best * np.float32(0.98)):
        assert least < cost(others, params)
    for size in (1e-3, 1e-2):
        assert least < cost(best + np.float32(size) * rng.standard_normal(SHAPE).astype(np.float32), params)


def test_penalties_change_the_way_and_not_the_goal() -> None:
    maps = [
        fansi(
            PROBLEM,
            FansiParams(regularization=5e-3, gradient_penalty=mu1, data_penalty=mu2, iterations=500, tolerance=0),
        ).chi_ppm
        for mu1, mu2 in ((100, 1), (30, 0.5))
    ]
    assert np.linalg.norm(maps[0] - maps[1]) < 2e-3 * np.linalg.norm(maps[0])


def test_ends_where_the_map_has_come_to_rest() -> None:
    params = FansiParams(regularization=5e-3, tolerance=5e-3, iterations=1000)
    ended = fansi(PROBLEM, params)
    assert 3 < ended.iterations < 1000
    before, at = (
        fansi(PROBLEM, FansiParams(regularization=5e-3, tolerance=0, iterations=ended.iterations - n)).chi_ppm
        for n in (1, 0)
    )
    np.testing.assert_array_equal(at, ended.chi_ppm)
    assert np.linalg.norm(at - before) <= 5e-3 * np.linalg.norm(at)
    assert fansi(PROBLEM, FansiParams(tolerance=0, iterations=7)).iterations == 7


def test_weights_are_as_named_and_end_at_one() -> None:
    uniform = squared_weights(PROBLEM, "uniform")
    np.testing.assert_array_equal(uniform, MASK.astype(np.float32))
    magnitude = squared_weights(PROBLEM, "magnitude")
    np.testing.assert_allclose(magnitude, (MAGNITUDE / MAGNITUDE.max()) ** 2, rtol=1e-5)
    snr = squared_weights(PROBLEM, "snr")
    median = np.median(NOISE[MASK])
    np.testing.assert_allclose(snr[MASK], np.minimum(1, median / NOISE[MASK]) ** 2, rtol=1e-5)
    assert not snr[~MASK].any()


def test_voxels_without_signal_do_not_count() -> None:
    noise, field = NOISE.copy(), FIELD.copy()
    noise[12, 8, 9], field[12, 8, 9] = np.inf, 5.0
    geometry = Geometry(VOXEL, B0)
    spoilt, clean = (invert(f, MASK, geometry, FansiParams(), noise_ppm=noise).chi_ppm for f in (field, FIELD))
    np.testing.assert_array_equal(spoilt, clean)


def test_is_tv_admm_without_its_own_ways() -> None:
    """The same map where edges, outliers and free sources outside are off and the numbers are translated."""
    noise_factor, floor_ppm, mu1, mu2 = 0.2, 0.002, 60.0, 0.7
    house = TvAdmmParams(
        noise_factor=noise_factor,
        noise_floor_ppb=1e3 * floor_ppm,
        edge_quantile=0,
        outlier_limit=0,
        free_outside=False,
        gradient_penalty=mu1,
        data_penalty=mu2,
        iterations=25,
    )
    published = FansiParams(
        regularization=noise_factor * floor_ppm * RAD_PER_PPM,
        gradient_penalty=mu1 / RAD_PER_PPM,
        data_penalty=mu2,
        iterations=25,
        tolerance=0,
        newton_steps=2,
        weighting="uniform",
    )
    one, other = (invert(FIELD, MASK, Geometry(VOXEL, B0), p).chi_ppm for p in (house, published))
    assert np.abs(one).max() > 0.05
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_alpha_means_the_same_for_every_scale_of_weak_phases() -> None:
    """Linear regime: the objective over the square of the scale depends on alpha over the scale alone."""
    weak = np.float32(0.01) * FIELD
    maps = [
        invert(
            weak,
            MASK,
            Geometry(VOXEL, B0),
            FansiParams(
                regularization=1e-5 * scale, gradient_penalty=3e4 / scale, rad_per_ppm=scale, iterations=40, tolerance=0
            ),
            noise_ppm=NOISE,
        ).chi_ppm
        for scale in (4.0, 8.0)
    ]
    assert maps[0].any()
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-3 * np.abs(maps[0]).max())


def test_magnitude_is_needed_where_it_weighs_and_must_not_be_empty() -> None:
    geometry = Geometry(VOXEL, B0)
    with pytest.raises(InputError) as caught:
        invert(FIELD, MASK, geometry, FansiParams(weighting="magnitude"), noise_ppm=NOISE)
    assert caught.value.reason == "NoMagnitude"
    with pytest.raises(InputError) as caught:
        invert(FIELD, MASK, geometry, FansiParams(weighting="magnitude"), magnitude=np.zeros(SHAPE, dtype=np.float32))
    assert caught.value.reason == "NoSignal"


def test_missing_noise_is_said_only_where_it_is_missed() -> None:
    geometry, short = Geometry(VOXEL, B0), {"iterations": 2}
    without = invert(FIELD, MASK, geometry, FansiParams(**short))
    assert without.warnings[0].startswith("UniformWeights:")
    assert invert(FIELD, MASK, geometry, FansiParams(weighting="uniform", **short)).warnings == ()
