"""A tiny oblique measurement, and the way back through the real reader."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from qsm_acquisition import read_header, survey
from qsm_recon.dicom.read import LoadedScan, read_scan
from qsm_recon.simulation.measurement import Measurement
from qsm_recon.simulation.protocols import Protocol


def tiny_measurement(seed: int = 7) -> Measurement:
    """12 x 10 x 6 voxels, 3 echoes; nothing symmetric, so that a flip, a swap or a sign shows."""
    shape, size = (12, 10, 6), (4.0, 5.0, 11.0)
    echo_times_s = (0.00573, 0.01106, 0.01639)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    magnitude = 0.8 * np.exp(-((x - 0.1) ** 2 + (y + 0.2) ** 2 + 0.3 * z**2)) + 0.05 * (1 + x)
    te = np.asarray(echo_times_s)[:, None, None, None]
    field_rad_per_s = 300 * x + 190 * y * z + 120 * x**2 + 60 * z + 90
    signal = magnitude * np.exp(-30 * te) * np.exp(1j * (0.4 + 0.3 * y + field_rad_per_s * te))
    a, b = np.radians(12), np.radians(-7)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ about_y @ np.diag(size)
    affine[:3, 3] = -23.456789, -17.1, 5.25
    return Measurement(
        signal=signal.astype(np.complex64),
        protocol=Protocol("tiny", shape, size, echo_times_s, 0.031, 17.0, 260.0),
        affine_lps_mm=affine,
        field_strength_t=3.0,
        center_frequency_hz=127.7324e6,
        seed=seed,
    )


def load(folder: Path) -> LoadedScan:
    """The one acquisition in a folder, by the real survey and reader."""
    headers = [(str(f), h) for f in sorted(folder.iterdir()) if isinstance(h := read_header(f), Dataset)]
    found = survey(headers)
    assert found.refusals == ()
    (acquisition,) = found.acquisitions
    return read_scan(acquisition)


@pytest.fixture(scope="session")
def measurement() -> Measurement:
    return tiny_measurement()


@pytest.fixture(scope="session")
def make_measurement() -> Callable[..., Measurement]:
    return tiny_measurement


@pytest.fixture(scope="session")
def load_scan() -> Callable[[Path], LoadedScan]:
    return load
