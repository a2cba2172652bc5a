"""Folders of real DICOM: what is found, what is refused, what is made."""

import json
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest

from qsm_recon import __main__ as rim
from qsm_recon import devices, survey
from qsm_recon.errors import DeviceError, InputError, UsageError
from qsm_recon.qsm import backend


@pytest.fixture
def philips(shared_data: Path) -> Path:
    return shared_data / "philips_ingenia_2echo_brain_classic" / "dicom"


def test_inspect_tells_and_ends_well(philips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rim.run(["inspect", str(philips), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["refused"] == []
    (one,) = found["usable"]
    assert one["matrix"] == [80, 80, 53]
    assert one["echo_times_s"] == pytest.approx([0.0023, 0.0046])
    assert rim.run(["inspect", str(philips)]) == 0
    assert "80 x 80 x 53" in capsys.readouterr().out


def test_inspect_survives_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_text("hello")
    (tmp_path / "cut.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x02\x00\x00\x00UL")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent")
    assert rim.run(["inspect", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["usable"] == []
    assert {refusal["reason"] for refusal in found["refused"]} <= {"Unreadable", "NotAnImage"}
    assert rim.run(["inspect", str(tmp_path)]) == 0


def test_an_empty_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    assert rim.run(["run", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--json"]) == 65
    assert json.loads(capsys.readouterr().out)["reason"] == "NoImages"
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("ge_architect_b0map_brain", "TooFewEchoes NoPhase FieldMapNotPhase AmbiguousImages"),
        ("siemens_xa30_enhanced_phantom", "PhaseDifferenceOnly"),
        ("philips_b0map_enhanced", "FieldMapNotPhase"),
    ],
)
def test_refusal_is_told_and_nothing_written(
    shared_data: Path, tmp_path: Path, folder: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", str(shared_data / folder / "dicom"), "-o", str(tmp_path / "out"), "--json", "--quiet"]
    assert rim.run(arguments) == 65
    told = json.loads(capsys.readouterr().out)
    assert told["reason"] in reason.split()
    assert told["refusals"]
    assert list(tmp_path.iterdir()) == []


def test_a_missing_slice_is_named_and_nothing_written(
    philips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in"
    shutil.copytree(philips, source)
    sorted(source.iterdir())[100].unlink()
    assert rim.run(["run", str(source), "-o", str(tmp_path / "out"), "--json", "--quiet"]) == 65
    told = json.loads(capsys.readouterr().out)
    assert told["reason"] == "Incomplete"
    assert "slice" in told["message"]
    assert not (tmp_path / "out").exists()


def test_several_acquisitions_must_be_named(philips: Path, tmp_path: Path) -> None:
    for copy in ("a", "b"):
        (tmp_path / copy).mkdir()
        for path in philips.iterdir():
            ds = pydicom.dcmread(path)
            for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
                setattr(ds, keyword, f"{getattr(ds, keyword)}.{ord(copy)}"[-64:].lstrip("."))
            ds.save_as(tmp_path / copy / path.name)
    found = survey.look(tmp_path)
    assert len(found.acquisitions) == 2
    with pytest.raises(UsageError, match="2 usable acquisitions"):
        survey.choose(found, "")
    assert survey.choose(found, "2") == (found.acquisitions[1],)
    assert survey.choose(found, "all") == found.acquisitions
    for wrong in ("0", "3", "-1", "x"):
        with pytest.raises(UsageError):
            survey.choose(found, wrong)


def test_nothing_usable_is_told_by_the_nearest_refusal(shared_data: Path) -> None:
    found = survey.look(shared_data / "siemens_misc_heudiconv" / "dicom")
    with pytest.raises(InputError) as caught:
        survey.choose(found, "")
    assert len(caught.value.details["refusals"]) == len(found.refusals)


def test_gpu_without_one_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "gpu_available", lambda: False)
    assert devices.choose("auto") == "cpu"
    with pytest.raises(DeviceError) as caught:
        devices.choose("gpu")
    assert caught.value.exit_code == 69


@pytest.mark.slow
def test_a_real_brain_from_end_to_end(philips: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / "one", tmp_path / "two"]
    for output in outputs:
        assert rim.run(["run", str(philips), "-o", str(output), "--nifti", "--quiet"]) == 0
    report = json.loads((outputs[0] / "report.json").read_text())
    assert 1000 < report["quality"]["mask_volume_ml"] < 1700
    identity = pydicom.dcmread(next(iter(philips.iterdir())), stop_before_pixels=True)
    words = (outputs[0] / "report.json").read_text() + (outputs[0] / "report.html").read_text()
    for keyword in ("PatientName", "PatientID", "StudyDate", "SeriesDescription", "InstitutionName", "AccessionNumber"):
        value = str(identity.get(keyword, ""))
        assert not value or value not in words, keyword
    first, second = (sorted((output / "dicom" / "chi").iterdir()) for output in outputs)
    assert len(first) == 53
    for one, other in zip(first, second, strict=True):
        a, b = pydicom.dcmread(one), pydicom.dcmread(other)
        assert a.SOPInstanceUID == b.SOPInstanceUID
        assert np.array_equal(a.pixel_array, b.pixel_array), "the same bits from run to run"
