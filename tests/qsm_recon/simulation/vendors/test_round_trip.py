"""What a vendor's writer puts into files, the real reader takes out again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from qsm_recon.dicom.read import LoadedScan
from qsm_recon.simulation.measurement import Measurement
from qsm_recon.simulation.vendors import VENDORS

EXPECTED_WARNINGS = {"ge": {"SliceSignsAlternated"}}
FILES = {"siemens": 36, "siemens-xa": 6, "philips": 36, "philips-enhanced": 1, "ge": 54, "uih": 36}


@pytest.fixture(scope="module", params=sorted(VENDORS))
def vendor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(vendor: str, measurement: Measurement, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "made by the writer"
    assert VENDORS[vendor](measurement, path) == FILES[vendor]
    return path


@pytest.fixture(scope="module")
def loaded(folder: Path, load_scan: Callable[[Path], LoadedScan]) -> LoadedScan:
    return load_scan(folder)


def test_the_number_of_files_is_what_was_said(vendor: str, folder: Path) -> None:
    assert len(list(folder.iterdir())) == FILES[vendor]


def test_the_signal_comes_back(loaded: LoadedScan, measurement: Measurement) -> None:
    peak = np.abs(measurement.signal).max()
    truth = np.abs(measurement.signal)
    # One scale for all echoes: the brightest voxel fixes it.
    scale = loaded.scan.magnitude.max() / peak
    np.testing.assert_allclose(loaded.scan.magnitude / scale, truth, atol=peak * 0.6 / 4095)
    strong = truth > 0.02 * peak
    error = np.angle(np.exp(1j * (loaded.scan.phase_rad - np.angle(measurement.signal).astype(np.float64))))
    assert np.abs(error[strong]).max() < np.pi / 4096 * 1.02
    # The quantisation is even, so it must not lean to one side.
    assert abs(error[strong].mean()) < 2e-4


def test_geometry_echoes_and_frequency_come_back(loaded: LoadedScan, measurement: Measurement) -> None:
    np.testing.assert_allclose(loaded.grid.affine_lps_mm, measurement.affine_lps_mm, atol=1e-9)
    assert loaded.grid.shape == measurement.signal.shape[1:]
    np.testing.assert_allclose(loaded.scan.echo_times_s, measurement.protocol.echo_times_s, atol=1e-9)
    assert loaded.scan.center_frequency_hz == pytest.approx(measurement.center_frequency_hz, rel=1e-8)
    assert loaded.acquisition.field_strength_t == 3
    assert loaded.acquisition.is_3d


def test_only_expected_warnings(vendor: str, loaded: LoadedScan) -> None:
    assert {w.partition(":")[0] for w in loaded.warnings} == EXPECTED_WARNINGS.get(vendor, set())


def test_the_vendor_is_recognised(vendor: str, loaded: LoadedScan) -> None:
    assert loaded.acquisition.vendor == vendor.partition("-")[0]


def test_the_patient_is_marked_as_simulated(folder: Path) -> None:
    ds = dcmread(next(folder.iterdir()), stop_before_pixels=True)
    assert (ds.PatientName, ds.PatientID) == ("SIMULATED^HEAD", "SIM-7")


def test_the_same_simulation_is_the_same_bytes(
    vendor: str, folder: Path, make_measurement: Callable[..., Measurement], tmp_path: Path
) -> None:
    VENDORS[vendor](make_measurement(), tmp_path / "again")
    first = {f.name: f.read_bytes() for f in folder.iterdir()}
    assert {f.name: f.read_bytes() for f in (tmp_path / "again").iterdir()} == first


def test_another_seed_has_other_identities(vendor: str, folder: Path, measurement: Measurement, tmp_path: Path) -> None:
    VENDORS[vendor](replace(measurement, seed=8), tmp_path / "other")

    def uids(path: Path) -> set[str]:
        every = [dcmread(f, stop_before_pixels=True) for f in path.iterdir()]
        return {str(ds[k].value) for ds in every for k in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")}

    ours = uids(folder)
    assert not ours & uids(tmp_path / "other")
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in ours)


def test_the_order_of_files_is_not_that_of_the_images(folder: Path) -> None:
    files = sorted(folder.iterdir())
    if len(files) > 1:
        numbers = [(dcmread(f, stop_before_pixels=True).SeriesNumber, i) for i, f in enumerate(files)]
        instance = [(s, dcmread(files[i], stop_before_pixels=True).InstanceNumber) for s, i in numbers]
        assert instance != sorted(instance)


def test_progress_rises_to_one(vendor: str, measurement: Measurement, tmp_path: Path) -> None:
    seen: list[float] = []
    VENDORS[vendor](measurement, tmp_path / "watched", seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1


def test_a_measurement_without_signal_is_not_written(vendor: str, measurement: Measurement, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no finite signal"):
        VENDORS[vendor](replace(measurement, signal=np.zeros_like(measurement.signal)), tmp_path / "nothing")
