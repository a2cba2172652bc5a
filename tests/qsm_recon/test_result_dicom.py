"""The DICOM that `run` writes of every vendor's scan: read by an independent reader, and the same each time."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from qsm_recon import __main__ as rim
from qsm_recon.simulation.vendors import VENDORS


@pytest.fixture
def run(vendor_folder: Callable[[str], Path], recipe: str, tmp_path: Path) -> Callable[..., Path]:
    """The output folder of one vendor's scan."""

    def make(vendor: str, name: str = "out") -> Path:
        output = tmp_path / name
        arguments = ["run", str(vendor_folder(vendor)), "-o", str(output), "-r", recipe]
        assert rim.run([*arguments, "--nifti", "--quiet"]) == 0
        return output

    return make


def series(folder: Path) -> list[Dataset]:
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


@pytest.mark.parametrize("vendor", list(VENDORS))
def test_any_reader_finds_the_map_where_it_was(
    run: Callable[..., Path], vendor_folder: Callable[[str], Path], vendor: str
) -> None:
    output = run(vendor)
    image = nib.load(output / "nifti" / "Chimap.nii.gz")
    chi_ppb = np.asarray(image.dataobj) * 1000
    found = series(output / "dicom" / "chi")
    assert len(found) == chi_ppb.shape[2]
    lps_to_ras = np.diag([-1.0, -1.0, 1.0])
    for index, ds in enumerate(found):
        # (row, column) = (y, x): a flip or a swap would show, the head is not symmetric in its field.
        np.testing.assert_allclose(ds.pixel_array.T, chi_ppb[:, :, index], atol=0.51)
        position = lps_to_ras @ np.array(ds.ImagePositionPatient, dtype=float)
        np.testing.assert_allclose(position, (image.affine @ [0, 0, index, 1])[:3], atol=1e-3)
    axes = lps_to_ras @ np.array(found[0].ImageOrientationPatient, dtype=float).reshape(2, 3).T
    np.testing.assert_allclose(axes * np.array(found[0].PixelSpacing, float)[::-1], image.affine[:3, :2], atol=1e-4)
    for keyword in ("SeriesInstanceUID", "WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept"):
        assert len({str(ds[keyword].value) for ds in found}) == 1, keyword
    assert (found[0].WindowCenter, found[0].WindowWidth) == (0, 400)
    source = pydicom.dcmread(next(vendor_folder(vendor).iterdir()), stop_before_pixels=True)
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert found[0][keyword].value == source[keyword].value
    assert found[0].SeriesInstanceUID != source.SeriesInstanceUID
    r2star = series(output / "dicom" / "r2star")
    assert len({ds.SOPInstanceUID for ds in found + r2star}) == 2 * len(found)


@pytest.mark.parametrize("vendor", ["ge", "philips-enhanced"])
def test_twice_is_the_same(run: Callable[..., Path], vendor: str) -> None:
    outputs = [run(vendor, name) for name in ("one", "two")]
    for kind in ("chi", "r2star"):
        for a, b in zip(*(series(output / "dicom" / kind) for output in outputs), strict=True):
            assert a.SOPInstanceUID == b.SOPInstanceUID
            assert a.SeriesInstanceUID == b.SeriesInstanceUID
            assert a.PixelData == b.PixelData
    for path in sorted((outputs[0] / "nifti").iterdir()):
        assert path.read_bytes() == (outputs[1] / "nifti" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("vendor", ["siemens", "philips-enhanced"])
def test_a_result_is_never_input(
    run: Callable[..., Path], vendor: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = run(vendor)
    assert rim.run(["run", str(output / "dicom"), "-o", str(tmp_path / "again"), "--quiet"]) == 65
    assert "OwnResult" in capsys.readouterr().err


@pytest.mark.e2e
@pytest.mark.parametrize("vendor", list(VENDORS))
def test_the_validator_has_no_error(run: Callable[..., Path], vendor: str) -> None:
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    for path in sorted((run(vendor) / "dicom").rglob("*.dcm"))[::7]:
        said = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
        assert "Error" not in said.stderr, said.stderr
        assert said.returncode == 0
