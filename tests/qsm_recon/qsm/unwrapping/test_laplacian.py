"""The Laplacian method is right for smooth fields, up to what it can know."""

from typing import Any

import numpy as np

from qsm_recon.qsm.scan import Geometry
from qsm_recon.qsm.unwrapping import LaplacianParams, unwrap

TWO_PI = 2 * np.pi


def _laplacian(field: Any, mask: Any, voxel: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Any:
    wrapped = (field - TWO_PI * np.round(field / TWO_PI)).astype(np.float32)
    noise = np.zeros_like(wrapped)
    return unwrap(wrapped, mask, noise, Geometry(voxel, (0.0, 0.0, 1.0)), LaplacianParams())


def test_smooth_field_with_flat_borders_comes_back():
    i, j, k = (np.arange(n) + 0.5 for n in (40, 44, 36))
    field = 7 * np.cos(np.pi * i / 40)[:, None, None] * np.cos(np.pi * j / 44)[:, None] * np.cos(np.pi * k / 36)
    mask = np.ones(field.shape, bool)
    for voxel in ((1.0, 1.0, 1.0), (0.5, 0.75, 3.0)):
        error = _laplacian(field, mask, voxel) - field
        error -= TWO_PI * np.round(np.median(error) / TWO_PI)
        # sin(step) stands for step: steps here reach 0.55 rad
        assert np.sqrt(np.mean(error**2)) < 0.15


def test_small_steps_are_solved_to_rounding():
    rng = np.random.default_rng(1)
    field = 1e-2 * rng.normal(size=(16, 15, 14))
    mask = np.ones(field.shape, bool)
    error = _laplacian(field, mask) - field
    assert np.abs(error - error.mean()).max() < 2e-5


def test_outside_is_zero_and_the_level_is_that_of_the_input():
    x, y, _z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (24, 26, 28)), indexing="ij")
    mask = x**2 + y**2 < 0.7
    result = _laplacian(2 * x * y + 1.0 + TWO_PI, mask)
    assert not result[~mask].any()
    assert result.dtype == np.float32
    assert abs(np.median(result[mask]) - 1.0) < 0.1


def test_empty_mask_is_zero():
    assert not _laplacian(np.ones((4, 4, 4)), np.zeros((4, 4, 4), bool)).any()
