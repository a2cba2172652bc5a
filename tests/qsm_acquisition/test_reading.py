"""Files: whatever their content, a header or a refusal, never an exception and never a warning."""

import copy
import io
import os

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom import dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from qsm_acquisition import Reason, Refusal, read_header, survey

LITTLE = ExplicitVRLittleEndian


def _bytes(scans, syntax=LITTLE, *, preamble: bool = True) -> bytes:
    _, header = scans.ge(letters="R")[0]
    ds = copy.deepcopy(header)
    ds.PixelData = bytes(160)
    ds["PixelData"].VR = "OW"
    buffer = io.BytesIO()
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    if not preamble:
        ds.save_as(buffer, implicit_vr=implicit, little_endian=little)
        return buffer.getvalue()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    dcmwrite(buffer, ds, implicit_vr=implicit, little_endian=little, enforce_file_format=True)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def whole_file(scans) -> bytes:
    return _bytes(scans)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("files") / "one"


def _read(path, content: bytes):
    path.write_bytes(content)
    return read_header(path)


@pytest.mark.parametrize("preamble", [True, False])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_every_encoding_with_and_without_preamble(scans, tmp_path, syntax, preamble) -> None:
    header = _read(tmp_path / "x.MRDC.17", _bytes(scans, syntax, preamble=preamble))
    assert not isinstance(header, Refusal), header.message
    (refusal,) = survey([("x", header)]).refusals
    assert refusal.reason is Reason.INCOMPLETE_COMPLEX  # so the private code was understood
    assert "PixelData" not in header


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", Reason.UNREADABLE),
        (b"\x00" * 4096, Reason.NOT_AN_IMAGE),
        (b"# Read me\n\nnot a scan\n" * 50, Reason.NOT_AN_IMAGE),
        (b"\x00" * 128 + b"DICM", Reason.UNREADABLE),
        (b"\x00" * 128 + b"DICM" + b"\xff" * 64, Reason.UNREADABLE),
    ],
)
def test_files_that_are_no_scan(tmp_path, content, reason) -> None:
    found = _read(tmp_path / "x", content)
    assert isinstance(found, Refusal)
    assert found.reason is reason
    assert found.instance_count == 1


def test_folder_and_absent_file(tmp_path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        found = read_header(path)
        assert isinstance(found, Refusal)
        assert found.reason is Reason.UNREADABLE
        assert str(tmp_path) not in found.message


def test_pipe_is_not_waited_for(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert isinstance(read_header(tmp_path / "pipe"), Refusal)


def test_a_file_cut_anywhere_is_refused(whole_file, scratch) -> None:
    for length in range(1, len(whole_file), 7):
        found = _read(scratch, whole_file[:length])
        assert isinstance(found, Refusal), length
        assert found.reason in (Reason.UNREADABLE, Reason.NOT_AN_IMAGE)


@settings(max_examples=150)
@given(st.binary(max_size=400), st.sampled_from([b"", b"\0" * 128 + b"DICM", b"\x08\x00\x05\x00"]))
@example(b"\x08\x00\x16\x00SQ\x00\x00\xff\xff\xff\xff", b"\0" * 128 + b"DICM")
def test_garbage_never_raises(scratch, garbage, start) -> None:
    found = _read(scratch, start + garbage)
    if not isinstance(found, Refusal):
        survey([("x", found)])


@settings(max_examples=150)
@given(st.data())
def test_damaged_file_never_raises(whole_file, scratch, data) -> None:
    content = bytearray(whole_file)
    for place in data.draw(st.lists(st.integers(132, len(content) - 1), min_size=1, max_size=12)):
        content[place] = data.draw(st.integers(0, 255))
    found = _read(scratch, bytes(content))
    if not isinstance(found, Refusal):
        result = survey([("x", found)])
        assert sum(refusal.instance_count for refusal in result.refusals) == 1


@pytest.mark.parametrize("keyword", ["StudyDate", "AcquisitionTime", "PatientBirthDate", "EchoTime", "InstanceNumber"])
def test_illegal_values_neither_raise_nor_warn(scans, scratch, keyword) -> None:
    _, header = scans.philips()[0]
    ds = copy.deepcopy(header)
    setattr(ds, keyword, None)
    ds.PixelData = bytes(160)
    ds["PixelData"].VR = "OW"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = LITTLE
    element = ds[keyword]
    element.VR = "LO"
    element.value = "*** no such value, longer than sixteen ***"
    buffer = io.BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    content = buffer.getvalue()
    tag = element.tag.group.to_bytes(2, "little") + element.tag.element.to_bytes(2, "little")
    vr = {"StudyDate": b"DA", "PatientBirthDate": b"DA", "AcquisitionTime": b"TM", "EchoTime": b"DS"}.get(
        keyword, b"IS"
    )
    found = _read(scratch, content.replace(tag + b"LO", tag + vr))
    assert not isinstance(found, Refusal)
    (refusal,) = survey([("x", found)]).refusals
    assert "***" not in refusal.message
