"""LBV: harmonic fields vanish, what is zero at the rim comes back whole, and only the rim speaks for the background."""

import numpy as np
import pytest
from array_places import Place

from qsm_recon.errors import InputError
from qsm_recon.qsm.background import LbvParams, remove_background
from qsm_recon.qsm.scan import Geometry, LocalField

B0 = (0.0, 0.6, 0.8)
GRIDS = {
    (1.5, 1.5, 1.5): (40, 36, 32),
    (1.0, 1.0, 3.0): (60, 54, 16),
    (0.75, 1.0, 3.0): (64, 44, 18),
}
EXACT = LbvParams(tolerance=1e-6)


def positions(voxel: tuple[float, float, float]) -> list[np.ndarray]:
    """x, y, z in mm from the middle of the grid of that voxel."""
    axes = [(np.arange(n) - n // 2) * h for n, h in zip(GRIDS[voxel], voxel, strict=True)]
    return np.meshgrid(*axes, indexing="ij")


def head(voxel: tuple[float, float, float]) -> np.ndarray:
    """An ellipsoid with a dent."""
    x, y, z = positions(voxel)
    return ((x / 26) ** 2 + (y / 22) ** 2 + (z / 20) ** 2 < 1) & ~((x - 14) ** 2 + (y - 12) ** 2 + z**2 < 64)


def run(
    field: np.ndarray,
    voxel: tuple[float, float, float],
    params: LbvParams = EXACT,
    mask: np.ndarray | None = None,
    noise: np.ndarray | None = None,
) -> LocalField:
    return remove_background(field, head(voxel) if mask is None else mask, noise, Geometry(voxel, B0), params)


@pytest.mark.parametrize("voxel", GRIDS)
def test_harmonic_polynomials_vanish(voxel: tuple[float, float, float]) -> None:
    """Up to the third degree they are harmonic on every grid too, however long its voxels."""
    x, y, z = (p / 20 for p in positions(voxel))
    harmonic = 0.5 + x - 2 * z + x * y + 2 * z**2 - x**2 - y**2 + x**3 - 3 * x * z**2
    local = run(harmonic.astype(np.float32), voxel)
    assert np.abs(harmonic[local.mask]).max() > 2
    assert np.abs(local.local_field_ppm).max() < 2e-5


@pytest.mark.parametrize("voxel", GRIDS)
def test_the_field_of_an_outside_dipole_vanishes_but_for_the_grid(voxel: tuple[float, float, float]) -> None:
    x, y, z = positions(voxel)
    z = z + 45.0
    r = np.sqrt(x**2 + y**2 + z**2)
    field = (1e4 / r**3 * (3 * (z / r) ** 2 - 1)).astype(np.float32)
    local = run(field, voxel)
    assert np.abs(field[local.mask]).max() > 0.5
    assert np.abs(local.local_field_ppm).max() < 1e-2 * np.abs(field[local.mask]).max()


@pytest.mark.parametrize("voxel", GRIDS)
def test_what_is_zero_at_the_rim_comes_back_whole_below_any_background(voxel: tuple[float, float, float]) -> None:
    x, y, z = positions(voxel)
    inside = run(np.zeros(x.shape, dtype=np.float32), voxel).mask
    truth = np.where(inside, 0.05 * np.exp(-(x**2 + (y - 3) ** 2 + z**2) / 50) + 0.01 * np.sin(x), 0)
    background = 1 + x / 10 + (x * z) / 200 + (x**2 - y**2) / 300
    local = run((truth + background).astype(np.float32), voxel)
    np.testing.assert_allclose(local.local_field_ppm, truth, atol=2e-5)


def test_a_wrong_voxel_inside_stays_where_it_is() -> None:
    voxel = (1.0, 1.0, 3.0)
    spike = np.zeros(GRIDS[voxel], dtype=np.float32)
    spike[30, 24, 8] = 1
    np.testing.assert_allclose(run(spike, voxel).local_field_ppm, spike, atol=2e-5)


def test_is_linear_and_a_factor_of_two_changes_no_other_bit() -> None:
    voxel = (1.5, 1.5, 1.5)
    a, b = np.random.default_rng(1).standard_normal((2, *GRIDS[voxel])).astype(np.float32)
    one, other, both = (run(f, voxel).local_field_ppm for f in (a, b, a + b))
    np.testing.assert_allclose(one + other, both, atol=1e-4)
    np.testing.assert_array_equal(run(2 * a, voxel).local_field_ppm, 2 * one)


def test_b0_does_not_matter_and_nothing_outside_the_mask_is_read() -> None:
    voxel = (1.5, 1.5, 1.5)
    mask = head(voxel)
    field = np.random.default_rng(1).standard_normal(mask.shape).astype(np.float32)
    one = run(field, voxel).local_field_ppm
    other = remove_background(np.where(mask, field, 1e6), mask, None, Geometry(voxel, (1.0, 0.0, 0.0)), EXACT)
    np.testing.assert_array_equal(one, other.local_field_ppm)


def neighbours_inside(mask: np.ndarray) -> np.ndarray:
    wide = np.pad(mask, 1)
    count = sum(np.roll(wide, s, a).astype(int) for a in range(3) for s in (1, -1))
    return mask & (count[1:-1, 1:-1, 1:-1] == 6)


@pytest.mark.parametrize("peel", [0, 1, 2])
def test_the_mask_loses_the_rim_and_what_is_peeled_and_says_so(peel: int) -> None:
    voxel = (1.5, 1.5, 1.5)
    expected = head(voxel)
    for _ in range(peel + 1):
        expected = neighbours_inside(expected)
    local = run(np.ones(GRIDS[voxel], dtype=np.float32), voxel, LbvParams(peel=peel))
    np.testing.assert_array_equal(local.mask, expected)
    assert any(text.startswith("MaskEroded: ") for text in local.warnings)


def test_a_mask_that_fills_the_images_has_its_rim_at_their_border() -> None:
    voxel = (1.5, 1.5, 1.5)
    full = np.ones((12, 10, 8), dtype=bool)
    local = run(np.ones(full.shape, dtype=np.float32), voxel, mask=full)
    assert local.mask.sum() == 10 * 8 * 6
    assert local.mask[1:-1, 1:-1, 1:-1].all()


def test_the_rim_is_only_where_there_is_signal() -> None:
    """A patch without signal at the rim, with a wild field, is given up; the rest is as if it had never been brain."""
    voxel = (1.5, 1.5, 1.5)
    x, y, z = positions(voxel)
    mask = head(voxel)
    patch = mask & (x**2 + y**2 + (z - 20) ** 2 < 49)
    assert 20 < patch.sum() < 0.1 * mask.sum()
    field = np.where(patch, 3.0, 0.01 * np.cos(x / 5)).astype(np.float32)
    noise = np.where(patch, np.inf, 0.002).astype(np.float32)
    local = run(field, voxel, noise=noise)
    without = run(field, voxel, mask=mask & ~patch)
    np.testing.assert_array_equal(local.mask, without.mask)
    np.testing.assert_allclose(local.local_field_ppm, without.local_field_ppm, atol=1e-7)


@pytest.mark.parametrize(("thick", "params"), [(2, LbvParams()), (4, LbvParams(peel=2))])
def test_a_mask_that_is_all_rim_is_refused(thick: int, params: LbvParams) -> None:
    thin = np.zeros((20, 20, 20), dtype=bool)
    thin[4:16, 4:16, 8 : 8 + thick] = True
    with pytest.raises(InputError) as caught:
        run(np.zeros(thin.shape, dtype=np.float32), (1.0, 1.0, 1.0), params, mask=thin)
    assert caught.value.reason == "MaskTooSmall"


def test_iterations_that_do_not_suffice_are_said() -> None:
    voxel = (1.5, 1.5, 1.5)
    field = np.random.default_rng(1).standard_normal(GRIDS[voxel]).astype(np.float32)
    few, enough = (run(field, voxel, LbvParams(iterations=n)).warnings for n in (2, 50))
    assert [text.split(":")[0] for text in few] == ["MaskEroded", "BackgroundUnfinished"]
    assert [text.split(":")[0] for text in enough] == ["MaskEroded"]


def test_array_form_gives_the_compiled_forms_result(device: Place) -> None:
    voxel = (1.0, 1.0, 3.0)
    field = np.random.default_rng(2).standard_normal(GRIDS[voxel]).astype(np.float32)
    there = run(device.put(field), voxel, mask=device.put(head(voxel)))
    np.testing.assert_allclose(device.get(there.local_field_ppm), run(field, voxel).local_field_ppm, atol=2e-5)
