"""Pictures show the patient as a radiologist expects, however the slab was scanned."""

from itertools import permutations, product

import numpy as np
import pytest

from qsm_recon.report.planes import Plane, box, cut, patient_order


@pytest.mark.parametrize("axes", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
def test_any_slab_comes_out_the_same(axes: tuple[int, ...], signs: tuple[int, ...]) -> None:
    """A volume that states its own patient position: each picture must grow the way its letters say."""
    shape, sizes = (5, 6, 7), (1.0, 2.0, 3.0)
    affine = np.eye(4)
    affine[:3, :3] = 0
    for voxel_axis, (patient_axis, sign) in enumerate(zip(axes, signs, strict=True)):
        affine[patient_axis, voxel_axis] = sign * sizes[voxel_axis]
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    position = index @ affine[:3, :3].T
    order = patient_order(affine)
    left, back, head = (order.turn(position[..., axis]) for axis in range(3))
    assert (np.diff(cut(left, Plane.AXIAL, 1), axis=1) > 0).all(), "patient's left on the right"
    assert (np.diff(cut(back, Plane.AXIAL, 1), axis=0) > 0).all(), "nose up"
    assert (np.diff(cut(left, Plane.CORONAL, 1), axis=1) > 0).all()
    assert (np.diff(cut(head, Plane.CORONAL, 1), axis=0) < 0).all(), "head up"
    assert (np.diff(cut(back, Plane.SAGITTAL, 1), axis=1) > 0).all(), "nose left"
    assert (np.diff(cut(head, Plane.SAGITTAL, 1), axis=0) < 0).all()
    assert order.voxel_size_mm == tuple(sizes[axes.index(patient_axis)] for patient_axis in range(3))


def test_oblique_slab_is_shown_along_its_nearest_axes() -> None:
    angle = np.deg2rad(30)
    affine = np.eye(4)
    affine[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert patient_order(affine).axes == (0, 1, 2)


def test_box_of_a_mask() -> None:
    mask = np.zeros((20, 20, 20), dtype=bool)
    mask[5:8, 1, 18] = True
    assert box(mask, margin=2) == (slice(3, 10), slice(0, 4), slice(16, 21))
    assert box(np.zeros((2, 2, 2), dtype=bool)) == (slice(None),) * 3
