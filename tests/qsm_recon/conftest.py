"""A small head-like scan that every test of the chain can afford: a ball with a source in it."""

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

ECHO_TIMES_S = (0.004, 0.008, 0.012)
FIELD_STRENGTH_T = 3.0
HZ_PER_PPM = 42.577478518 * FIELD_STRENGTH_T


@dataclass(frozen=True)
class Ball:
    """Truth and files of a ball of radius 14 voxels with a 0.3 ppm ball of radius 4 in its middle."""

    folder: Path
    mask: NDArray[np.bool_]
    core: NDArray[np.bool_]
    field_ppm: NDArray[np.float32]

    def path(self, name: str) -> str:
        return str(self.folder / f"{name}.nii.gz")


@pytest.fixture(scope="session")
def ball(tmp_path_factory: pytest.TempPathFactory) -> Ball:
    """Magnitude, phase, local field, mask and noise as NIfTI; the field of a sphere in closed form."""
    folder = tmp_path_factory.mktemp("ball")
    n, radius, inner, chi_ppm = 36, 14.0, 4.0, 0.3
    x, y, z = np.meshgrid(*[np.arange(n) - (n - 1) / 2] * 3, indexing="ij")
    r = np.sqrt(x**2 + y**2 + z**2)
    mask, core = r < radius, r < inner
    with np.errstate(divide="ignore", invalid="ignore"):
        outside = chi_ppm / 3 * (inner / r) ** 3 * (3 * (z / r) ** 2 - 1)
    field_ppm = np.where(core, 0, outside).astype(np.float32)
    rng = np.random.default_rng(3)
    times = np.array(ECHO_TIMES_S)
    signal = np.where(mask, 100.0, 0.0)[..., None] * np.exp(
        2j * np.pi * field_ppm[..., None] * HZ_PER_PPM * times - 20 * times
    )
    signal = signal + rng.normal(size=(*signal.shape, 2)) @ np.array([1, 1j])
    for name, volume in {
        "mag": np.abs(signal),
        "phase": np.angle(signal),
        "field": field_ppm,
        "field_hz": field_ppm * HZ_PER_PPM,
        "field_rad": field_ppm * HZ_PER_PPM * 2 * np.pi * 0.005,
        "mask": mask,
        "noise": np.full_like(field_ppm, 0.002),
    }.items():
        image = nib.Nifti1Image(volume.astype(np.uint8 if volume.dtype == bool else np.float32), np.diag([2, 2, 2, 1]))
        nib.save(image, folder / f"{name}.nii.gz")
    return Ball(folder, mask, core, field_ppm)
