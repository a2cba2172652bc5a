"""RESHARP: solves the problem it states, keeps inner sources, loses harmonic fields, erodes by its radius."""

import numpy as np
import pytest

from qsm_recon.errors import InputError
from qsm_recon.qsm import backend, kernels
from qsm_recon.qsm.background import ResharpParams, remove_background
from qsm_recon.qsm.background.problem import BackgroundProblem
from qsm_recon.qsm.background.resharp import resharp
from qsm_recon.qsm.scan import Geometry

B0 = (0.0, 0.0, 1.0)
GRIDS = {(1.5, 1.5, 1.5): (48, 44, 40), (1.0, 1.0, 3.0): (64, 60, 24)}


def positions(voxel: tuple[float, float, float]) -> list[np.ndarray]:
    """x, y, z in mm from the middle of the grid of that voxel."""
    axes = [(np.arange(n) - n // 2) * h for n, h in zip(GRIDS[voxel], voxel, strict=True)]
    return np.meshgrid(*axes, indexing="ij")


def ball(voxel: tuple[float, float, float]) -> np.ndarray:
    x, y, z = positions(voxel)
    return x**2 + y**2 + z**2 <= 22.0**2


@pytest.mark.parametrize("voxel", GRIDS)
def test_solves_its_normal_equations(voxel: tuple[float, float, float]) -> None:
    """(H M H + lambda) l = H M H f with H = 1 - S, in volumes, whatever goes on in k-space."""
    mask = ball(voxel)
    field = (np.random.default_rng(0).standard_normal(mask.shape) * mask).astype(np.float32)
    params = ResharpParams(radius_mm=5, regularization=1e-2, tolerance=1e-6, iterations=400)
    problem = BackgroundProblem(field, mask, None, voxel, B0)
    spectra: list[np.ndarray] = []
    inverse = backend.irfftn
    with pytest.MonkeyPatch.context() as patch:  # the last transform is that of l, before the mask cuts it
        patch.setattr(backend, "irfftn", lambda s, shape: (spectra.append(s.copy()), inverse(s, shape))[1])
        result = resharp(problem, params)
    local = inverse(spectra[-1], mask.shape)
    high_pass = 1 - kernels.harmonic_mean_kernel(mask.shape, voxel, 5)

    def twice(volume: np.ndarray) -> np.ndarray:
        return kernels.convolve(kernels.convolve(volume, high_pass) * result.mask, high_pass)

    residual = twice(field - local) - np.float32(1e-2) * local
    assert np.linalg.norm(residual) < 3e-5 * np.linalg.norm(twice(field))
    np.testing.assert_array_equal(result.local_field_ppm, local * result.mask)


@pytest.mark.parametrize("voxel", GRIDS)
def test_harmonic_fields_vanish(voxel: tuple[float, float, float]) -> None:
    x, y, z = (p / 20 for p in positions(voxel))
    harmonic = (0.5 + x - 2 * z + x * y + x**2 - z**2).astype(np.float32)
    local = remove_background(harmonic, ball(voxel), None, Geometry(voxel, B0), ResharpParams())
    assert local.mask.any()
    assert np.abs(local.local_field_ppm).max() < 1e-2 * np.abs(harmonic[local.mask]).max()


@pytest.mark.parametrize("voxel", GRIDS)
def test_keeps_the_field_of_an_inner_source(voxel: tuple[float, float, float]) -> None:
    x, y, z = positions(voxel)
    squares = x**2 + y**2 + z**2
    room = tuple(2 * n for n in squares.shape)
    chi = np.zeros(room, dtype=np.float32)
    chi[tuple(slice(n) for n in squares.shape)] = 0.2 * np.exp(-squares / (2 * 4.0**2))
    inner = kernels.convolve(chi, kernels.dipole_kernel(room, voxel, B0))[tuple(slice(n) for n in squares.shape)]
    outer = 2 * x / 20 + (x**2 - z**2) / 400
    field = (inner + outer).astype(np.float32)
    local = remove_background(field, ball(voxel), None, Geometry(voxel, B0), ResharpParams())
    deep = squares < 12.0**2
    error = (local.local_field_ppm - inner)[deep]
    assert np.linalg.norm(error) < 0.2 * np.linalg.norm(inner[deep])


def test_is_linear_within_its_tolerance_and_a_factor_of_two_changes_no_other_bit() -> None:
    voxel = (1.5, 1.5, 1.5)
    a, b = np.random.default_rng(1).standard_normal((2, *GRIDS[voxel])).astype(np.float32)
    params = ResharpParams(regularization=1e-2, tolerance=1e-6, iterations=300)
    one, other, both = (
        remove_background(f, ball(voxel), None, Geometry(voxel, B0), params).local_field_ppm for f in (a, b, a + b)
    )
    np.testing.assert_allclose(one + other, both, atol=1e-3)
    twice = remove_background(2 * a, ball(voxel), None, Geometry(voxel, B0), params).local_field_ppm
    np.testing.assert_array_equal(twice, 2 * one)


def test_one_pair_of_transforms_in_an_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    voxel = (1.5, 1.5, 1.5)
    field = np.random.default_rng(1).standard_normal(GRIDS[voxel]).astype(np.float32)
    forward, inverse, counts = backend.rfftn, backend.irfftn, {"forward": 0, "inverse": 0}

    def counted(name: str) -> int:
        counts[name] += 1
        return counts[name]

    monkeypatch.setattr(backend, "rfftn", lambda v: (counted("forward"), forward(v))[1])
    monkeypatch.setattr(backend, "irfftn", lambda s, shape: (counted("inverse"), inverse(s, shape))[1])
    spent = []
    for iterations in (3, 10):
        counts.update(forward=0, inverse=0)
        params = ResharpParams(iterations=iterations, tolerance=0)
        remove_background(field, ball(voxel), None, Geometry(voxel, B0), params)
        spent.append(dict(counts))
    assert [spent[1][name] - spent[0][name] for name in ("forward", "inverse")] == [7, 7]


def test_erodes_by_its_radius_which_is_never_less_than_a_voxel_and_says_so() -> None:
    voxel = (1.0, 1.0, 3.0)
    x, y, z = positions(voxel)
    r = np.sqrt(x**2 + y**2 + z**2)
    field = np.zeros(r.shape, dtype=np.float32)
    for asked, radius in ((6.0, 6.0), (1.0, 3.0)):
        local = remove_background(field, ball(voxel), None, Geometry(voxel, B0), ResharpParams(radius_mm=asked))
        assert not local.mask[r > 22 - radius + 1.5].any()
        assert local.mask[r < 22 - radius - 2.5].all()
        assert f"{radius:g} mm" in local.warnings[0]
        assert local.warnings[0].startswith("MaskEroded: ")


@pytest.mark.parametrize("radius_mm", [6.0, 40.0])
def test_a_mask_thinner_than_the_ball_is_refused(radius_mm: float) -> None:
    voxel = (1.5, 1.5, 1.5)
    thin = np.zeros(GRIDS[voxel], dtype=bool)
    thin[10:30, 10:30, 10:13] = True
    params = ResharpParams(radius_mm=radius_mm)
    with pytest.raises(InputError) as caught:
        remove_background(np.zeros(thin.shape, dtype=np.float32), thin, None, Geometry(voxel, B0), params)
    assert caught.value.reason == "MaskTooSmall"
