import numpy as np
import pytest
import scipy.ndimage

from qsm_recon.qsm import morphology

VOXEL = (0.8, 1.1, 3.0)


@pytest.fixture
def blobs():
    noise = np.random.default_rng(3).standard_normal((31, 26, 15))
    return scipy.ndimage.gaussian_filter(noise, 1.5) > 0.1


def test_distance_is_euclidean_up_to_the_reach_and_infinite_beyond(blobs):
    exact = scipy.ndimage.distance_transform_edt(~blobs, sampling=VOXEL)
    got = morphology.distance_mm(blobs, VOXEL, 4.0)
    assert (exact > 4).any()
    near = exact <= 4.0
    np.testing.assert_allclose(got[near], exact[near], rtol=1e-5)
    assert np.isinf(got[~near]).all()
    assert got.dtype == np.float32


def test_a_distance_that_equals_the_reach_counts():
    point = np.zeros((9, 9, 9), dtype=bool)
    point[4, 4, 4] = True
    grown = morphology.dilate(point, (0.7, 0.7, 0.7), 2.1)
    assert grown[1, 4, 4]
    assert grown[7, 4, 4]
    assert not grown[0, 4, 4]


def test_erosion_is_dilation_of_the_complement(blobs):
    eroded = morphology.erode(blobs, VOXEL, 2.5)
    np.testing.assert_array_equal(eroded, ~morphology.dilate(~blobs, VOXEL, 2.5))
    assert not eroded[~blobs].any()


def test_thick_slices_are_not_eroded_by_less_than_a_slice():
    slab = np.zeros((20, 20, 9), dtype=bool)
    slab[5:15, 5:15, 2:7] = True
    eroded = morphology.erode(slab, (1.0, 1.0, 3.0), 2.0)
    assert eroded[7:13, 7:13, 2:7].all()
    assert np.count_nonzero(eroded) == 6 * 6 * 5


def test_the_edge_of_the_volume_erodes_nothing():
    full = np.ones((6, 6, 6), dtype=bool)
    assert morphology.erode(full, (1.0, 1.0, 1.0), 3.0).all()


def test_opening_shrinks_and_closing_grows_and_both_are_idempotent(blobs):
    opened = morphology.open_mask(blobs, VOXEL, 1.7)
    closed = morphology.close_mask(blobs, VOXEL, 1.7)
    assert not (opened & ~blobs).any()
    assert not (blobs & ~closed).any()
    assert opened.sum() < blobs.sum() < closed.sum()
    np.testing.assert_array_equal(morphology.open_mask(opened, VOXEL, 1.7), opened)
    np.testing.assert_array_equal(morphology.close_mask(closed, VOXEL, 1.7), closed)


def test_largest_component_and_holes():
    mask = np.zeros((12, 12, 12), dtype=bool)
    mask[1:8, 1:8, 1:8] = True
    mask[9:11, 9:11, 9:11] = True
    mask[4, 4, 4] = False
    mask[3, 3, 1:4] = False  # a well, open to the outside
    one = morphology.largest_component(mask)
    assert not one[9:, 9:, 9:].any()
    filled = morphology.fill_holes(one)
    assert filled[4, 4, 4]
    assert not filled[3, 3, 1:4].any()


def test_empty_masks_stay_empty():
    nothing = np.zeros((5, 6, 7), dtype=bool)
    for result in (
        morphology.dilate(nothing, VOXEL, 3.0),
        morphology.erode(nothing, VOXEL, 3.0),
        morphology.fill_holes(nothing),
        morphology.largest_component(nothing),
    ):
        assert result.shape == nothing.shape
        assert not result.any()


@pytest.mark.parametrize("bad", [np.ones((4, 4, 4), dtype=np.float32), np.ones((4, 4), dtype=bool)])
def test_what_is_no_mask_is_refused(bad):
    with pytest.raises(ValueError, match="bool"):
        morphology.distance_mm(bad, VOXEL, 1.0)


def test_a_reach_that_is_no_length_is_refused():
    with pytest.raises(ValueError, match="reach_mm"):
        morphology.distance_mm(np.ones((4, 4, 4), dtype=bool), VOXEL, float("nan"))
