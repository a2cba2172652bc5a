"""Root sum of squares over echoes."""

import numpy as np
import pytest
from array_places import Place

from qsm_recon.qsm.magnitude import root_sum_of_squares


def test_three_and_four_make_five() -> None:
    magnitude = np.array([3.0, 4.0], dtype=np.float32).reshape(2, 1, 1, 1)
    assert root_sum_of_squares(magnitude)[0, 0, 0] == pytest.approx(5)


def test_large_numbers_need_a_unit() -> None:
    magnitude = np.full((2, 5, 4, 3), 3e19, dtype=np.float32)
    assert np.isinf(root_sum_of_squares(magnitude)).all()
    np.testing.assert_allclose(root_sum_of_squares(magnitude, 3e19), np.sqrt(2), rtol=1e-6)


def test_host_form_is_the_array_form(device: Place) -> None:
    magnitude = np.random.default_rng(0).random((4, 9, 7, 6), dtype=np.float32)
    there = device.get(root_sum_of_squares(device.put(magnitude), 0.7))
    np.testing.assert_allclose(there, root_sum_of_squares(magnitude, 0.7), rtol=3e-7)
