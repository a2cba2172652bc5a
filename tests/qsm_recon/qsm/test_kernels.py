"""Laws and closed forms of the kernels: a sphere's field, adjoint pairs, symmetry."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from array_places import Place

from qsm_recon.qsm import backend, kernels

SIZE = (64, 64, 64)
RADIUS = 6.0
UNIT = (1.0, 1.0, 1.0)


def from_centre(shape: tuple[int, int, int]) -> np.ndarray:
    """Squared distance from the voxel in the middle."""
    axes = [(np.arange(n) - n // 2) ** 2 for n in shape]
    return axes[0][:, None, None] + axes[1][:, None] + axes[2]


def test_field_of_a_sphere_is_that_of_the_closed_form() -> None:
    dipole = kernels.dipole_kernel(SIZE, UNIT, (0.0, 0.0, 1.0))
    field = kernels.convolve((from_centre(SIZE) <= RADIUS**2).astype(np.float32), dipole)
    # dchi/3 (a/r)^3 (3 cos^2 - 1) at r = 2a: 0.0833 along B0, -0.0417 across; the periodic images take 0.0002 off.
    assert field[32, 32, 44] == pytest.approx(0.0831, abs=4e-4)
    assert field[44, 32, 32] == pytest.approx(-0.0415, abs=4e-4)
    assert abs(field[32, 32, 32]) < 2e-3


def test_field_of_a_smooth_ball_follows_an_oblique_b0() -> None:
    # A sharp ball rings on the grid when B0 is oblique; outside, a Gaussian makes the field of a point.
    ball = np.exp(-from_centre(SIZE) / (2 * 1.5**2))
    ball = (ball / ball.sum()).astype(np.float32)
    field = kernels.convolve(ball, kernels.dipole_kernel(SIZE, UNIT, (0.6, 0.0, 0.8)))
    # (6, 0, 8) from the centre is along B0 at r = 10, (8, 0, -6) across: (3 cos^2 - 1) / (4 pi r^3).
    point = 1 / (4 * np.pi * 1000)
    assert field[38, 32, 40] == pytest.approx(2 * point, rel=0.02)
    assert field[40, 32, 26] == pytest.approx(-point, rel=0.02)


@pytest.mark.parametrize("shape", [(8, 10, 12), (9, 10, 11), (8, 9, 6)])
@pytest.mark.parametrize("direction", [(0.0, 0.0, 1.0), (0.48, 0.6, 0.64)])
def test_dipole_spectrum_is_that_of_a_real_even_kernel(
    shape: tuple[int, int, int], direction: tuple[float, float, float]
) -> None:
    dipole = kernels.dipole_kernel(shape, (1.0, 0.8, 2.0), direction)
    image = backend.irfftn(dipole.astype(np.complex64), shape)
    mirrored = image[np.ix_(*[(-np.arange(n)) % n for n in shape])]
    assert np.abs(image - mirrored).max() < 1e-6
    # A half spectrum that survives the way to the image and back is Hermitian, Nyquist planes included.
    assert np.abs(backend.rfftn(image) - dipole).max() < 1e-6


def test_dipole_convolution_is_self_adjoint_with_oblique_b0() -> None:
    shape = (12, 10, 14)
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, *shape)).astype(np.float32)
    dipole = kernels.dipole_kernel(shape, (1.0, 0.8, 2.0), (0.48, 0.6, 0.64))
    left = np.vdot(a, kernels.convolve(b, dipole))
    right = np.vdot(kernels.convolve(a, dipole), b)
    assert left == pytest.approx(right, rel=1e-4)


def test_permuting_the_axes_permutes_the_dipole_image() -> None:
    shape, voxel, direction = (8, 10, 12), (1.0, 0.8, 2.0), (0.48, 0.6, 0.64)
    order = (2, 0, 1)
    image = backend.irfftn(kernels.dipole_kernel(shape, voxel, direction).astype(np.complex64), shape)
    permuted = tuple(shape[i] for i in order)
    other = kernels.dipole_kernel(permuted, tuple(voxel[i] for i in order), tuple(direction[i] for i in order))
    assert np.allclose(image.transpose(order), backend.irfftn(other.astype(np.complex64), permuted), atol=1e-6)


def test_gradient_and_its_adjoint_are_an_adjoint_pair() -> None:
    rng = np.random.default_rng(2)
    voxel = (0.7, 1.0, 3.0)
    x = rng.standard_normal((7, 8, 9))
    v = rng.standard_normal((3, 7, 8, 9))
    left = np.vdot(kernels.gradient(x, voxel), v)
    assert left == pytest.approx(np.vdot(x, kernels.gradient_adjoint(v, voxel)), rel=1e-12)


def test_gradient_of_a_ramp_is_its_slope_per_mm_and_zero_at_the_end() -> None:
    x = np.broadcast_to(np.arange(5.0)[:, None, None] * 0.5 * 3, (5, 4, 4)).copy()
    g = kernels.gradient(x, (0.5, 1.0, 1.0))
    assert np.allclose(g[0, :-1], 3)
    assert not g[0, -1].any()
    assert not g[1:].any()


def test_compiled_weighted_laplacian_equals_its_definition() -> None:
    rng = np.random.default_rng(3)
    voxel = (0.7, 1.0, 3.0)
    x = rng.standard_normal((6, 7, 8)).astype(np.float32)
    w = rng.random((3, 6, 7, 8)).astype(np.float32)
    definition = kernels.gradient_adjoint(w * kernels.gradient(x, voxel), voxel)
    assert np.allclose(kernels.weighted_laplacian(x, w, voxel), definition, atol=1e-5)


def test_laplacian_symbol_is_the_eigenvalue_of_a_plane_wave() -> None:
    shape, voxel = (8, 6, 10), (0.5, 1.0, 2.0)
    phase = 2 * np.pi * (np.arange(8)[:, None, None] * 2 / 8 + np.arange(10) * 3 / 10)
    wave = np.broadcast_to(np.cos(phase), shape)
    stencil = sum((2 * wave - np.roll(wave, 1, axis) - np.roll(wave, -1, axis)) / h**2 for axis, h in enumerate(voxel))
    symbol = kernels.laplacian_symbol(shape, voxel)
    assert np.allclose(stencil, symbol[2, 0, 3] * wave, atol=1e-5)


@pytest.mark.parametrize("voxel", [(1.0, 1.0, 1.0), (0.75, 0.75, 3.0)])
def test_spherical_mean_has_unit_sum_the_balls_second_moment_and_keeps_harmonics(
    voxel: tuple[float, float, float],
) -> None:
    shape, radius = (40, 40, 24), 5.0
    spectrum = kernels.sphere_kernel(shape, voxel, radius)
    image = backend.irfftn(spectrum.astype(np.complex64), shape)
    assert image.sum() == pytest.approx(1, abs=1e-5)
    x, y, z = np.meshgrid(*[(np.fft.fftfreq(n) * n) * h for n, h in zip(shape, voxel, strict=True)], indexing="ij")
    # A ball's mean of x^2 is r^2 / 5, and moving its parts to voxel centres adds h^2 / 12 (Sheppard), nearly so
    # where a voxel is as wide as 3 of 5 mm.
    for c, h in zip((x, y, z), voxel, strict=True):
        assert (image * c**2).sum() - h**2 / 12 == pytest.approx(radius**2 / 5, rel=0.01 if h < 2 else 0.07)
    harmonic = (x**2 - y**2) + 3 * x * y + 2 * z
    inner = (slice(15, 25), slice(15, 25), slice(10, 14))
    centred = np.fft.fftshift(harmonic).astype(np.float32)
    assert np.abs(kernels.convolve(centred, spectrum) - centred)[inner].max() < 0.02


@pytest.mark.parametrize("voxel", [(1.0, 1.0, 3.0), (2.0, 1.0, 1.5), (0.75, 0.75, 1.0)])
@pytest.mark.parametrize("radius", [3.0, 5.0, 9.0])
def test_harmonic_mean_has_one_second_moment_and_is_a_mean(voxel: tuple[float, float, float], radius: float) -> None:
    shape = tuple(2 * round(16 / h) for h in voxel)
    ball = backend.irfftn(kernels.harmonic_mean_kernel(shape, voxel, radius).astype(np.complex64), shape)
    x = [np.fft.fftfreq(n, 1 / n).reshape([-1 if a == i else 1 for a in range(3)]) for i, n in enumerate(shape)]
    assert ball.sum() == pytest.approx(1, abs=1e-5)
    assert ball.min() > -1e-7
    moments = [float((ball * (c * h) ** 2).sum(dtype=np.float64)) for c, h in zip(x, voxel, strict=True)]
    assert moments == pytest.approx([moments[0]] * 3, rel=1e-4)
    # Sub-voxels that were moved to their voxel's centre spread a little: by h^2 / 12 on the mean of the axes.
    spread = sum(h**2 for h in voxel) / 36
    assert moments[0] == pytest.approx(radius**2 / 5 + spread, rel=0.12)


def test_harmonic_mean_of_cubes_is_the_spherical_mean() -> None:
    cubes = ((20, 24, 22), (1.2, 1.2, 1.2), 5.0)
    assert np.array_equal(kernels.harmonic_mean_kernel(*cubes), kernels.sphere_kernel(*cubes))


def test_a_ball_wider_than_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        kernels.sphere_kernel((8, 8, 8), UNIT, 5.0)


@pytest.mark.parametrize("shape", [(24, 30, 28), (25, 27, 31)])
@pytest.mark.parametrize(
    "make",
    [
        lambda shape, xp: kernels.dipole_kernel(shape, (1.0, 0.8, 2.0), (0.48, 0.6, 0.64), xp),
        lambda shape, xp: kernels.sphere_kernel(shape, (1.0, 0.8, 2.0), 5.0, xp),
        lambda shape, xp: kernels.harmonic_mean_kernel(shape, (1.0, 0.8, 2.0), 5.0, xp),
        lambda shape, xp: kernels.laplacian_symbol(shape, (1.0, 0.8, 2.0), xp),
    ],
    ids=["dipole", "sphere", "harmonic-mean", "laplacian"],
)
def test_a_device_makes_its_own_kernels(
    shape: tuple[int, int, int], make: Callable[[tuple[int, int, int], Any], Any], device: Place
) -> None:
    """The same as the host's; no volume is carried over."""
    there = make(shape, backend.cupy)
    if device.traffic is not None:
        assert not device.traffic.volumes()
    found, expected = device.get(there), make(shape, np)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=3e-7)
