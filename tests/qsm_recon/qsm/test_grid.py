"""The working box: there and back, sizes, refusals."""

import numpy as np
import pytest

from qsm_recon.errors import InputError
from qsm_recon.qsm import grid


def blob() -> np.ndarray:
    mask = np.zeros((20, 30, 11), dtype=bool)
    mask[3:9, 10:27, 2:10] = True
    return mask


def test_what_is_taken_comes_back_in_its_place() -> None:
    mask = blob()
    volume = np.random.default_rng(0).standard_normal(mask.shape).astype(np.float32)
    box = grid.mask_box(mask, (1.0, 1.0, 2.0), 4.0)
    assert np.array_equal(box.put_back(box.take(volume)) * mask, volume * mask)
    assert box.take(mask).sum() == mask.sum()


def test_grid_has_the_room_asked_for_and_halves_to_a_fast_size() -> None:
    mask = blob()
    box = grid.mask_box(mask, (1.0, 1.0, 2.0), 4.0)
    inside = np.nonzero(box.take(mask))
    for axis, room in enumerate((4, 4, 2)):
        assert inside[axis].min() >= room
        assert box.shape[axis] - 1 - inside[axis].max() >= room
        half = box.shape[axis] // 2
        assert box.shape[axis] == 2 * half
        for prime in (2, 3, 5):
            while half % prime == 0:
                half //= prime
        assert half == 1


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        grid.mask_box(np.zeros((4, 4, 4), dtype=bool), (1.0, 1.0, 1.0), 1.0)
    assert caught.value.reason == "EmptyMask"


def test_a_volume_of_another_shape_is_no_volume_of_the_box() -> None:
    box = grid.mask_box(blob(), (1.0, 1.0, 2.0), 4.0)
    with pytest.raises(ValueError, match="shape"):
        box.take(np.zeros((3, 3, 3)))
    with pytest.raises(ValueError, match="shape"):
        box.put_back(np.zeros((3, 3, 3)))


def test_volumes_that_do_not_belong_together_are_refused() -> None:
    mask = blob()
    with pytest.raises(InputError, match="field_ppm") as caught:
        grid.check_volumes(mask, field_ppm=np.zeros((20, 30, 12)))
    assert caught.value.reason == "ShapeMismatch"
    with pytest.raises(InputError) as caught:
        grid.check_volumes(mask[0])
    assert caught.value.reason == "ShapeMismatch"
    with pytest.raises(ValueError, match="boolean"):
        grid.check_volumes(mask.astype(np.uint8))


def test_noise_without_signal_or_with_nan_is_refused() -> None:
    mask = blob()
    with pytest.raises(InputError) as caught:
        grid.check_noise(np.full(mask.shape, np.inf), mask)
    assert caught.value.reason == "NoSignal"
    noise = np.ones(mask.shape)
    noise[5, 12, 5] = np.nan
    with pytest.raises(InputError) as caught:
        grid.check_noise(noise, mask)
    assert caught.value.reason == "NotFinite"
