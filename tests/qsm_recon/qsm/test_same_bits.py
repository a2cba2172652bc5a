"""The same map, bit for bit, from run to run and for any number of cores."""

import numpy as np
import pytest

from qsm_recon import recipes
from qsm_recon.qsm import backend
from qsm_recon.qsm.pipeline import reconstruct
from qsm_recon.qsm.scan import Geometry, MultiEchoScan
from qsm_recon.qsm.units import center_frequency_hz

TIMES_S = (0.004, 0.008, 0.012, 0.016)
SHAPE = (44, 40, 36)
VOXEL_MM = (1.5, 1.5, 2.0)


def scan() -> tuple[MultiEchoScan, np.ndarray]:
    """A ball with a source in it and one beside it, noise, and magnitude edges."""
    axes = [(np.arange(n) - n / 2) * h for n, h in zip(SHAPE, VOXEL_MM, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    field_ppm = np.zeros(SHAPE)
    for cx, radius, chi in ((6.0, 5.0, 0.1), (40.0, 8.0, 3.0)):
        r = np.maximum(np.sqrt((x - cx) ** 2 + y**2 + z**2), radius)
        field_ppm += chi / 3 * (radius / r) ** 3 * (3 * (z / r) ** 2 - 1)
    mask = np.sqrt(x**2 + y**2 + z**2) < 24
    tissue = np.where(mask, 100 + 30 * np.sin(x / 4), 2)
    frequency = center_frequency_hz(3.0)
    times = np.array(TIMES_S)[:, None, None, None]
    signal = tissue * np.exp(2j * np.pi * field_ppm * 1e-6 * frequency * times - 20 * times)
    rng = np.random.default_rng(5)
    signal = signal + rng.normal(size=signal.shape) + 1j * rng.normal(size=signal.shape)
    magnitude, phase = np.abs(signal).astype(np.float32), np.angle(signal).astype(np.float32)
    return MultiEchoScan(magnitude, phase, TIMES_S, frequency, Geometry(VOXEL_MM, (0.0, 0.0, 1.0))), mask


@pytest.mark.parametrize("recipe", ["medi0-v1", "fast-v1"])
def test_chi_has_the_same_bits_for_any_number_of_cores(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given, mask = scan()
    config = recipes.load(recipe).config
    maps = []
    for cores in (1, 2, 3, 2):
        monkeypatch.setattr(backend, "threads", lambda n=cores: n)
        maps.append(reconstruct(given, config, mask=mask).chi_ppm)
    assert maps[0].any()
    for other in maps[1:]:
        assert np.array_equal(maps[0], other)
