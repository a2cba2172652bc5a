"""Laws of exact unwrapping."""

import itertools
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qsm_recon.qsm.scan import Geometry
from qsm_recon.qsm.unwrapping import RegionGrowingParams, unwrap

GEOMETRY = Geometry((1.0, 1.0, 1.0), (0.0, 0.0, 1.0))
TWO_PI = 2 * np.pi


def wrap(angle: Any) -> Any:
    return (angle - TWO_PI * np.round(angle / TWO_PI)).astype(np.float32)


def region_growing(wrapped: Any, mask: Any, noise: Any = None) -> Any:
    if noise is None:
        noise = np.full(wrapped.shape, 0.1, np.float32)
    return unwrap(wrapped, mask, noise, GEOMETRY, RegionGrowingParams())


def assert_whole_turns(result: Any, wrapped: Any, mask: Any) -> None:
    turns = (result - wrapped)[mask] / TWO_PI
    np.testing.assert_allclose(turns, np.round(turns), atol=1e-4)
    assert not result[~mask].any()


@settings(max_examples=40, derandomize=True)
@given(
    hnp.arrays(np.float32, (5, 4, 6), elements=st.floats(-3.140625, 3.140625, width=32)),
    hnp.arrays(bool, (5, 4, 6)),
)
def test_any_input_changes_by_whole_turns_only(wrapped: Any, mask: Any):
    assert_whole_turns(region_growing(wrapped, mask), wrapped, mask)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_ramp_through_many_turns(axis: int):
    shape = (12, 13, 14)
    ramp = np.moveaxis(
        np.broadcast_to(2.9 * np.arange(shape[axis]), [n for i, n in enumerate(shape) if i != axis] + [shape[axis]]),
        -1,
        axis,
    )
    mask = np.ones(shape, bool)
    result = region_growing(wrap(ramp), mask)
    offset = result - ramp
    np.testing.assert_allclose(offset, np.median(offset), atol=1e-4)
    assert abs(np.median(result)) <= np.pi + 1e-5


def test_islands_follow_the_declared_rule():
    x = np.arange(40, dtype=float)[:, None, None] * np.ones((1, 8, 8))
    field = 0.4 * x
    mask = np.zeros(field.shape, bool)
    mask[:22] = True  # the main region: median 0.4 * 10.5 = 4.2, taken to 4.2 - 2 pi
    mask[24:32] = True
    mask[34:] = True
    result = region_growing(wrap(field), mask)
    assert_whole_turns(result, wrap(field), mask)
    np.testing.assert_allclose(result[:22], field[:22] - TWO_PI, atol=1e-4)
    assert abs(np.median(result[:22])) <= np.pi
    for island, around in ((np.s_[24:32], np.s_[20:22]), (np.s_[34:], np.s_[30:32])):
        assert np.ptp(result[island] - field[island]) < 1e-4
        assert abs(np.median(result[island]) - np.median(result[around])) <= np.pi


def test_noise_is_reached_last():
    # a wall of random phase with infinite noise, one voxel left open: the far side must come through the hole
    rng = np.random.default_rng(0)
    x, y, z = np.indices((20, 15, 15))
    field = 0.35 * x + 0.2 * y - 0.1 * z
    wrapped = wrap(field)
    noise = np.full(field.shape, 0.05, np.float32)
    wall = np.zeros(field.shape, bool)
    wall[10] = True
    wall[10, 7, 7] = False
    wrapped[wall] = rng.uniform(-3, 3, int(wall.sum())).astype(np.float32)
    noise[wall] = np.inf
    result = region_growing(wrapped, np.ones(field.shape, bool), noise)
    np.testing.assert_allclose((result - field)[~wall], (result - field)[0, 0, 0], atol=1e-4)


def test_empty_mask_and_no_signal_anywhere():
    zero = np.zeros((4, 5, 6), np.float32)
    assert not region_growing(zero, np.zeros(zero.shape, bool)).any()
    assert not region_growing(zero, np.ones(zero.shape, bool), np.full(zero.shape, np.inf, np.float32)).any()


def test_axes_may_be_permuted_and_mirrored():
    rng = np.random.default_rng(3)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (16, 18, 20)), indexing="ij")
    wrapped = wrap(14 * (x**2 - y * z) + 0.2 * rng.normal(size=x.shape))
    mask = x**2 + y**2 + z**2 < 0.9
    noise = rng.uniform(0.1, 0.3, x.shape).astype(np.float32)
    expected = region_growing(wrapped, mask, noise)
    for axes in itertools.permutations(range(3)):
        turned = region_growing(wrapped.transpose(axes), mask.transpose(axes), noise.transpose(axes))
        np.testing.assert_array_equal(turned, expected.transpose(axes))
    np.testing.assert_array_equal(region_growing(wrapped[::-1], mask[::-1], noise[::-1]), expected[::-1])


def test_noisy_head_like_field_is_right_nearly_everywhere():
    rng = np.random.default_rng(4)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, 60) for _ in range(3)), indexing="ij")
    r = np.sqrt(x**2 + (y - 1.16) ** 2 + (z + 0.2) ** 2)
    field = 0.045 * (3 * ((z + 0.2) / r) ** 2 - 1) / r**3 + 3 * x * y  # air beyond the rim, and a shim left over
    mask = x**2 + y**2 + z**2 < 0.85
    field = np.where(mask, field, 0)
    inside = [np.diff(mask.astype(int), axis=a) == 0 for a in range(3)]
    steepest = max(np.abs(np.diff(field, axis=a))[inside[a]].max() for a in range(3))
    field *= 2.2 / steepest  # steps above pi are nobody's to follow
    sd = 0.12  # SNR 10, four echoes
    wrapped = wrap(field + sd * rng.normal(size=x.shape))
    result = region_growing(wrapped, mask, np.full(x.shape, sd, np.float32))
    assert np.abs(field).max() > TWO_PI
    wrong = np.abs((result - field)[mask] - np.median((result - field)[mask])) > np.pi
    assert wrong.sum() <= 1e-5 * mask.sum()


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="shapes differ"):
        region_growing(np.zeros((3, 3, 3), np.float32), np.ones((3, 3, 4), bool))


def test_nan_inside_the_mask_is_refused():
    with pytest.raises(ValueError, match="finite"):
        region_growing(np.full((3, 3, 3), np.nan, np.float32), np.ones((3, 3, 3), bool))


def test_real_brain_echoes_change_by_whole_turns_and_agree(shared_data: Path):
    folder = shared_data / "romeo_3echo_subvolume"
    found = {p.name.lower(): p for p in folder.rglob("*.nii*")}
    phase_file = next(p for name, p in found.items() if "phase" in name)
    magnitude_file = next(p for name, p in found.items() if "mag" in name)
    stored = np.moveaxis(np.asanyarray(nib.load(phase_file).dataobj), -1, 0).astype(np.float64)
    magnitude = np.moveaxis(np.asanyarray(nib.load(magnitude_file).dataobj), -1, 0).astype(np.float32)
    # stored with a scale of its own; -pi..pi spans the full range of the integers it came from
    phase = (stored / np.abs(stored).max() * np.pi).astype(np.float32)
    mask = magnitude[0] > 0.3 * np.percentile(magnitude[0], 95)
    noise = (0.05 * np.percentile(magnitude[0], 95) / np.maximum(magnitude, 1e-6)).astype(np.float32)
    first, second = (region_growing(phase[j], mask, noise[j]) for j in range(2))
    assert_whole_turns(first, phase[0], mask)
    assert_whole_turns(second, phase[1], mask)
    # echo 2 lasts twice as long as echo 1: two turns of the line through zero differ by the coil phase only
    apart = (second - 2 * first)[mask]
    apart = np.abs(apart - np.median(apart))
    assert np.mean(apart > np.pi) < 0.05
