"""Means over blocks, by NumPy's own mean."""

import numpy as np
import pytest
from array_places import Place

from qsm_recon.qsm.blocks import block_mean


@pytest.mark.parametrize("by", [(2, 2, 2), (2, 2, 1), (1, 2, 3), (1, 1, 1)])
def test_is_the_mean_of_each_block(by: tuple[int, int, int], place: Place) -> None:
    volume = np.random.default_rng(0).standard_normal((12, 10, 6)).astype(np.float32)
    nx, ny, nz = (n // f for n, f in zip(volume.shape, by, strict=True))
    expected = volume.reshape(nx, by[0], ny, by[1], nz, by[2]).astype(np.float64).mean(axis=(1, 3, 5))
    found = place.get(block_mean(place.put(volume), by))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_block_that_is_all_mask_is_exactly_one() -> None:
    mask = np.ones((6, 6, 6), dtype=bool)
    mask[0, 0, 0] = False
    share = block_mean(mask, (2, 2, 3))
    assert share[0, 0, 0] == pytest.approx(11 / 12)
    assert np.count_nonzero(share == 1) == share.size - 1
