"""Series come whole, each image the one it should be, or not at all."""

import hashlib
import threading
import time

import pytest
from misbehaving_http import as_json, cut, dripping, hang_up, late, page, text

from qsm_recon.errors import ReconError
from qsm_recon.transfer.orthanc import fetch
from qsm_recon.transfer.orthanc.door import Door
from qsm_recon.transfer.orthanc.series import fingerprint

SERIES = "1.2.3"


def dicom(uid: str, size: int = 3000) -> bytes:
    """Enough of a DICOM file: preamble, prefix, heading; then whatever."""
    version = b"\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01"
    value = uid.encode() + b"\0" * (len(uid) % 2)
    stated = b"\x02\x00\x03\x00UI" + len(value).to_bytes(2, "little") + value
    start = b"\0" * 128 + b"DICM" + version + stated
    return start + b"\x5a" * (size - len(start))


@pytest.fixture
def orthanc(server):
    """Three images in one series; change `server.answers` to make it misbehave."""
    uids = {f"i{n}": f"1.2.3.{n}" for n in range(3)}
    server.answers = {
        f"/instances/{name}/": [text(200, dicom(uid), "application/dicom")] for name, uid in uids.items()
    } | {
        "/tools/lookup": [as_json([{"ID": "s", "Type": "Series"}, {"ID": "x", "Type": "Study"}])],
        "/series/s/instances": [
            as_json([{"ID": n, "FileSize": 3000, "MainDicomTags": {"SOPInstanceUID": u}} for n, u in uids.items()])
        ],
        "/series/s": [as_json({"MainDicomTags": {"SeriesInstanceUID": SERIES}})],
    }
    return server


def failure(door, folder):
    folder.mkdir()
    with pytest.raises(ReconError) as failed:
        fetch.fetch(door, fetch.listed(door, [SERIES]), folder)
    assert "MILLER" not in failed.value.message
    assert "1.2.3" not in failed.value.message
    return failed.value.reason, failed.value.exit_code


def test_every_image_arrives(orthanc, door, tmp_path):
    seen = []
    fetch.fetch(door, fetch.listed(door, [SERIES]), tmp_path, seen.append)
    files = sorted(tmp_path.glob("*.dcm"))
    assert [file.read_bytes() for file in files] == [dicom(f"1.2.3.{n}") for n in range(3)]
    assert seen[-1] == 1.0


def test_an_image_cut_in_the_middle_is_fetched_again(orthanc, door, tmp_path):
    orthanc.answers["/instances/i1/"].insert(0, cut(dicom("1.2.3.1"), 1500))
    orthanc.answers["/instances/i2/"].insert(0, hang_up)
    fetch.fetch(door, fetch.listed(door, [SERIES]), tmp_path)
    assert (tmp_path / "000002.dcm").read_bytes() == dicom("1.2.3.1")
    assert (tmp_path / "000003.dcm").read_bytes() == dicom("1.2.3.2")


def test_an_image_that_comes_in_small_pieces_is_one_image(orthanc, door, tmp_path):
    orthanc.answers["/instances/i1/"] = [dripping(dicom("1.2.3.1", 3000), 0.002, first=150)]
    fetch.fetch(door, fetch.listed(door, [SERIES]), tmp_path)
    assert (tmp_path / "000002.dcm").read_bytes() == dicom("1.2.3.1")


@pytest.mark.slow
def test_answers_after_half_a_minute_are_waited_for(orthanc, tmp_path):
    """As patient as a pod is."""
    for answers in orthanc.answers.values():
        answers[:] = [late(30.0, one) for one in answers]
    with Door(orthanc.connection(tmp_path / "slow")) as door:
        fetch.fetch(door, fetch.listed(door, [SERIES]), tmp_path)
    assert len(list(tmp_path.glob("*.dcm"))) == 3


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (cut(dicom("1.2.3.1"), 1500), ("OrthancUnavailable", 75)),
        (late(0.8, text(200, dicom("1.2.3.1"))), ("OrthancUnavailable", 75)),
        (dripping(dicom("1.2.3.1"), 0.1), ("OrthancUnavailable", 75)),
        (text(500, "MILLER"), ("OrthancUnavailable", 75)),
        (page(), ("UnexpectedAnswer", 75)),
        (text(200, b"<html>MILLER" + b" " * 2988), ("UnexpectedAnswer", 75)),
        (as_json({"error": "MILLER"}), ("UnexpectedAnswer", 75)),
        (text(200, dicom("1.2.3.1", 2000)), ("UnexpectedAnswer", 75)),
        (text(200, dicom("1.2.3.1", 4000)), ("UnexpectedAnswer", 75)),
        (text(200, dicom("1.2.3.9")), ("UnexpectedAnswer", 75)),
        (text(200, b"\xa5" * 3000), ("UnexpectedAnswer", 75)),
        (text(302, "", Location="/elsewhere"), ("UnexpectedAnswer", 75)),
        (text(404, ""), ("SeriesMissing", 75)),
        (text(401, "MILLER"), ("CredentialsRefused", 78)),
    ],
)
def test_an_image_that_is_none_ends_the_fetch_with_a_reason(orthanc, door, tmp_path, answer, outcome):
    orthanc.answers["/instances/i1/"] = [answer]
    assert failure(door, tmp_path / "into") == outcome


@pytest.mark.parametrize(
    ("route", "answer", "outcome"),
    [
        ("/tools/lookup", as_json([]), ("SeriesMissing", 75)),
        ("/tools/lookup", as_json({"a": 1}), ("UnexpectedAnswer", 75)),
        ("/tools/lookup", text(404, ""), ("UnexpectedAnswer", 75)),
        ("/series/s/instances", as_json([{"ID": "i0"}]), ("UnexpectedAnswer", 75)),
        ("/series/s/instances", text(404, ""), ("SeriesMissing", 75)),
        ("/series/s", page(), ("UnexpectedAnswer", 75)),
    ],
)
def test_a_list_that_is_none(orthanc, door, tmp_path, route, answer, outcome):
    orthanc.answers[route] = [answer]
    assert failure(door, tmp_path / "into") == outcome


def test_a_uid_that_patients_share_is_refused(orthanc, door, tmp_path):
    orthanc.answers["/tools/lookup"] = [as_json([{"ID": one, "Type": "Series"} for one in ("s", "t")])]
    orthanc.answers |= {"/series/t/instances": [as_json([])], "/series/t": orthanc.answers["/series/s"]}
    assert failure(door, tmp_path / "into") == ("AmbiguousSeries", 65)


def test_the_fingerprint_is_the_contracts():
    assert fingerprint(["1.2.10", "1.2.9"]) == hashlib.sha256(b"1.2.10\n1.2.9\n").hexdigest()


@pytest.mark.parametrize(
    ("uids", "says"),
    [(range(2), "1 came"), (range(4), "1 are gone"), (range(1, 4), "exchanged")],
)
def test_instances_that_came_or_went_are_told(orthanc, door, uids, says):
    then = [f"1.2.3.{n}" for n in uids]
    with pytest.raises(ReconError, match=says) as failed:
        fetch.check_unchanged(door, fetch.listed(door, [SERIES]), len(then), fingerprint(then))
    assert (failed.value.reason, failed.value.exit_code) == ("InstancesChanged", 65)


def test_a_failure_does_not_wait_for_slow_answers(orthanc, door, tmp_path):
    """One refused image ends the fetch at once, although others are under way."""
    orthanc.answers["/instances/i0/"] = [late(0.3, text(200, dicom("1.2.3.0")))]
    orthanc.answers["/instances/i1/"] = [text(401, "")]
    before = time.monotonic()
    assert failure(door, tmp_path / "into") == ("CredentialsRefused", 78)
    assert time.monotonic() - before < 0.25
    assert not [one for one in threading.enumerate() if one.name.startswith("ThreadPoolExecutor")]


def test_a_careless_heading_is_no_fault(orthanc, door, tmp_path):
    """An anonymiser changed SOPInstanceUID and left the old one in the heading: the data set counts."""
    from pydicom.dataset import Dataset, FileMetaDataset  # noqa: PLC0415 - this test alone needs them
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage  # noqa: PLC0415

    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    ds.SOPInstanceUID, ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3.1", "1.2.3.999"
    ds.save_as(tmp_path / "careless.dcm", enforce_file_format=True)
    content = (tmp_path / "careless.dcm").read_bytes()
    orthanc.answers["/instances/i1/"] = [text(200, content)]
    orthanc.answers["/series/s/instances"] = [
        as_json([{"ID": "i1", "FileSize": len(content), "MainDicomTags": {"SOPInstanceUID": "1.2.3.1"}}])
    ]
    fetch.fetch(door, fetch.listed(door, [SERIES]), tmp_path)
