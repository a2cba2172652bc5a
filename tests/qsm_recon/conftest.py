"""A small head-like scan that every test of the chain can afford: a ball with a source in it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from stores_for_tests import ObjectStore, running

from qsm_recon import __main__ as rim
from qsm_recon.qsm.scan import Geometry, MultiEchoScan
from qsm_recon.qsm.units import center_frequency_hz
from qsm_recon.simulation.measurement import Measurement
from qsm_recon.simulation.protocols import Protocol
from qsm_recon.simulation.vendors import VENDORS

ECHO_TIMES_S = (0.004, 0.008, 0.012)
FIELD_STRENGTH_T = 3.0
HZ_PER_PPM = 42.577478518 * FIELD_STRENGTH_T


@pytest.fixture(autouse=True)
def _own_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests call the program in their own process: its signal handlers would outlive them."""
    monkeypatch.setattr(rim, "_listen_to_signals", lambda: None)


@pytest.fixture(scope="session", params=["ceph", "minio"])
def object_store(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    """A real object store of each kind, started when the first test asks."""
    with running(request.param) as store:
        yield store


@pytest.fixture(scope="session")
def recipe() -> str:
    """File of the quickest recipe that goes through every stage."""
    return str(Path(__file__).parent / "quick.yaml")


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


def _head(shape: tuple[int, int, int] = (48, 52, 36), size_mm: float = 4.0) -> Measurement:
    """An ellipsoid of brain in a shell, with a paramagnetic ball in its middle: coarse, so that a run takes seconds."""
    echo_times_s = (0.004, 0.009, 0.014)
    x, y, z = np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * size_mm for n in shape], indexing="ij")

    def inside(a: float, b: float, c: float) -> NDArray[np.bool_]:
        return (x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2 < 1

    magnitude = inside(64, 74, 56) + 0.9 * (inside(78, 88, 66) & ~inside(72, 82, 62))
    r = np.sqrt(x**2 + y**2 + z**2)
    field_ppm = np.where(r < 12, 0, 0.1 * (12 / r) ** 3 * (3 * (z / r) ** 2 - 1)) + 4e-4 * x + 4e-6 * z**2
    te = np.asarray(echo_times_s)[:, None, None, None]
    signal = magnitude * np.exp(-25 * te + 1j * (0.3 + y / 300 + 2 * np.pi * field_ppm * HZ_PER_PPM * te))
    noise = np.random.default_rng(7).normal(scale=0.01, size=(2, *signal.shape))
    affine = np.diag([size_mm, size_mm, size_mm, 1.0])
    affine[:3, 3] = -94, -102, -70
    return Measurement(
        signal=(signal + noise[0] + 1j * noise[1]).astype(np.complex64),
        protocol=Protocol("tiny", shape, (size_mm,) * 3, echo_times_s, 0.031, 15.0, 260.0),
        affine_lps_mm=affine,
        field_strength_t=FIELD_STRENGTH_T,
        center_frequency_hz=HZ_PER_PPM * 1e6,
        seed=7,
    )


@pytest.fixture(scope="session")
def vendor_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A usable scan as a vendor writes it: shared, so copy it before changing anything."""
    measurement = _head()
    folders: dict[str, Path] = {}

    def folder(vendor: str) -> Path:
        if vendor not in folders:
            folders[vendor] = tmp_path_factory.mktemp(vendor) / "dicom"
            VENDORS[vendor](measurement, folders[vendor])
        return folders[vendor]

    return folder


@pytest.fixture(scope="session")
def scan_of_ball() -> Callable[[tuple[float, ...]], MultiEchoScan]:
    """A noisy ball of water with a source in its middle, as measured at these echo times."""

    def scan(echo_times_s: tuple[float, ...]) -> MultiEchoScan:
        n = 32
        x, y, z = np.meshgrid(*[np.arange(n) - (n - 1) / 2] * 3, indexing="ij")
        r = np.sqrt(x**2 + y**2 + z**2)
        with np.errstate(divide="ignore", invalid="ignore"):
            field_ppm = np.where(r < 4, 0, 0.1 * (4 / r) ** 3 * (3 * (z / r) ** 2 - 1))
        frequency = center_frequency_hz(3.0)
        times = np.array(echo_times_s)[:, None, None, None]
        signal = np.where(r < 13, 100, 0) * np.exp(2j * np.pi * field_ppm * 1e-6 * frequency * times - 20 * times)
        rng = np.random.default_rng(5)
        signal = signal + rng.normal(size=signal.shape) + 1j * rng.normal(size=signal.shape)
        return MultiEchoScan(
            np.abs(signal).astype(np.float32),
            np.angle(signal).astype(np.float32),
            echo_times_s,
            frequency,
            Geometry((2.0, 2.0, 2.0), (0.0, 0.0, 1.0)),
        )

    return scan
