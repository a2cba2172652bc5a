"""Bodies whose field is known exactly, for tests and for the curious.

Sources: Schenck 1996, doi:10.1118/1.597854; Haacke, Brown, Thompson, Venkatesan, "Magnetic Resonance Imaging",
chapter 25. Both forms carry the Lorentz correction, as the dipole kernel with D(0) = 0 does.
"""

from typing import Any

from qsm_recon.qsm import backend

Array = Any


def sphere_field_ppm(position_mm: Array, radius_mm: float, chi_ppm: float, b0_direction: Array) -> Array:
    """Relative field in ppm of a sphere at the origin.

    Parameters
    ----------
    position_mm
        (..., 3) positions in mm.
    radius_mm, chi_ppm
        Radius, and susceptibility against the surroundings.
    b0_direction
        (3,) unit vector.

    Returns
    -------
    (...) ppm: chi/3 (a/r)^3 (3 cos^2 - 1) outside, 0 inside.
    """
    xp = backend.namespace(position_mm)
    r2 = (position_mm**2).sum(axis=-1)
    along2 = (position_mm @ b0_direction) ** 2
    outside = r2 > radius_mm**2
    r2 = xp.where(outside, r2, 1.0)
    return xp.where(outside, chi_ppm / 3 * (radius_mm**2 / r2) ** 1.5 * (3 * along2 / r2 - 1), 0.0)


def cylinder_field_ppm(position_mm: Array, radius_mm: float, chi_ppm: float, axis: Array, b0_direction: Array) -> Array:
    """Relative field in ppm of an endless cylinder through the origin.

    Parameters
    ----------
    position_mm
        (..., 3) positions in mm.
    radius_mm, chi_ppm
        Radius, and susceptibility against the surroundings.
    axis, b0_direction
        (3,) unit vectors.

    Returns
    -------
    (...) ppm: chi/2 sin^2(theta) cos(2 phi) (a/rho)^2 outside, chi/6 (3 cos^2(theta) - 1) inside, with theta between
    axis and field, phi around the axis from the field's projection.
    """
    xp = backend.namespace(position_mm)
    cos_theta = float(axis @ b0_direction)
    across = b0_direction - cos_theta * axis
    sin2 = float(across @ across)
    rho = position_mm - (position_mm @ axis)[..., None] * axis
    rho2 = (rho**2).sum(axis=-1)
    outside = rho2 > radius_mm**2
    rho2 = xp.where(outside, rho2, 1.0)
    if sin2 < 1e-12:
        far = xp.zeros_like(rho2)
    else:
        cos2 = (rho @ across) ** 2 / (rho2 * sin2)
        far = chi_ppm / 2 * sin2 * (2 * cos2 - 1) * radius_mm**2 / rho2
    return xp.where(outside, far, chi_ppm / 6 * (3 * cos_theta**2 - 1))
