"""Dipole inversion: recovers what made the field, follows the physics' scaling, refuses what makes no sense."""

from collections.abc import Callable

import numpy as np
import pytest

from qsm_recon.errors import InputError
from qsm_recon.qsm import backend, kernels
from qsm_recon.qsm.inversion import (
    ALGORITHMS,
    FansiParams,
    InversionParams,
    MediParams,
    TikhonovParams,
    TkdParams,
    TvAdmmParams,
    data_term,
    invert,
)
from qsm_recon.qsm.inversion.medi import _longest_step
from qsm_recon.qsm.inversion.objective import RAD_PER_PPM, Iterate, Objective
from qsm_recon.qsm.inversion.problem import DipoleProblem
from qsm_recon.qsm.scan import Geometry

SHAPE = (36, 34, 30)
VOXEL = (1.5, 1.5, 2.0)
GEOMETRY = Geometry(VOXEL, (0.0, 0.6, 0.8))
CENTRE = (18, 17, 15)


def squares(centre: tuple[float, float, float] = CENTRE) -> np.ndarray:
    """Squared distance from `centre`, mm^2."""
    axes = [((np.arange(n) - c) * h) ** 2 for n, c, h in zip(SHAPE, centre, VOXEL, strict=True)]
    return axes[0][:, None, None] + axes[1][:, None] + axes[2]


def field_of(chi: np.ndarray) -> np.ndarray:
    """Field with room for it to die out."""
    room = tuple(2 * n for n in SHAPE)
    dipole = kernels.dipole_kernel(room, VOXEL, GEOMETRY.b0_direction)
    wide = np.zeros(room, dtype=np.float32)
    wide[tuple(slice(n) for n in SHAPE)] = chi
    return kernels.convolve(wide, dipole)[tuple(slice(n) for n in SHAPE)]


MASK = squares() <= 23.0**2
CSF = squares((18, 17, 10)) <= 5.0**2
NUCLEUS = np.exp(-squares((21, 19, 16)) / (2 * 4.0**2))
CHI = np.where(MASK, 0.15 * NUCLEUS - 0.06 * np.exp(-squares((14, 14, 17)) / (2 * 3.5**2)), 0).astype(np.float32)
MAGNITUDE = np.where(MASK, 100 * (1 - 0.3 * NUCLEUS), 0).astype(np.float32)
FIELD = np.where(MASK, field_of(CHI), 0).astype(np.float32)
NOISE = np.where(MASK, 0.002, np.inf).astype(np.float32)

PLAIN_MEDI = MediParams(smv_radius_mm=0, csf_weight=0, padding_mm=6, inner_iterations=12)
SHORT = {"padding_mm": 6, "outer_iterations": 2, "inner_iterations": 6}
ALL = [
    MediParams(smv_radius_mm=3, **SHORT),
    MediParams(smv_radius_mm=0, merit=True, **SHORT),
    TvAdmmParams(padding_mm=6),
    FansiParams(padding_mm=6, iterations=20),
    TkdParams(),
    TikhonovParams(),
]
ALL_IDS = ["medi", "medi-no-filter", "tv-admm", "fansi", "tkd", "tikhonov"]


def nrmse(chi: np.ndarray, mask: np.ndarray) -> float:
    """Error over truth in the mask, both less their mean."""
    a, b = chi[mask] - chi[mask].mean(), CHI[mask] - CHI[mask].mean()
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def run(params: InversionParams, field: np.ndarray = FIELD) -> np.ndarray:
    return invert(field, MASK, GEOMETRY, params, noise_ppm=NOISE, magnitude=MAGNITUDE).chi_ppm


# Bounds: what the method leaves of a smooth source without noise; TKD and Tikhonov underestimate by construction.
@pytest.mark.parametrize(
    ("params", "bound"),
    [
        (PLAIN_MEDI, 0.12),
        (MediParams(smv_radius_mm=3, csf_weight=0), 0.40),
        (FansiParams(), 0.2),
        (TkdParams(threshold=0.1), 0.35),
        (TikhonovParams(), 0.40),
        (TikhonovParams(penalty="gradient"), 0.35),
    ],
    ids=["medi", "medi-smv", "fansi", "tkd", "tikhonov", "tikhonov-gradient"],
)
def test_recovers_a_smooth_susceptibility_without_noise(params: InversionParams, bound: float) -> None:
    result = invert(FIELD, MASK, GEOMETRY, params, noise_ppm=NOISE, magnitude=MAGNITUDE)
    assert nrmse(result.chi_ppm, result.mask) < bound


def test_medi_is_closer_than_the_closed_forms_on_noisy_data() -> None:
    noisy = np.where(MASK, FIELD + np.random.default_rng(3).normal(0, 0.002, SHAPE), 0).astype(np.float32)
    errors = [nrmse(run(params, noisy), MASK) for params in (PLAIN_MEDI, TkdParams(), TikhonovParams())]
    assert errors[0] < 0.85 * min(errors[1:])


@pytest.mark.parametrize("params", [TkdParams(), TikhonovParams()], ids=["tkd", "tikhonov"])
def test_closed_forms_are_linear(params: InversionParams) -> None:
    assert np.allclose(run(params, 2 * FIELD), 2 * run(params), atol=1e-6)


def test_double_field_is_double_susceptibility_for_medi_too() -> None:
    # Small phases are the linear regime; the L1 norm shrinks by a constant, not by a part, so not exactly.
    one, two = run(PLAIN_MEDI), run(PLAIN_MEDI, 2 * FIELD)
    strong = MASK & (CHI > 0.05)
    assert two[strong].mean() / one[strong].mean() == pytest.approx(2, rel=0.05)


def test_permuted_axes_give_the_permuted_map() -> None:
    order = (2, 0, 1)
    b0 = GEOMETRY.b0_direction
    turned = Geometry((VOXEL[2], VOXEL[0], VOXEL[1]), (b0[2], b0[0], b0[1]))

    def turn(volume: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(volume.transpose(order))

    params = MediParams(smv_radius_mm=3, csf_weight=0, outer_iterations=3)
    straight = invert(FIELD, MASK, GEOMETRY, params, noise_ppm=NOISE, magnitude=MAGNITUDE)
    other = invert(turn(FIELD), turn(MASK), turned, params, noise_ppm=turn(NOISE), magnitude=turn(MAGNITUDE))
    assert np.array_equal(turn(straight.mask), other.mask)
    assert np.abs(turn(straight.chi_ppm) - other.chi_ppm).max() < 2e-3


def test_lambda_means_the_same_at_every_field_strength() -> None:
    # In ppm a scan at 1.5 T and one at 7 T are the same problem but for a common factor of the noise map, which
    # counts only relative to itself: what is given in ppb, floor and reference of the noise, is off here.
    params = MediParams(smv_radius_mm=0, csf_weight=0, noise_floor_ppb=0, reference_noise_ppb=0, **SHORT)
    maps = [
        invert(FIELD, MASK, GEOMETRY, params, noise_ppm=NOISE * factor, magnitude=MAGNITUDE).chi_ppm
        for factor in (0.5, 1, 4)
    ]
    assert np.array_equal(maps[0], maps[1])
    assert np.array_equal(maps[1], maps[2])


def test_twice_the_noise_is_half_the_weight_of_the_data() -> None:
    def chi(weight: float, noise: float) -> np.ndarray:
        params = MediParams(smv_radius_mm=0, csf_weight=0, noise_floor_ppb=0, data_weight=weight, **SHORT)
        return invert(FIELD, MASK, GEOMETRY, params, noise_ppm=NOISE * noise, magnitude=MAGNITUDE).chi_ppm

    assert np.allclose(chi(1000, 2), chi(500, 1), atol=1e-6)
    assert not np.allclose(chi(1000, 2), chi(1000, 1), atol=1e-4)


def test_internal_unit_is_that_of_3_tesla_and_8_ms() -> None:
    assert pytest.approx(2 * np.pi * 42.577e6 * 3 * 8e-3 * 1e-6, rel=1e-4) == RAD_PER_PPM


def test_csf_term_makes_csf_more_even() -> None:
    noisy = np.where(MASK, FIELD + np.random.default_rng(4).normal(0, 0.004, SHAPE), 0).astype(np.float32)

    def spread(weight: float) -> float:
        params = MediParams(smv_radius_mm=0, csf_weight=weight)
        chi = invert(noisy, MASK, GEOMETRY, params, noise_ppm=NOISE, magnitude=MAGNITUDE, csf_mask=CSF).chi_ppm
        return float(chi[CSF].std())

    assert spread(1000) < 0.7 * spread(0)


def test_spherical_mean_filter_erodes_by_its_radius_and_says_so() -> None:
    result = invert(FIELD, MASK, GEOMETRY, MediParams(outer_iterations=1), noise_ppm=NOISE, magnitude=MAGNITUDE)
    assert result.mask[squares() < 16.0**2].all()
    assert not result.mask[squares() > 19.5**2].any()
    assert any(text.startswith("MaskEroded: ") for text in result.warnings)


def test_what_the_inversion_did_without_is_said() -> None:
    result = invert(FIELD, MASK, GEOMETRY, MediParams(outer_iterations=1), magnitude=MAGNITUDE)
    codes = {text.split(":")[0] for text in result.warnings}
    assert {"UniformWeights", "NoCsfTerm"} <= codes
    assert invert(FIELD, MASK, GEOMETRY, TkdParams()).warnings == ()


def test_edges_without_magnitude_are_refused_and_none_are_needed_without_edges() -> None:
    with pytest.raises(InputError) as caught:
        invert(FIELD, MASK, GEOMETRY, PLAIN_MEDI, noise_ppm=NOISE)
    assert caught.value.reason == "NoMagnitude"
    without = MediParams(smv_radius_mm=0, csf_weight=0, edge_fraction=0, outer_iterations=2)
    assert nrmse(invert(FIELD, MASK, GEOMETRY, without, noise_ppm=NOISE).chi_ppm, MASK) < 0.6


def test_a_mask_thinner_than_the_filter_is_refused() -> None:
    thin = np.zeros(SHAPE, dtype=bool)
    thin[10:26, 10:26, 14:16] = True
    with pytest.raises(InputError) as caught:
        invert(FIELD, thin, GEOMETRY, MediParams(), noise_ppm=NOISE, magnitude=MAGNITUDE)
    assert caught.value.reason == "MaskTooSmall"


def test_a_flat_magnitude_has_no_edges_and_still_gives_a_map() -> None:
    flat = np.ones(SHAPE, dtype=np.float32)
    result = invert(FIELD, MASK, GEOMETRY, PLAIN_MEDI, noise_ppm=NOISE, magnitude=flat)
    assert np.isfinite(result.chi_ppm).all()
    assert nrmse(result.chi_ppm, MASK) < 0.6


def test_voxels_without_signal_do_not_spoil_the_rest() -> None:
    noise, field = NOISE.copy(), FIELD.copy()
    noise[16:18, 20:22, 14] = np.inf
    field[16:18, 20:22, 14] = 2.0
    fine = MASK & np.isfinite(noise)
    spoilt = invert(field, MASK, GEOMETRY, PLAIN_MEDI, noise_ppm=noise, magnitude=MAGNITUDE).chi_ppm
    assert np.isfinite(spoilt).all()
    assert nrmse(spoilt, fine) < 0.2
    assert nrmse(run(PLAIN_MEDI, field), fine) > 2 * nrmse(spoilt, fine)


def test_merit_takes_weight_from_voxels_that_do_not_fit() -> None:
    field = FIELD.copy()
    field[16:18, 20:22, 14] = 0.6
    with_merit = run(MediParams(smv_radius_mm=0, csf_weight=0, merit=True), field)
    assert nrmse(with_merit, MASK) < 0.7 * nrmse(run(PLAIN_MEDI, field), MASK)


def test_zero_field_is_zero_susceptibility() -> None:
    assert not run(PLAIN_MEDI, np.zeros(SHAPE, dtype=np.float32)).any()


def test_strong_sources_do_not_diverge_silently() -> None:
    # 6 ppm wraps the phase within the mask: whatever happens, the map is finite, and a refused step is said.
    strong = np.where(MASK, -6 * (squares((16, 15, 13)) <= 4.0**2), 0).astype(np.float32)
    field = np.where(MASK, field_of(strong), 0).astype(np.float32)
    result = invert(field, MASK, GEOMETRY, PLAIN_MEDI, noise_ppm=NOISE, magnitude=MAGNITUDE)
    assert np.isfinite(result.chi_ppm).all()
    assert result.chi_ppm.min() > -12


def test_a_step_that_raises_the_cost_is_halved_and_one_that_always_does_is_refused() -> None:
    zero = np.zeros(3, dtype=np.float32)
    state = Iterate(zero, zero)
    step = Iterate(zero + 1, zero + 1)

    class Bowl:
        def __init__(self, lowest: float) -> None:
            self.lowest = lowest

        def cost(self, at: Iterate) -> float:
            return float((at.x[0] - self.lowest) ** 2)

    def part(lowest: float) -> float:
        bowl = Bowl(lowest)
        length, moved, cost = _longest_step(bowl, state, step, bowl.cost(state))
        assert moved.x[0] == length
        assert cost == bowl.cost(moved)
        return length

    assert part(1.0) == 1
    assert part(0.3) == 0.5
    assert part(-1.0) == 0


def problem(**changes: object) -> DipoleProblem:
    values = {
        "field_ppm": FIELD,
        "mask": MASK,
        "noise_ppm": NOISE,
        "magnitude": MAGNITUDE,
        "csf_mask": CSF,
        "voxel_size_mm": VOXEL,
        "b0_direction": GEOMETRY.b0_direction,
    }
    return DipoleProblem(**(values | changes))


def test_gradient_is_the_slope_of_the_cost() -> None:
    filtered = data_term.spherical_mean_filter(problem(), 3)
    objective = Objective(problem(), filtered, np.ones((3, *SHAPE), dtype=bool), 1000, 100)
    objective.weigh(data_term.data_weights(data_term.relative_noise(problem(), 0.002), filtered, 0))
    rng = np.random.default_rng(0)

    def state(x: np.ndarray) -> Iterate:
        x = x.astype(np.float32)
        return Iterate(x, kernels.convolve(x, filtered.kernel))

    here, direction = rng.standard_normal((2, *SHAPE)) * 0.3
    at = state(here)
    down = backend.irfftn(objective.descent(at, objective.gradient_weights(at.x)), SHAPE)
    t = 1e-2
    slope = (objective.cost(state(here + t * direction)) - objective.cost(state(here - t * direction))) / (2 * t)
    assert slope == pytest.approx(-float(np.sum(down * direction, dtype=np.float64)), rel=0.01)


def test_edge_fraction_counts_gradient_components_against_voxels() -> None:
    magnitude = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    smooth = data_term.smooth_directions(magnitude, MASK, VOXEL, 0.9)
    assert smooth.shape == (3, *SHAPE)
    assert (~smooth).sum() == pytest.approx(0.9 * MASK.sum(), abs=2)


def test_data_weights_have_mean_one_and_none_outside() -> None:
    noise = np.random.default_rng(0).uniform(1, 5, SHAPE).astype(np.float32) * MASK
    filtered = data_term.spherical_mean_filter(problem(), 3)
    weights = data_term.data_weights(noise, filtered, 0.5)
    assert weights[filtered.mask].mean() == pytest.approx(1, rel=1e-5)
    assert not weights[~filtered.mask].any()


def test_every_method_of_the_table_is_tested_here() -> None:
    assert {params.method for params in ALL} == set(ALGORITHMS)


@pytest.mark.parametrize("params", ALL, ids=ALL_IDS)
class TestEveryMethod:
    def test_gives_float32_zero_outside_and_leaves_its_inputs_alone(self, params: InversionParams) -> None:
        inputs = [FIELD.astype(np.float64), MASK.copy(), NOISE.copy(), MAGNITUDE.astype(np.float64), CSF.copy()]
        kept = [volume.copy() for volume in inputs]
        field, mask, noise, magnitude, csf = inputs
        result = invert(field, mask, GEOMETRY, params, noise_ppm=noise, magnitude=magnitude, csf_mask=csf)
        assert result.chi_ppm.dtype == np.float32
        assert result.mask.dtype == bool
        assert not result.chi_ppm[~result.mask].any()
        assert not (result.mask & ~MASK).any()
        for now, before in zip(inputs, kept, strict=True):
            assert np.array_equal(now, before)

    def test_reads_nothing_outside_the_mask(self, params: InversionParams) -> None:
        rubbish = np.where(MASK, FIELD, np.nan).astype(np.float32)
        assert np.array_equal(run(params, rubbish), run(params))

    def test_gives_the_same_bits_for_any_number_of_threads(
        self, params: InversionParams, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        maps = []
        for count in (1, 3):
            monkeypatch.setattr(backend, "threads", lambda n=count: n)
            maps.append(run(params))
        assert np.array_equal(*maps)

    def test_tells_progress_up_to_one_and_never_falls(self, params: InversionParams) -> None:
        seen: list[float] = []
        invert(FIELD, MASK, GEOMETRY, params, noise_ppm=NOISE, magnitude=MAGNITUDE, progress=seen.append)
        assert seen == sorted(seen)
        assert seen[-1] == 1.0
        if params.method == "medi":
            assert len(seen) > 10

    def test_progress_that_raises_cancels(self, params: InversionParams) -> None:
        class CancelledError(Exception):
            pass

        def cancel(_fraction: float, /) -> None:
            raise CancelledError

        with pytest.raises(CancelledError):
            invert(FIELD, MASK, GEOMETRY, params, noise_ppm=NOISE, magnitude=MAGNITUDE, progress=cancel)

    def test_refuses_what_does_not_belong_together(self, params: InversionParams) -> None:
        nan = FIELD.copy()
        nan[CENTRE] = np.nan
        cases: list[tuple[str, Callable[[], object]]] = [
            ("ShapeMismatch", lambda: invert(FIELD[1:], MASK, GEOMETRY, params)),
            ("ShapeMismatch", lambda: invert(FIELD, MASK, GEOMETRY, params, magnitude=MAGNITUDE[1:])),
            ("ShapeMismatch", lambda: invert(FIELD, MASK, GEOMETRY, params, csf_mask=CSF[1:])),
            ("EmptyMask", lambda: invert(FIELD, np.zeros_like(MASK), GEOMETRY, params)),
            ("NotFinite", lambda: invert(nan, MASK, GEOMETRY, params)),
            ("NotFinite", lambda: invert(FIELD, MASK, GEOMETRY, params, magnitude=nan)),
            ("NoSignal", lambda: invert(FIELD, MASK, GEOMETRY, params, noise_ppm=np.full(SHAPE, np.inf))),
        ]
        for reason, call in cases:
            with pytest.raises(InputError) as caught:
                call()
            assert caught.value.reason == reason


def test_a_mask_whose_only_signal_is_in_its_eroded_rim_is_refused() -> None:
    noise = np.where(MASK & (squares() > 21.5**2), 0.002, np.inf).astype(np.float32)
    with pytest.raises(InputError) as caught:
        invert(FIELD, MASK, GEOMETRY, MediParams(), noise_ppm=noise, magnitude=MAGNITUDE)
    assert caught.value.reason == "NoSignal"
