import numpy as np
import pytest

from qsm_recon.qsm.phantoms import sphere_field_ppm
from qsm_recon.simulation.field import dipole_field, shim_coefficients, solid_harmonics


@pytest.mark.parametrize("b0", [(0.0, 0.0, 1.0), (0.0, 0.6, 0.8), (-0.48, 0.6, 0.64)])
def test_sphere(b0):
    """Against the closed form, away from the staircase surface, for any direction of the field."""
    voxel = (1.0, 0.8, 1.25)
    shape = (64, 80, 52)
    fine = [(np.arange(3 * n) - (3 * n - 1) / 2) * v / 3 for n, v in zip(shape, voxel, strict=True)]
    x, y, z = np.meshgrid(*fine, indexing="ij", sparse=True)
    radius = 8.0
    # partial volume at the surface: a staircase would ring under an oblique field
    ball = (x * x + y * y + z * z <= radius**2).reshape(64, 3, 80, 3, 52, 3).mean(axis=(1, 3, 5)).astype(np.float32)
    axes = [(np.arange(n) - (n - 1) / 2) * v for n, v in zip(shape, voxel, strict=True)]
    position = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    distance = np.linalg.norm(position, axis=-1)
    field = dipole_field(ball, voxel, b0, margin=2.0)
    exact = sphere_field_ppm(position, radius, 1.0, np.array(b0))
    ring = (distance > 11) & (distance < 20)
    assert np.sqrt(np.mean((field - exact)[ring] ** 2)) < 0.006  # the field there reaches 0.25
    assert np.sqrt(np.mean(field[distance < 5] ** 2)) < 0.015


def test_harmonics_are_harmonic_and_are_taken_out_exactly():
    rng = np.random.default_rng(0)
    position = rng.uniform(-1, 1, (500, 3))
    weights = rng.normal(size=9)
    field = np.stack(solid_harmonics(*position.T), axis=-1) @ weights
    mask = np.ones(500, dtype=bool).reshape(5, 10, 10)
    found = shim_coefficients(field.reshape(mask.shape).astype(np.float32), mask, position)
    np.testing.assert_allclose(found, weights, atol=1e-5)
