import numpy as np
import pytest

from qsm_recon.qsm.phantoms import cylinder_field_ppm, sphere_field_ppm

B0 = np.array([0.0, 0.6, 0.8])


def test_sphere_is_twice_as_strong_along_the_field_as_across():
    along = sphere_field_ppm(12.0 * B0, 6.0, 1.0, B0)
    across = sphere_field_ppm(12.0 * np.array([1.0, 0, 0]), 6.0, 1.0, B0)
    assert along == pytest.approx(2 / 3 / 8)
    assert across == pytest.approx(-along / 2)
    assert sphere_field_ppm(np.array([1.0, 2, 3]), 6.0, 1.0, B0) == 0


@pytest.mark.parametrize("field", [sphere_field_ppm, None])
def test_outside_field_is_harmonic(field):
    """No currents outside: the Laplacian of every component vanishes there."""

    def value(p):
        if field is not None:
            return field(p, 3.0, 1.0, B0)
        return cylinder_field_ppm(p, 3.0, 1.0, np.array([1.0, 0, 0]), B0)

    p, h = np.array([4.0, 5.0, -3.0]), 1e-2
    steps = h * np.eye(3)
    laplacian = sum(value(p + s) + value(p - s) - 2 * value(p) for s in steps) / h**2
    assert abs(laplacian) < 1e-5


def test_cylinder_along_the_field_has_no_field_outside():
    assert cylinder_field_ppm(np.array([9.0, 0, 0]), 2.0, 1.0, B0, B0)[()] == pytest.approx(0, abs=1e-12)
    assert cylinder_field_ppm(0.1 * B0, 2.0, 1.0, B0, B0)[()] == pytest.approx(1 / 3)
