"""Nothing that names a person leaves by any door but the DICOM results: a canary sits in every text of the input."""

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import nibabel as nib
import pydicom
import pytest
from canaries_for_tests import text_attributes
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from qsm_recon import __main__ as rim
from qsm_recon.dicom.inherit import MAY_EXIST, MUST_EXIST

NAMES = {
    "ISO_IR 100": "CANARY^Zoë",
    "ISO_IR 192": "CANARY^山田太郎",
    "ISO_IR 144": "CANARY^Люкceмбypг",
}
DATE, TIME, NUMBER = "19470313", "031415.926535", "271828"
FEW = (
    ("PatientName", "PN"), ("PatientID", "LO"), ("AccessionNumber", "SH"), ("StudyDate", "DA"), ("StudyID", "SH"),
    ("StudyDescription", "LO"), ("SeriesDescription", "LO"), ("ProtocolName", "LO"), ("InstitutionName", "LO"),
    ("ReferringPhysicianName", "PN"), ("ImageComments", "LT"),
)  # fmt: skip


def infest(ds: Dataset, charset: str, attributes: Iterable[tuple[str, str]]) -> None:
    """A canary into these attributes, and into private and nested places, of a header."""
    ds.SpecificCharacterSet = charset
    for keyword, vr in attributes:
        word = DATE if vr == "DA" else NAMES[charset] if vr == "PN" else f"CANARY{len(keyword)}"[:16]
        setattr(ds, keyword, word)
    ds.StudyTime = ds.SeriesTime = TIME
    ds.PatientAge = "077Y"
    ds.PatientWeight = NUMBER
    block = ds.private_block(0x0029, "CANARY CREATOR", create=True)
    block.add_new(0x10, "LO", "CANARY private")
    block.add_new(0x11, "PN", NAMES[charset])
    item = Dataset()
    item.PatientID = "CANARY nested"
    ds.OtherPatientIDsSequence = Sequence([item])
    ds.ReferencedPatientSequence = Sequence([Dataset()])


SIGNS = re.compile(rf"CANARY|Canary|canary|Zo.{{0,2}}\^|山田|Люк|{DATE}|1947-03-13|{TIME[:6]}|{NUMBER}")


def _place(folder: Path, source: Path, charset: str, attributes: Iterable[tuple[str, str]]) -> Path:
    """A usable scan of a CANARY, whose files and folders bear the name too."""
    folder.mkdir()
    attributes = tuple(attributes)
    for number, path in enumerate(sorted(source.iterdir())):
        ds = pydicom.dcmread(path)
        infest(ds, charset, attributes)
        ds.save_as(folder / f"CANARY_{number}.dcm")
    (folder / "CANARY report.pdf").write_bytes(b"%PDF CANARY")
    (folder / "CANARY cut.dcm").write_bytes(next(folder.glob("*.dcm")).read_bytes()[:1000])
    return folder


@pytest.fixture(params=list(NAMES))
def infested(request: pytest.FixtureRequest, vendor_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    """Every text attribute, in the one file of an enhanced scan."""
    return _place(tmp_path / "CANARY^ZOE", vendor_folder("philips-enhanced"), request.param, text_attributes())


@pytest.fixture(scope="module")
def _many_files(vendor_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many") / "CANARY^ZOE"
    return _place(folder, vendor_folder("philips"), "ISO_IR 192", FEW)


@pytest.fixture
def classic(_many_files: Path, tmp_path: Path) -> Path:
    """The attributes that name a person, in every file of a classic scan."""
    return Path(shutil.copytree(_many_files, tmp_path / "CANARY^ZOE"))


def clean(text: str, where: object) -> None:
    found = SIGNS.search(text)
    assert found is None, (where, text[max(0, found.start() - 60) : found.end() + 60] if found else "")


def test_a_run_tells_nothing(infested: Path, tmp_path: Path, recipe: str, capfd: pytest.CaptureFixture[str]) -> None:
    output, kept = tmp_path / "out", tmp_path / "kept"
    arguments = ["run", str(infested), "-o", str(output), "-r", recipe, "--nifti", "--json", "--store", str(kept)]
    assert rim.run(arguments) == 0
    out, err = capfd.readouterr()
    clean(out, "stdout")
    clean(err, "stderr")
    uids = {str(pydicom.dcmread(path, stop_before_pixels=True).SeriesInstanceUID) for path in output.rglob("*.dcm")}
    stored = [path for path in kept.rglob("*") if path.is_file()]
    assert len(stored) > 10
    for path in stored:
        clean(str(path.relative_to(kept)), "name in the store")
        text = path.read_bytes().decode("utf-8", "replace")
        clean(text, path.name)
        assert not any(uid in text for uid in uids), "a UID may be in the store as a hash only"
    dicom = 0
    for path in output.rglob("*"):
        clean(path.name, "file name")
        if path.suffix == ".dcm":
            dicom += 1
            _only_where_the_whitelist_allows(path)
        elif path.suffix == ".gz":
            header: Any = nib.load(path)
            clean(str(header.header), path.name)
            assert list(header.header.extensions) == []
        elif path.is_file():
            clean(path.read_bytes().decode("utf-8", "replace"), path.name)
    assert dicom > 0


def test_a_run_on_many_files_tells_nothing(
    classic: Path, tmp_path: Path, recipe: str, capfd: pytest.CaptureFixture[str]
) -> None:
    test_a_run_tells_nothing(classic, tmp_path, recipe, capfd)


def _only_where_the_whitelist_allows(path: Path) -> None:
    ds = pydicom.dcmread(path)
    assert ds.StudyDate == DATE, "the archive needs the study's own values"
    assert str(ds.PatientName) in NAMES.values()
    for element in ds:
        if element.keyword in MUST_EXIST or element.keyword in MAY_EXIST:
            continue
        assert not element.tag.is_private, element.tag
        if element.keyword not in {"PixelData", "SpecificCharacterSet"}:
            clean(str(element.value), element.keyword)


def test_inspect_tells_nothing(infested: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for how in ([], ["--json"]):
        assert rim.run(["inspect", str(infested), *how]) == 0
        out, err = capfd.readouterr()
        clean(out + err, how)


def _cut_pixels(folder: Path) -> None:
    for path in sorted(folder.glob("CANARY_*"))[:3]:
        path.write_bytes(path.read_bytes()[:-50])


def _without_phase(folder: Path) -> None:
    for path in folder.glob("CANARY_*"):
        if "P" in pydicom.dcmread(path, stop_before_pixels=True).ImageType:
            path.unlink()


def _missing(folder: Path) -> None:
    next(folder.glob("CANARY_*")).unlink()


def _illegal(folder: Path) -> None:
    for path in sorted(folder.glob("CANARY_*"))[:9]:
        ds = pydicom.dcmread(path)
        ds.EchoTime = None
        ds.save_as(path)


def _constant(folder: Path) -> None:
    for path in folder.glob("CANARY_*"):
        ds = pydicom.dcmread(path)
        ds.PixelData = bytes(len(ds.PixelData))
        ds.save_as(path)


def _gone(folder: Path) -> None:
    for path in list(folder.iterdir()):
        path.unlink()
    folder.rmdir()


@pytest.mark.parametrize("spoil", [_cut_pixels, _without_phase, _missing, _illegal, _constant, _gone])
@pytest.mark.parametrize("how", [[], ["--json", "--acquisition", "9"]])
def test_a_failure_tells_nothing(
    classic: Path,
    tmp_path: Path,
    recipe: str,
    spoil: Callable[[Path], None],
    how: list[str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    spoil(classic)
    assert rim.run(["run", str(classic), "-o", str(tmp_path / "out"), "-r", recipe, *how]) in {64, 65}
    out, err = capfd.readouterr()
    clean(out + err, how)


def test_a_defect_tells_nothing(
    classic: Path, tmp_path: Path, recipe: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Even where this program breaks: exceptions quote what they choke on."""

    def broken(acquisition: Any, **_: Any) -> None:
        ds = pydicom.dcmread(acquisition.sources[0])
        raise KeyError(f"{ds.PatientName} in {acquisition.sources[0]}")

    app = sys.modules["qsm_recon.app"]
    monkeypatch.setattr(app, "read_scan", broken)
    assert rim.run(["run", str(classic), "-o", str(tmp_path / "out"), "-r", recipe, "--json"]) == 70
    out, err = capfd.readouterr()
    clean(out + err, "defect")
    assert json.loads(out)["reason"] == "Internal"
