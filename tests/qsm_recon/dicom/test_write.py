import errno
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from qsm_recon.dicom import write
from qsm_recon.dicom.read import LoadedScan, read_scan
from qsm_recon.dicom.uids import RunIdentity
from qsm_recon.dicom.write import MapKind, WrittenSeries, quantise, series_description, series_number, write_series
from qsm_recon.errors import TransientError, UsageError

RUN = RunIdentity(recipe="medi0-v1", recipe_sha256="ab" * 32, code_version="0.1.0", derivation="PDF, MEDI. Zero: CSF.")


@pytest.fixture
def loaded(synthetic: Any, tmp_path: Path) -> LoadedScan:
    return read_scan(synthetic.write(tmp_path / "in"))


def chi_of(loaded: LoadedScan) -> NDArray[np.float32]:
    """A map without symmetry, in ppm."""
    return (np.random.default_rng(5).normal(size=loaded.grid.shape) * 0.1).astype(np.float32)


def read_back(written: WrittenSeries) -> list[Dataset]:
    return [dcmread(p) for p in written.paths]


def test_pixels_read_back_are_the_map_in_ppb(loaded: LoadedScan, tmp_path: Path) -> None:
    chi = chi_of(loaded)
    files = read_back(write_series(chi, MapKind.CHI, loaded, RUN, tmp_path / "out"))
    back = np.stack([f.pixel_array.T for f in files], axis=-1)
    np.testing.assert_array_equal(back, np.rint(chi.astype(np.float64) * 1000))
    for f in files:
        assert (f.RescaleSlope, f.RescaleIntercept) == (1, 0)
        (real_world,) = f.RealWorldValueMappingSequence
        assert (real_world.RealWorldValueSlope, real_world.RealWorldValueIntercept) == (1, 0)
        assert real_world.MeasurementUnitsCodeSequence[0].CodeValue == "[ppb]"
        assert real_world.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue == "126396"
        assert (f.WindowCenter, f.WindowWidth) == (0, 400)
        assert (f.SmallestImagePixelValue, f.LargestImagePixelValue) == (f.pixel_array.min(), f.pixel_array.max())


def test_r2star_keeps_a_tenth_per_second(loaded: LoadedScan, tmp_path: Path) -> None:
    r2star = np.abs(chi_of(loaded)) * 1000
    files = read_back(write_series(r2star, MapKind.R2STAR, loaded, RUN, tmp_path / "out"))
    back = np.stack([f.pixel_array.T * float(f.RescaleSlope) for f in files], axis=-1)
    np.testing.assert_allclose(back, r2star, atol=0.0501)
    (real_world,) = files[0].RealWorldValueMappingSequence
    assert real_world.RealWorldValueSlope == pytest.approx(float(files[0].RescaleSlope))
    assert real_world.MeasurementUnitsCodeSequence[0].CodeValue == "/s"


@pytest.mark.parametrize("iop", [(1, 0, 0, 0, 1, 0), (0.8, 0.6, 0, 0, 0, -1)], ids=["axial", "oblique-coronal"])
def test_written_positions_span_the_grid_of_the_source(synthetic: Any, tmp_path: Path, iop: tuple[float, ...]) -> None:
    synthetic.iop = tuple(float(v) for v in iop)
    loaded = read_scan(synthetic.write(tmp_path / "in"))
    files = read_back(write_series(chi_of(loaded), MapKind.CHI, loaded, RUN, tmp_path / "out"))
    for k, f in enumerate(files):
        source = dcmread(loaded.acquisition.cells[0, k, min(loaded.acquisition.components)].source)
        np.testing.assert_allclose(f.ImagePositionPatient, source.ImagePositionPatient, atol=1e-4)
        np.testing.assert_allclose(f.ImageOrientationPatient, source.ImageOrientationPatient, atol=1e-6)
        np.testing.assert_allclose(f.PixelSpacing, source.PixelSpacing)
        assert f.InstanceNumber == k + 1
    locations = [float(f.SliceLocation) for f in files]
    np.testing.assert_allclose(np.diff(locations), 2.0, atol=1e-6)


def test_every_source_image_of_a_slice_is_referenced(loaded: LoadedScan, tmp_path: Path) -> None:
    files = read_back(write_series(chi_of(loaded), MapKind.CHI, loaded, RUN, tmp_path / "out"))
    for k, f in enumerate(files):
        expected = {h.sop_instance_uid for cell, h in loaded.acquisition.cells.items() if cell[1] == k}
        assert len(expected) == 6
        assert {i.ReferencedSOPInstanceUID for i in f.SourceImageSequence} == expected
        assert {i.PurposeOfReferenceCodeSequence[0].CodeValue for i in f.SourceImageSequence} == {"121322"}
        (series,) = f.ReferencedSeriesSequence
        assert {i.ReferencedSOPInstanceUID for i in series.ReferencedInstanceSequence} == expected


def test_frames_of_an_enhanced_source_are_referenced_by_number(synthetic: Any, tmp_path: Path) -> None:
    loaded = read_scan(synthetic.write_enhanced(tmp_path / "e.dcm"))
    files = read_back(write_series(chi_of(loaded), MapKind.CHI, loaded, RUN, tmp_path / "out"))
    for k, f in enumerate(files):
        (item,) = f.SourceImageSequence
        expected = sorted(h.frame_index + 1 for cell, h in loaded.acquisition.cells.items() if cell[1] == k)
        assert list(item.ReferencedFrameNumber) == expected
        assert f.RepetitionTime == 40
        assert f.ScanningSequence == "GR"


def uids(written: WrittenSeries) -> list[str]:
    return [written.series_instance_uid, *(str(dcmread(p).SOPInstanceUID) for p in written.paths)]


def test_uids_are_a_function_of_input_recipe_and_version(loaded: LoadedScan, tmp_path: Path) -> None:
    chi = chi_of(loaded)
    first = uids(write_series(chi, MapKind.CHI, loaded, RUN, tmp_path / "a"))
    later = datetime(2031, 1, 1, tzinfo=UTC)
    assert uids(write_series(chi, MapKind.CHI, loaded, RUN, tmp_path / "b", now=later)) == first
    assert len(set(first)) == len(first) == 7
    assert all(len(uid) <= 64 for uid in first)
    changes = [
        (MapKind.CHI, loaded, replace(RUN, code_version="0.1.1")),
        (MapKind.CHI, loaded, replace(RUN, recipe_sha256="cd" * 32)),
        (MapKind.R2STAR, loaded, RUN),
        (MapKind.CHI, replace(loaded, manifest_sha256="00"), RUN),
    ]
    for n, (kind, scan, run) in enumerate(changes):
        assert not set(uids(write_series(chi, kind, scan, run, tmp_path / str(n)))) & set(first)


def test_the_header_is_a_whitelist(synthetic: Any, tmp_path: Path) -> None:
    acquisition = synthetic.write(tmp_path / "in")
    first = next(iter(acquisition.cells.values())).source
    ds = dcmread(first)
    ds.private_block(0x0029, "VENDOR", create=True).add_new(0x10, "LO", "secret")
    ds.IconImageSequence, ds.LossyImageCompression, ds.WindowCenter = [], "00", 4000
    ds.save_as(first)
    loaded = read_scan(acquisition)
    out = read_back(write_series(chi_of(loaded), MapKind.CHI, loaded, RUN, tmp_path / "out"))[0]
    assert not [e for e in out if e.tag.is_private]
    assert "IconImageSequence" not in out
    assert "LossyImageCompression" not in out
    assert out.EchoTime is None
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "StudyID", "AccessionNumber", "Modality"):
        assert out[keyword].value == ds[keyword].value
    assert out.SeriesInstanceUID != ds.SeriesInstanceUID
    assert list(out.ImageType[:3]) == ["DERIVED", "PRIMARY", "QSM"]
    assert "sha256 " + RUN.recipe_sha256 in out.DerivationDescription
    (equipment,) = out.ContributingEquipmentSequence
    assert (equipment.Manufacturer, equipment.ManufacturerModelName) == ("qsm-operator", "qsm-recon")


@pytest.mark.filterwarnings("ignore:Invalid value for VR", "ignore:The value length")
def test_illegal_values_are_left_out_but_never_the_identity(loaded: LoadedScan, tmp_path: Path) -> None:
    loaded.template.PatientBirthDate = loaded.template.StudyDate = "***"
    loaded.template.PatientAge, loaded.template.PatientSex = "***", "X"
    loaded.template.PatientID = "P" * 70
    loaded.template.SeriesNumber = None
    out = read_back(write_series(chi_of(loaded), MapKind.CHI, loaded, RUN, tmp_path / "out"))[0]
    assert out.PatientBirthDate == out.StudyDate == out.PatientSex == ""
    assert "PatientAge" not in out
    assert out.PatientID == "P" * 70
    assert out.SeriesNumber == 77


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jörg"),
        ("ISO_IR 192", "Ωmega^Ж"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("GB18030", "王^小东"),
    ],
    ids=["latin1", "utf8", "japanese", "chinese"],
)
def test_names_survive_in_their_character_set(synthetic: Any, tmp_path: Path, charset: Any, name: str) -> None:
    synthetic.charset, synthetic.patient = charset, name
    loaded = read_scan(synthetic.write(tmp_path / "in"))
    out = read_back(write_series(chi_of(loaded), MapKind.CHI, loaded, RUN, tmp_path / "out"))[0]
    assert str(out.PatientName) == name
    assert out.SpecificCharacterSet == charset


def test_a_long_name_is_cut_and_the_warning_stays() -> None:
    text = series_description(MapKind.CHI, replace(RUN, recipe="r" * 99))
    assert len(text) == 64
    assert text.endswith(" v0.1.0 (ppb) RESEARCH")
    assert series_description(MapKind.CHI, RUN) == "QSM medi0-v1 v0.1.0 (ppb) RESEARCH"
    assert series_description(MapKind.R2STAR, replace(RUN, research=False)) == "R2* medi0-v1 v0.1.0 (/s)"


@pytest.mark.parametrize("source", [None, 0, 6, 2001, 2**31 - 1, -5])
def test_series_numbers_are_legal_and_new(source: int | None) -> None:
    numbers = {series_number(source, kind) for kind in MapKind}
    assert len(numbers) == 2
    assert source not in numbers
    assert all(0 < n <= 2**31 - 1 for n in numbers)


def test_clipping_is_counted_and_nonsense_refused(loaded: LoadedScan, tmp_path: Path) -> None:
    chi = chi_of(loaded)
    chi[0, 0, 0], chi[1, 0, 0], chi[2, 0, 0] = 40, -40, 32.767
    assert write_series(chi, MapKind.CHI, loaded, RUN, tmp_path / "out").clipped_voxels == 2
    assert quantise(chi, MapKind.CHI)[0][:3, 0, 0].tolist() == [32767, -32768, 32767]
    chi[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="finite"):
        write_series(chi, MapKind.CHI, loaded, RUN, tmp_path / "nan")
    with pytest.raises(ValueError, match="scan"):
        write_series(chi[1:], MapKind.CHI, loaded, RUN, tmp_path / "shape")


def test_nothing_is_overwritten_and_a_full_disk_can_be_tried_again(
    loaded: LoadedScan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chi = chi_of(loaded)
    write_series(chi, MapKind.CHI, loaded, RUN, tmp_path / "out")
    with pytest.raises(UsageError):
        write_series(chi, MapKind.CHI, loaded, RUN, tmp_path / "out")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(write, "_save", full)
    with pytest.raises(TransientError) as caught:
        write_series(chi, MapKind.CHI, loaded, RUN, tmp_path / "full")
    assert caught.value.reason == "DiskFull"
