"""Every kind of bad DICOM, through the real command line: one line, a reason, an exit code, and nothing written."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from qsm_recon import __main__ as rim
from qsm_recon.qsm import backend
from qsm_recon.report.schema import Report

FAST = (Path(__file__).parent / "quick.yaml").read_text(encoding="utf-8")


@pytest.fixture
def scan(vendor_folder: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A scan of one's own to spoil."""

    def copy(vendor: str) -> Path:
        return Path(shutil.copytree(vendor_folder(vendor), tmp_path / "in"))

    return copy


@pytest.fixture
def refused(tmp_path: Path, recipe: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run on a folder that must be refused; what was told, after checking how it was told."""

    def run(source: Path, code: int = 65, *more: str) -> dict[str, Any]:
        before = sorted(tmp_path.rglob("*"))
        arguments = ["run", str(source), "-o", str(tmp_path / "deep" / "out"), "-r", recipe, "--json", "--quiet", *more]
        assert rim.run(arguments) == code
        out, err = capsys.readouterr()
        told: dict[str, Any] = json.loads(out)
        assert told["exit_code"] == code
        assert err.count("\n") == 1
        assert err.startswith(f"qsm-recon: {told['reason']}: ")
        assert str(source) not in err + out
        assert sorted(tmp_path.rglob("*")) == before, "nothing was left, hidden or not"
        return told

    return run


@pytest.fixture
def made(tmp_path: Path, recipe: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run on a folder that must give a map; its report."""

    def run(source: Path) -> dict[str, Any]:
        output = tmp_path / "out"
        assert rim.run(["run", str(source), "-o", str(output), "-r", recipe, "--quiet"]) == 0, capsys.readouterr().err
        text = (output / "report.json").read_text(encoding="utf-8")
        Report.model_validate_json(text)
        report: dict[str, Any] = json.loads(text)
        return report

    return run


def images(folder: Path) -> Iterator[tuple[Path, Dataset]]:
    for path in sorted(folder.iterdir()):
        yield path, pydicom.dcmread(path)


def change(
    folder: Path, touch: Callable[[Dataset], object], *, only: Callable[[Dataset], bool] = lambda _: True
) -> int:
    """Change the images that `only` picks; remove those of which `touch` returns 'remove'. How many there were."""
    count = 0
    for path, ds in images(folder):
        if only(ds):
            count += 1
            if touch(ds) == "remove":
                path.unlink()
            else:
                ds.save_as(path)
    assert count, "the test changed nothing"
    return count


def put(**elements: Any) -> Callable[[Dataset], None]:
    def touch(ds: Dataset) -> None:
        for keyword, value in elements.items():
            setattr(ds, keyword, value)

    return touch


def remove(_: Dataset) -> str:
    return "remove"


def is_phase(ds: Dataset) -> bool:
    return "P" in ds.ImageType


def is_slice(number: int) -> Callable[[Dataset], bool]:
    """Slice by number from 1, of the coarse head: z from -70 mm in steps of 4 mm."""
    return lambda ds: round((ds.ImagePositionPatient[2] + 70) / 4) + 1 == number


# --- what is no QSM scan


def no_phase(folder: Path) -> None:
    change(folder, remove, only=is_phase)


def phase_difference(folder: Path) -> None:
    change(folder, remove, only=lambda ds: ds.EchoNumbers == 3)
    change(folder, remove, only=lambda ds: is_phase(ds) and ds.EchoNumbers == 1)


def field_map_hz(folder: Path) -> None:
    change(folder, put(ImageType=["ORIGINAL", "PRIMARY", "B0 MAP", "R", "FFE"], RescaleType="Hz"), only=is_phase)


def swi(folder: Path) -> None:
    change(folder, put(ImageType=["ORIGINAL", "PRIMARY", "P", "SWI"]), only=is_phase)


def echo_planar(folder: Path) -> None:
    change(folder, put(ScanningSequence="EP"))


def diffusion(folder: Path) -> None:
    change(folder, put(DiffusionBValue=1000.0, ScanningSequence=["SE", "EP"]))


def inversion_prepared(folder: Path) -> None:
    change(folder, put(ScanningSequence=["GR", "IR"], SequenceVariant=["SP", "MP"]))


def localizer(folder: Path) -> None:
    change(folder, put(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER", "M"]))


def one_slice(folder: Path) -> None:
    change(folder, remove, only=lambda ds: not is_slice(18)(ds))


def one_echo(folder: Path) -> None:
    change(folder, remove, only=lambda ds: ds.EchoNumbers > 1)


def coils(folder: Path) -> None:
    for path, ds in list(images(folder)):
        for coil in ("H1", "H2"):
            ds[0x0051, 0x100F].value = coil
            ds.SOPInstanceUID = generate_uid(entropy_srcs=[path.name, coil])
            ds.save_as(folder / f"{path.stem}{coil}")
        path.unlink()


def turned(folder: Path) -> None:
    change(folder, put(ImageOrientationPatient=[1, 0, 0, 0, 0, -1]), only=is_slice(9))


def lossy(folder: Path) -> None:
    change(folder, put(LossyImageCompression="01"))


def other_vendor(folder: Path) -> None:
    change(folder, put(Manufacturer="TOSHIBA"))


def derived(folder: Path) -> None:
    change(folder, put(ImageType=["DERIVED", "PRIMARY", "MPR", "M"]))


def broken_echo_time(folder: Path) -> None:
    change(folder, lambda ds: ds["EchoTime"].__dict__.update(_value="soon"), only=is_slice(3))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (no_phase, "NoPhase"),
        (phase_difference, "PhaseDifferenceOnly"),
        (swi, "FilteredPhase"),
        (echo_planar, "NotGradientEcho"),
        (diffusion, "NotGradientEcho"),
        (inversion_prepared, "NotGradientEcho"),
        (localizer, "Localizer"),
        (one_slice, "TooFewSlices"),
        (one_echo, "TooFewEchoes"),
        (coils, "UncombinedCoils"),
        (turned, "InconsistentGeometry"),
        (lossy, "LossyCompression"),
        (other_vendor, "VendorUnsupported"),
        (derived, "Derived"),
    ],
)
def test_no_qsm_scan(
    scan: Callable[[str], Path], refused: Callable[..., dict[str, Any]], spoil: Callable[[Path], None], reason: str
) -> None:
    folder = scan("siemens")
    spoil(folder)
    assert refused(folder)["reason"] == reason


def test_field_map_in_hz(scan: Callable[[str], Path], refused: Callable[..., dict[str, Any]]) -> None:
    folder = scan("philips")
    field_map_hz(folder)
    assert refused(folder)["reason"] == "FieldMapNotPhase"


# --- holes are named


@pytest.mark.parametrize(
    ("only", "words"),
    [
        (lambda ds: is_phase(ds) and ds.EchoNumbers == 3 and is_slice(17)(ds), ["echo 3, slice 17, phase"]),
        (lambda ds: not is_phase(ds) and ds.EchoNumbers == 2, ["echo 2", "magnitude"]),
        (is_slice(20), ["slice 20"]),
    ],
)
def test_a_hole_is_named(
    scan: Callable[[str], Path],
    refused: Callable[..., dict[str, Any]],
    only: Callable[[Dataset], bool],
    words: list[str],
) -> None:
    folder = scan("siemens")
    change(folder, remove, only=only)
    told = refused(folder)
    assert told["reason"] == "Incomplete"
    assert all(word in told["message"] for word in words)


def test_a_hole_in_frames_is_named(scan: Callable[[str], Path], refused: Callable[..., dict[str, Any]]) -> None:
    folder = scan("philips-enhanced")
    (path,) = folder.iterdir()
    ds = pydicom.dcmread(path)
    frame = len(ds.PixelData) // int(ds.NumberOfFrames)
    del ds.PerFrameFunctionalGroupsSequence[5]
    ds.PixelData = ds.PixelData[: 5 * frame] + ds.PixelData[6 * frame :]
    ds.NumberOfFrames = int(ds.NumberOfFrames) - 1
    ds.save_as(path)
    told = refused(folder)
    assert told["reason"] == "Incomplete"
    assert "echo" in told["message"]


# --- duplicates


def test_identical_repeats_are_tolerated_and_said(
    scan: Callable[[str], Path], made: Callable[..., dict[str, Any]]
) -> None:
    folder = scan("siemens")
    for path in sorted(folder.iterdir())[:5]:
        shutil.copy(path, folder / f"again {path.name}")
    assert "DuplicateImages" in {warning["code"] for warning in made(folder)["warnings"]}


@pytest.mark.parametrize("new_uid", [False, True])
def test_conflicting_repeats_are_refused(
    scan: Callable[[str], Path], refused: Callable[..., dict[str, Any]], *, new_uid: bool
) -> None:
    folder = scan("siemens")
    path = next(path for path, ds in images(folder) if is_phase(ds) and is_slice(18)(ds))
    ds = pydicom.dcmread(path)
    ds.PixelData = np.roll(ds.pixel_array, 1).tobytes()
    if new_uid:
        ds.SOPInstanceUID = generate_uid(entropy_srcs=["other"])
    ds.save_as(folder / "other")
    told = refused(folder)
    assert told["reason"] == "AmbiguousImages"
    assert "slice 18, phase" in told["message"]


# --- pixels


@pytest.mark.parametrize("vendor", ["siemens", "philips"])
def test_a_constant_volume_is_refused(
    scan: Callable[[str], Path], refused: Callable[..., dict[str, Any]], vendor: str
) -> None:
    folder = scan(vendor)
    change(folder, lambda ds: put(PixelData=bytes(len(ds.PixelData)))(ds), only=lambda ds: ds.EchoNumbers == 2)
    told = refused(folder)
    assert told["reason"] == "ConstantPixels"
    assert "echo 2" in told["message"]


def test_values_that_are_no_numbers_are_refused(
    scan: Callable[[str], Path], refused: Callable[..., dict[str, Any]]
) -> None:
    folder = scan("philips")
    _bytes_replaced(folder, b"DS\x10\x001.53455433455433", b"DS\x10\x00nan             ")
    told = refused(folder)
    assert told["reason"] == "InvalidAttribute"
    assert "escale" in told["message"]


# --- files that are none


def test_junk_among_good_files_is_left_out_and_said(
    scan: Callable[[str], Path], made: Callable[..., dict[str, Any]]
) -> None:
    folder = scan("siemens")
    (folder / "empty.dcm").write_bytes(b"")
    (folder / "DOE^JANE.txt").write_text("notes")
    (folder / "random").write_bytes(bytes(range(256)) * 9)
    (folder / "cut.dcm").write_bytes(next(folder.glob("*.IMA")).read_bytes()[:900])
    (folder / "preamble").write_bytes(bytes(128) + b"DICM")
    os.mkfifo(folder / "pipe")
    report = made(folder)
    (said,) = [warning["message"] for warning in report["warnings"] if warning["code"] == "FilesLeftOut"]
    assert "6 files" in said
    assert "JANE" not in json.dumps(report)


@pytest.mark.parametrize("size", [0, 500, -100])
def test_a_cut_file_that_matters_is_a_hole(
    scan: Callable[[str], Path], refused: Callable[..., dict[str, Any]], size: int
) -> None:
    folder = scan("siemens")
    path = sorted(folder.iterdir())[7]
    content = path.read_bytes()
    path.write_bytes(content[:size])
    told = refused(folder)
    assert told["reason"] == "Incomplete"
    assert "Unreadable" in told["message"]


def test_only_junk(tmp_path: Path, refused: Callable[..., dict[str, Any]]) -> None:
    (tmp_path / "in").mkdir()
    assert refused(tmp_path / "in")["reason"] == "NoImages"
    (tmp_path / "in" / "a").write_bytes(b"")
    (tmp_path / "in" / "b").write_text("hello")
    assert refused(tmp_path / "in")["reason"] in {"Unreadable", "NotAnImage"}


# --- values that break their VR


def _bytes_replaced(folder: Path, old: bytes, new: bytes) -> None:
    assert len(old) == len(new)
    changed = 0
    for path in folder.iterdir():
        content = path.read_bytes()
        changed += old in content
        path.write_bytes(content.replace(old, new))
    assert changed


def test_an_illegal_value_that_matters_is_named(
    scan: Callable[[str], Path], refused: Callable[..., dict[str, Any]]
) -> None:
    folder = scan("siemens")
    _bytes_replaced(folder, b"\x18\x00\x81\x00DS\x02\x009 ", b"\x18\x00\x81\x00DS\x02\x00?!")
    told = refused(folder)
    assert told["reason"] == "InvalidAttribute"
    assert "EchoTime" in told["message"]


def test_an_illegal_value_that_does_not_matter_is_left_out(
    scan: Callable[[str], Path], made: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    folder = scan("siemens")
    _bytes_replaced(folder, b"19800106", b"********")
    made(folder)
    result = pydicom.dcmread(next((tmp_path / "out" / "dicom" / "chi").iterdir()))
    assert result.PatientBirthDate == ""


# --- the place of the output, the recipe, the device


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_an_output_that_exists_is_left_as_it_is(
    vendor_folder: Callable[[str], Path], tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    if kind == "folder":
        output.mkdir()
        (output / "mine").write_text("mine")
    elif kind == "file":
        output.write_text("mine")
    else:
        output.symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))
    assert rim.run(["run", str(vendor_folder("siemens")), "-o", str(output), "--json"]) == 64
    told = json.loads(capsys.readouterr().out)
    assert told["reason"] == "OutputExists"
    assert sorted(tmp_path.rglob("*")) == before


def test_an_output_below_a_file_cannot_be_written(
    vendor_folder: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert rim.run(["run", str(vendor_folder("siemens")), "-o", str(tmp_path / "file" / "out"), "--json"]) == 64
    assert json.loads(capsys.readouterr().out)["reason"] == "OutputNotWritable"


def test_a_missing_input_is_wrong_usage(tmp_path: Path, refused: Callable[..., dict[str, Any]]) -> None:
    told = refused(tmp_path / "DOE^JANE", 64)
    assert told["reason"] == "Usage"
    assert "DICOM_DIR" in told["message"]
    assert "JANE" not in told["message"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("", "mapping"),
        ("[1, 2]", "mapping"),
        (FAST.replace("version: 1", "version: one"), "version"),
        (FAST.replace("version: 1", "version: 1\nversion: 2"), "twice"),
        (FAST.replace("{method: tkd}", "{method: tdk}"), "inversion"),
        (FAST.replace("{method: tkd}", "{method: tkd, treshold: 0.2}"), "treshold"),
        (FAST.replace("{method: tkd}", "{method: tkd, threshold: -1}"), "threshold"),
        (FAST.replace("{method: tkd}", "{method: tkd, threshold: .nan}"), "threshold"),
        (FAST.replace("{method: tkd}", "{method: tkd, threshold: '0.2'}"), "threshold"),
        (FAST.replace("{method: tkd}", "&a {method: tkd}"), "anchors"),
        (FAST.replace("inversion: {method: tkd}\n", ""), "inversion"),
        (FAST + "magic: {on: true}\n", "magic"),
        ("a: [", "line"),
        ("a: \x00", ""),
    ],
)
def test_a_wrong_recipe_names_what_is_wrong(
    vendor_folder: Callable[[str], Path], tmp_path: Path, wrong: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(wrong, encoding="utf-8")
    arguments = ["run", str(vendor_folder("siemens")), "-o", str(tmp_path / "out"), "-r", str(path), "--json"]
    assert rim.run(arguments) == 78
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["reason"] == "InvalidRecipe"
    assert words in told["message"]
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("recipe_name", ["no-such", "/no/such.yaml", "."])
def test_a_recipe_that_is_not_there(
    vendor_folder: Callable[[str], Path], tmp_path: Path, recipe_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", str(vendor_folder("siemens")), "-o", str(tmp_path / "out"), "-r", recipe_name, "--json"]
    assert rim.run(arguments) == 78
    assert capsys.readouterr().err.count("\n") == 1


def test_a_gpu_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, vendor_folder: Callable[[str], Path], refused: Callable[..., dict[str, Any]]
) -> None:
    monkeypatch.setattr(backend, "gpu_available", lambda: False)
    assert refused(vendor_folder("siemens"), 69, "--backend", "gpu")["reason"] == "DeviceUnavailable"


@pytest.mark.parametrize("wanted", ["0", "2", "-1", "x", "1.0", "²"])
def test_an_acquisition_that_is_not_there(
    vendor_folder: Callable[[str], Path], refused: Callable[..., dict[str, Any]], wanted: str
) -> None:
    told = refused(vendor_folder("siemens"), 64, "--acquisition", wanted)
    assert "--acquisition" in told["message"]


def test_several_acquisitions_and_no_choice(
    vendor_folder: Callable[[str], Path], tmp_path: Path, refused: Callable[..., dict[str, Any]]
) -> None:
    for vendor in ("siemens", "ge"):
        shutil.copytree(vendor_folder(vendor), tmp_path / "in" / vendor)
    told = refused(tmp_path / "in", 64)
    assert "2 usable acquisitions" in told["message"]
    assert "--acquisition" in told["message"]


# --- the machine


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 300 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_can_be_tried_again_and_leaves_nothing(
    small_disk: Path, vendor_folder: Callable[[str], Path], recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = small_disk / "deep" / "out"
    code = rim.run(["run", str(vendor_folder("siemens")), "-o", str(output), "-r", recipe, "--json", "--quiet"])
    out, err = capsys.readouterr()
    assert code == 75
    assert json.loads(out)["reason"] == "DiskFull"
    assert err.count("\n") == 1
    assert list(small_disk.iterdir()) == []


@pytest.mark.usefixtures("heard_signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("stage", ["Reading images", "Finding the brain"])
def test_a_signal_in_the_middle_leaves_nothing(
    vendor_folder: Callable[[str], Path], tmp_path: Path, stage: str, number: signal.Signals, code: int
) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "qsm_recon", "run", str(vendor_folder("siemens")), "-o", str(tmp_path / "a" / "o")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        while stage not in process.stderr.readline():
            assert process.poll() is None
        time.sleep(0.02)  # into the stage that follows
        process.send_signal(number)
        rest = process.stderr.read()
        assert process.wait(60) == code
    assert rest.splitlines()[-1] == f"qsm-recon: stopped by signal {int(number)}; nothing was written"
    assert list(tmp_path.iterdir()) == []
