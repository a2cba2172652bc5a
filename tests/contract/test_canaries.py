"""The guard that looks for patient data sees it in every form, and what it looks for is in every text of a header."""

import base64
import urllib.parse

import pytest
from canaries_for_tests import DATE, NAME, WORD, FoundError, check, check_logs, infest, text_attributes
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import dcmwrite

PLAIN = f'{{"message": "the series of {NAME} is incomplete"}}'


@pytest.mark.parametrize(
    "text",
    [PLAIN, PLAIN.lower(), f"born {DATE}", "1947-03-13", urllib.parse.quote(PLAIN)]
    + [base64.b64encode(b"x" * before + PLAIN.encode()).decode() for before in range(7)],
)
def test_a_canary_is_seen(text):
    with pytest.raises(FoundError):
        check(text, "here")


@pytest.mark.parametrize("text", ["", "a clean line", "CAN ARY", base64.b64encode(b"a clean line").decode()])
def test_nothing_else_is(text):
    check(text, "here")


@pytest.mark.parametrize("name", ["operator.log", "log", "deep/er/termination-log", "stderr"])
def test_every_log_is_looked_through(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("nothing\n")
    (tmp_path / "scan.dcm").write_text(NAME)
    assert check_logs(tmp_path) == 1
    path.write_text(f"fine\nnot {WORD}\n")
    with pytest.raises(FoundError, match=path.name):
        check_logs(tmp_path)
    path.unlink()  # the end of the session looks here, too


def test_every_text_of_a_header_bears_one():
    ds = Dataset()
    ds.ProtocolName = "qsm_gre"
    infest(ds)
    assert ds.ProtocolName == "qsm_gre", "what a test decides by stays"
    file = DicomBytesIO()
    dcmwrite(file, ds, implicit_vr=False, little_endian=True)
    content = file.getvalue()
    attributes = list(text_attributes())
    assert len(attributes) > 200
    assert {"PatientName", "PatientID", "AccessionNumber", "StudyDescription", "OperatorsName"} <= dict(
        attributes
    ).keys()
    assert content.count(WORD.encode()) + content.count(DATE.encode()) >= len(attributes) - 1
