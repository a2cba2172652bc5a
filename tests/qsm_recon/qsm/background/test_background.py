"""Background removal: takes what lies outside, leaves what lies inside, refuses what makes no sense."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from qsm_recon.errors import InputError
from qsm_recon.qsm import backend, kernels
from qsm_recon.qsm.background import (
    ALGORITHMS,
    BackgroundParams,
    LbvParams,
    PdfParams,
    ResharpParams,
    VsharpParams,
    remove_background,
)
from qsm_recon.qsm.scan import Geometry

SHAPE = (48, 44, 40)
VOXEL = (1.5, 1.5, 1.5)
GEOMETRY = Geometry(VOXEL, (0.0, 0.6, 0.8))
CENTRE = (24, 22, 20)


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


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    return squares() <= 20.0**2


@pytest.fixture(scope="module")
def depth_mm(mask: np.ndarray) -> np.ndarray:
    return distance_transform_edt(mask, sampling=VOXEL)


@pytest.fixture(scope="module")
def outside_field() -> np.ndarray:
    """9 ppm of air below the mask, smooth at its edge."""
    return field_of((9 * np.exp(-squares((24, 22, 1)) / (2 * 1.8**2))).astype(np.float32))


@pytest.fixture(scope="module")
def inside_field() -> np.ndarray:
    return field_of((0.2 * np.exp(-squares((22, 24, 21)) / (2 * 3.0**2))).astype(np.float32))


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))


def test_pdf_removes_the_field_of_an_outside_dipole(
    mask: np.ndarray, depth_mm: np.ndarray, outside_field: np.ndarray
) -> None:
    params = PdfParams(coarse_iterations=100, iterations=40, tolerance=0)
    local = remove_background(outside_field, mask, None, GEOMETRY, params)
    assert rms(local.local_field_ppm[mask]) < 0.015 * rms(outside_field[mask])
    deep = depth_mm > 6
    assert rms(local.local_field_ppm[deep]) < 0.03 * rms(outside_field[deep])


def test_pdf_leaves_the_field_of_an_inside_source_alone(
    mask: np.ndarray, depth_mm: np.ndarray, inside_field: np.ndarray
) -> None:
    local = remove_background(inside_field, mask, None, GEOMETRY, PdfParams())
    deep = depth_mm > 8
    assert rms((local.local_field_ppm - inside_field)[deep]) < 0.15 * rms(inside_field[deep])


@pytest.mark.parametrize("weighting", ["snr", "reliability", "uniform"])
def test_pdf_separates_inside_from_outside_for_every_weighting(
    mask: np.ndarray, depth_mm: np.ndarray, outside_field: np.ndarray, inside_field: np.ndarray, weighting: str
) -> None:
    rng = np.random.default_rng(0)
    noise = rng.uniform(0.001, 0.004, SHAPE).astype(np.float32)
    params = PdfParams(weighting=weighting)
    local = remove_background(outside_field + inside_field, mask, noise, GEOMETRY, params)
    deep = depth_mm > 6
    assert rms((local.local_field_ppm - inside_field)[deep]) < 0.25 * rms(inside_field[deep])


def test_pdf_gives_no_weight_to_voxels_without_signal(mask: np.ndarray, outside_field: np.ndarray) -> None:
    noise = np.full(SHAPE, 0.002, dtype=np.float32)
    wrong = outside_field.copy()
    wrong[20:23, 20:23, 20] += 3
    noise[20:23, 20:23, 20] = np.inf
    clean = remove_background(outside_field, mask, noise, GEOMETRY, PdfParams()).local_field_ppm
    spoilt = remove_background(wrong, mask, noise, GEOMETRY, PdfParams()).local_field_ppm
    fine = mask & np.isfinite(noise)
    assert np.abs(clean - spoilt)[fine].max() < 1e-4


def test_pdf_does_not_depend_on_the_unit_of_the_noise(mask: np.ndarray, outside_field: np.ndarray) -> None:
    noise = np.random.default_rng(0).uniform(1, 3, SHAPE).astype(np.float32)
    # A factor that is a power of two changes no bit of a ratio.
    one = remove_background(outside_field, mask, noise, GEOMETRY, PdfParams())
    other = remove_background(outside_field, mask, noise / 1024, GEOMETRY, PdfParams())
    assert np.array_equal(one.local_field_ppm, other.local_field_ppm)


def test_pdf_with_coarse_start_is_closer_than_the_same_fine_iterations_alone(
    mask: np.ndarray, outside_field: np.ndarray
) -> None:
    two_level = remove_background(outside_field, mask, None, GEOMETRY, PdfParams(iterations=5))
    alone = remove_background(outside_field, mask, None, GEOMETRY, PdfParams(iterations=5, coarse_iterations=0))
    assert rms(two_level.local_field_ppm[mask]) < 0.5 * rms(alone.local_field_ppm[mask])


def test_vsharp_takes_a_harmonic_field_to_zero(mask: np.ndarray) -> None:
    x, y, z = np.meshgrid(
        *[(np.arange(n) - c) * h / 20 for n, c, h in zip(SHAPE, CENTRE, VOXEL, strict=True)], indexing="ij"
    )
    harmonic = (0.5 + x - 2 * z + x * y + x**2 - z**2).astype(np.float32)
    local = remove_background(harmonic, mask, None, GEOMETRY, VsharpParams())
    assert local.mask.any()
    assert np.abs(local.local_field_ppm).max() < 5e-3
    assert rms(harmonic[mask]) > 1


@pytest.mark.parametrize("params", [VsharpParams(smallest_radius_mm=4), ResharpParams()], ids=lambda p: p.method)
@pytest.mark.parametrize("voxel", [(1.0, 1.0, 3.0), (2.0, 1.0, 1.5)])
def test_mean_value_methods_take_harmonic_fields_to_zero_with_long_voxels_too(
    params: BackgroundParams, voxel: tuple[float, float, float]
) -> None:
    shape = tuple(round(48 / h) for h in voxel)
    x, y, z = np.meshgrid(*[(np.arange(n) - n // 2) * h / 20 for n, h in zip(shape, voxel, strict=True)], indexing="ij")
    ball = x**2 + y**2 + z**2 <= 1
    harmonic = (0.5 + x - 2 * z + x * y + x**2 - z**2 + y**3 - 3 * y * z**2).astype(np.float32)
    local = remove_background(harmonic, ball, None, Geometry(voxel, GEOMETRY.b0_direction), params)
    assert local.mask.any()
    assert np.abs(local.local_field_ppm).max() < 5e-3


def test_vsharp_keeps_the_field_of_an_inside_source(
    mask: np.ndarray, inside_field: np.ndarray, outside_field: np.ndarray
) -> None:
    local = remove_background(inside_field + outside_field, mask, None, GEOMETRY, VsharpParams())
    deep = squares() < 10.0**2
    assert rms((local.local_field_ppm - inside_field)[deep]) < 0.25 * rms(inside_field[deep])


def test_vsharp_erodes_by_its_smallest_radius_and_says_so(
    mask: np.ndarray, depth_mm: np.ndarray, outside_field: np.ndarray
) -> None:
    local = remove_background(outside_field, mask, None, GEOMETRY, VsharpParams(smallest_radius_mm=4))
    assert not local.mask[mask & (depth_mm < 3)].any()
    assert local.mask[depth_mm > 5.5].all()
    assert any(text.startswith("MaskEroded: ") for text in local.warnings)


def test_vsharp_refuses_a_mask_thinner_than_its_ball() -> None:
    thin = np.zeros(SHAPE, dtype=bool)
    thin[10:30, 10:30, 10:12] = True
    with pytest.raises(InputError) as caught:
        remove_background(np.zeros(SHAPE, dtype=np.float32), thin, None, GEOMETRY, VsharpParams())
    assert caught.value.reason == "MaskTooSmall"


ALL = [PdfParams(coarse_iterations=5, iterations=2), VsharpParams(), ResharpParams(), LbvParams()]


def test_every_method_of_the_table_is_tested_here() -> None:
    assert {params.method for params in ALL} == set(ALGORITHMS)


@pytest.mark.parametrize("params", ALL, ids=lambda p: p.method)
class TestEveryMethod:
    def test_gives_float32_zero_outside_and_leaves_its_inputs_alone(
        self, params: BackgroundParams, mask: np.ndarray, outside_field: np.ndarray
    ) -> None:
        noise = np.where(mask, 0.002, np.inf).astype(np.float32)
        field = outside_field.astype(np.float64)
        kept = field.copy(), mask.copy(), noise.copy()
        local = remove_background(field, mask, noise, GEOMETRY, params)
        assert local.local_field_ppm.dtype == np.float32
        assert local.mask.dtype == bool
        assert not local.local_field_ppm[~local.mask].any()
        assert not (local.mask & ~mask).any()
        for now, before in zip((field, mask, noise), kept, strict=True):
            assert np.array_equal(now, before)

    def test_is_the_same_in_permuted_axes(
        self, params: BackgroundParams, mask: np.ndarray, outside_field: np.ndarray
    ) -> None:
        order = (1, 2, 0)
        b0 = GEOMETRY.b0_direction
        turned = Geometry(VOXEL, (b0[1], b0[2], b0[0]))
        straight = remove_background(outside_field, mask, None, GEOMETRY, params)
        other = remove_background(
            np.ascontiguousarray(outside_field.transpose(order)), mask.transpose(order).copy(), None, turned, params
        )
        difference = straight.local_field_ppm.transpose(order) - other.local_field_ppm
        assert np.abs(difference).max() < 1e-3 * np.abs(straight.local_field_ppm).max() + 1e-5

    def test_tells_progress_up_to_one_and_never_falls(
        self, params: BackgroundParams, mask: np.ndarray, outside_field: np.ndarray, inside_field: np.ndarray
    ) -> None:
        seen: list[float] = []
        remove_background(outside_field + inside_field, mask, None, GEOMETRY, params, seen.append)
        assert seen == sorted(seen)
        assert seen[-1] == 1.0
        assert len(seen) > 3

    def test_progress_that_raises_cancels(
        self, params: BackgroundParams, mask: np.ndarray, outside_field: np.ndarray
    ) -> None:
        class CancelledError(Exception):
            pass

        def cancel(_fraction: float, /) -> None:
            raise CancelledError

        with pytest.raises(CancelledError):
            remove_background(outside_field, mask, None, GEOMETRY, params, cancel)

    def test_gives_the_same_bits_for_any_number_of_threads(
        self,
        params: BackgroundParams,
        mask: np.ndarray,
        outside_field: np.ndarray,
        inside_field: np.ndarray,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        found = []
        for count in (1, 3):
            monkeypatch.setattr(backend, "threads", lambda n=count: n)
            found.append(remove_background(outside_field + inside_field, mask, None, GEOMETRY, params))
        assert np.array_equal(found[0].local_field_ppm, found[1].local_field_ppm)

    def test_refuses_what_does_not_belong_together(
        self, params: BackgroundParams, mask: np.ndarray, outside_field: np.ndarray
    ) -> None:
        bad_field = outside_field.copy()
        bad_field[CENTRE] = np.nan
        cases = [
            ("ShapeMismatch", outside_field[1:], mask, None),
            ("ShapeMismatch", outside_field, mask, np.ones((2, 2, 2))),
            ("EmptyMask", outside_field, np.zeros_like(mask), None),
            ("NotFinite", bad_field, mask, None),
            ("NoSignal", outside_field, mask, np.full(SHAPE, np.inf)),
        ]
        for reason, field, where, noise in cases:
            with pytest.raises(InputError) as caught:
                remove_background(field, where, noise, GEOMETRY, params)
            assert caught.value.reason == reason


def test_uniform_weights_for_want_of_noise_are_said(mask: np.ndarray, outside_field: np.ndarray) -> None:
    params = PdfParams(coarse_iterations=2, iterations=1)
    local = remove_background(outside_field, mask, None, GEOMETRY, params)
    assert any(text.startswith("UniformWeights: ") for text in local.warnings)
    asked = remove_background(outside_field, mask, None, GEOMETRY, PdfParams(weighting="uniform", iterations=1))
    assert asked.warnings == ()
