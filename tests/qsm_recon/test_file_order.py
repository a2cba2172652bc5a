"""Reversed axes, in blocks."""

import numpy as np

from qsm_recon import file_order


def test_reversing_the_axes_twice_changes_nothing() -> None:
    array = np.random.default_rng(5).normal(size=(19, 6, 37))
    stored = file_order.to_file(array)
    np.testing.assert_array_equal(stored, array.T)
    back = np.empty_like(array)
    file_order.from_file(stored, back)
    np.testing.assert_array_equal(back, array)
