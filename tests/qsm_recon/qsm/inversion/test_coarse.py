"""The grid of half the resolution, and the way back."""

import numpy as np

from qsm_recon.qsm.inversion import coarse
from qsm_recon.qsm.inversion.problem import DipoleProblem

SHAPE = (8, 12, 6)


def problem(**changes: object) -> DipoleProblem:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[1:7, 2:10] = True
    values = {
        "field_ppm": np.where(mask, 0.02, 0).astype(np.float32),
        "mask": mask,
        "noise_ppm": np.where(mask, 0.001, np.inf).astype(np.float32),
        "magnitude": mask.astype(np.float32),
        "csf_mask": None,
        "voxel_size_mm": (1.0, 1.0, 3.0),
        "b0_direction": (0.0, 0.0, 1.0),
    }
    return DipoleProblem(**(values | changes))


def test_only_axes_with_small_voxels_and_even_size_are_halved() -> None:
    assert coarse.factors(problem(), 2.0) == (2, 2, 1)
    assert coarse.factors(problem(), 0.0) == (1, 1, 1)
    assert coarse.factors(problem(), 4.0) == (2, 2, 2)


def test_blocks_count_where_they_are_all_mask() -> None:
    small = coarse.coarsened(problem(), (2, 2, 1))
    assert small is not None
    assert small.shape == (4, 6, 6)
    assert small.voxel_size_mm == (2.0, 2.0, 3.0)
    assert small.mask[1, 1, 0]
    assert not small.mask[0].any()  # half of its voxels are outside
    assert np.allclose(small.field_ppm[small.mask], 0.02)
    assert np.allclose(small.noise_ppm[small.mask], 0.001)


def test_a_voxel_without_signal_does_not_count_in_its_block() -> None:
    given = problem()
    field, noise = given.field_ppm.copy(), given.noise_ppm.copy()
    field[2, 4, 0], noise[2, 4, 0] = 9.0, np.inf
    small = coarse.coarsened(problem(field_ppm=field, noise_ppm=noise), (2, 2, 1))
    assert small is not None
    assert np.allclose(small.field_ppm[small.mask], 0.02)


def test_no_coarse_problem_where_nothing_is_left_of_the_mask() -> None:
    thin = np.zeros(SHAPE, dtype=bool)
    thin[3] = True
    assert coarse.coarsened(problem(mask=thin), (2, 2, 1)) is None


def test_interpolation_keeps_a_constant_and_a_slope() -> None:
    ramp = np.broadcast_to(np.arange(4.0)[:, None, None], (4, 6, 6)).astype(np.float32)
    fine = coarse.refined(ramp, (2, 2, 1))
    assert fine.shape == SHAPE
    assert fine.dtype == np.float32
    # Centres of fine voxels lie a quarter of a block from the block's own.
    assert np.allclose(fine[1:-1, 0, 0], np.arange(0.25, 3.0, 0.5))
    assert np.allclose(coarse.refined(np.full((4, 6, 6), 7, dtype=np.float32), (2, 2, 2)), 7)
