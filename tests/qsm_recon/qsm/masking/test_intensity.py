import numpy as np
import pytest

from qsm_recon.errors import InputError
from qsm_recon.qsm.masking.intensity import WorkingGrid, combine_echoes, flatten, otsu_threshold


def test_working_grid_averages_blocks_and_puts_masks_back():
    grid = WorkingGrid.of((5, 4, 3), (0.75, 0.75, 3.0), 1.6)
    assert grid.factors == (2, 2, 1)
    assert grid.voxel_mm == (1.5, 1.5, 3.0)
    assert grid.origin_mm == (0.375, 0.375, 0.0)
    volume = np.arange(60, dtype=np.float32).reshape(5, 4, 3)
    reduced = grid.reduce(volume)
    assert reduced.shape == (3, 2, 3)
    assert reduced[0, 0, 0] == volume[:2, :2, 0].mean()
    assert reduced[2, 1, 2] == volume[4, 2:, 2].mean()  # the last block is one voxel short
    assert reduced.dtype == np.float32
    expanded = grid.expand(reduced > 30)
    assert expanded.shape == volume.shape
    assert expanded[4, 3, 2] == (reduced[2, 1, 2] > 30)


def test_echoes_are_combined_by_power():
    magnitude = np.zeros((2, 2, 2, 2), dtype=np.float32)
    magnitude[:, 0, 0, 0] = 3, 4
    assert combine_echoes(magnitude)[0, 0, 0] == pytest.approx(5 / 4)


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_a_magnitude_that_shows_nothing_is_refused(value):
    with pytest.raises(InputError, match="same everywhere") as caught:
        combine_echoes(np.full((2, 4, 4, 4), value, dtype=np.float32))
    assert caught.value.reason == "MaskEmpty"


def test_nan_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="NaN"):
        combine_echoes(np.full((2, 4, 4, 4), np.nan, dtype=np.float32))


def test_flattening_takes_out_a_smooth_shading():
    shape, voxel = (40, 36, 30), (3.0, 3.0, 4.0)
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    inside = x**2 + y**2 + z**2 < 0.8
    image = (inside * np.exp(0.8 * x - 0.5 * z)).astype(np.float32)
    flat = flatten(image, voxel, 20.0)
    assert image[inside].std() / image[inside].mean() > 0.3
    assert flat[inside].std() / flat[inside].mean() < 0.4 * image[inside].std() / image[inside].mean()
    np.testing.assert_array_equal(flat[~inside], 0)


def test_otsu_parts_two_peaks():
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(1, 0.1, 5000), rng.normal(5, 0.3, 2000)])
    assert 1.5 < otsu_threshold(values) < 4
    with pytest.raises(InputError, match="no contrast"):
        otsu_threshold(np.ones(10))
