"""Headers with anything missing or wrong: always a conclusion, each source once, no identity in messages, quickly."""

import copy
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from qsm_acquisition import survey
from qsm_acquisition.elements import tag_of

CANARY = "Canary9317"
TEXT_KEYWORDS = [
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientComments",
    "AccessionNumber",
    "InstitutionName",
    "InstitutionAddress",
    "ReferringPhysicianName",
    "OperatorsName",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "StationName",
    "StudyID",
    "StudyDate",
    "SeriesDate",
    "AcquisitionDate",
    "ContentDate",
    "StudyTime",
    "DeviceSerialNumber",
    "ImageComments",
    "SequenceName",
    "ReceiveCoilName",
    "RequestedProcedureDescription",
    "OtherPatientIDs",
    "RescaleType",
    "ScanOptions",
    "BodyPartExamined",
]


@pytest.fixture(scope="module")
def heaps(scans):
    cells = [(echo, position, letter) for position in range(3) for letter in "MP" for echo in range(2)]
    small = scans.Protocol(echo_times_ms=(4.0, 9.0), slices=3)
    return scans.Named(
        siemens=scans.siemens(small),
        ge=scans.ge(small),
        enhanced=[scans.enhanced(cells, small), scans.enhanced(cells, scans.Protocol(series=2), number=9)],
    )


def _twin(ds: Dataset) -> Dataset:
    """A dataset of its own with the same elements (`Dataset(ds)` would share them)."""
    return Dataset(dict(ds.items()))


def _any_tag(data, ds: Dataset) -> BaseTag:
    """Drawn by place: tags compare unlike plain numbers, which confuses the search for a smaller example."""
    tags = sorted(ds.keys())
    return tags[data.draw(st.integers(0, len(tags) - 1))]


def _each_source_once(heap) -> None:
    found = survey(heap)
    sources = [source for one in found.acquisitions for source in one.sources]
    sources += [source for one in found.refusals for source in one.sources]
    assert sorted(sources) == sorted(source for source, _ in heap)


@settings(max_examples=120)
@given(st.sampled_from(["siemens", "ge", "enhanced"]), st.data())
def test_lost_elements_never_raise(heaps, kind, data) -> None:
    heap = [(source, _twin(ds)) for source, ds in heaps[kind]]
    for _ in range(data.draw(st.integers(1, 6))):
        _, ds = heap[data.draw(st.integers(0, len(heap) - 1))]
        if len(ds):
            del ds[_any_tag(data, ds)]
    _each_source_once(heap)


ODD_CONTENT = [b"***", b"nan", b"inf", b"1e400", b"-1", b"1\\2", b"\xff\xfe", b"0" * 40, b"\0", b"1.5"]


@settings(max_examples=200)
@given(
    kind=st.sampled_from(["siemens", "ge", "enhanced"]),
    place=st.tuples(st.integers(0, 999), st.integers(0, 999), st.booleans()),
    content=st.one_of(st.sampled_from(ODD_CONTENT), st.binary(max_size=24)),
    vr=st.sampled_from([None, "UN", "DS", "US", "FD", "CS", "SQ"]),
)
def test_any_bytes_in_any_element_never_raise(heaps, kind, place, content, vr) -> None:
    heap = [(source, _twin(ds)) for source, ds in heaps[kind]]
    index, everywhere = place[0] % len(heap), place[2]
    tags = sorted(heap[index][1].keys())
    tag = tags[place[1] % len(tags)]
    if vr is None:
        vr = heap[index][1][tag].VR if tag.is_private else dictionary_VR(tag)
    raw = RawDataElement(tag, vr, len(content), content, 0, is_implicit_VR=False, is_little_endian=True)
    for place_in_heap in range(len(heap)) if everywhere else [index]:
        source, ds = heap[place_in_heap]
        # Setting a private element in a Dataset would convert it; a file read leaves it raw.
        heap[place_in_heap] = (source, Dataset({**dict(ds.items()), tag: raw}))
    _each_source_once(heap)


@pytest.mark.parametrize("lost", [None, "EchoTime", "ImagePositionPatient", "SOPInstanceUID", "Manufacturer"])
@pytest.mark.parametrize("kind", ["siemens", "ge", "enhanced"])
def test_no_identity_in_any_message(heaps, kind, lost) -> None:
    heap = copy.deepcopy(heaps[kind])
    for _, ds in heap:
        for keyword in TEXT_KEYWORDS:
            tag = tag_of(keyword)
            content = CANARY.encode()
            ds[tag] = RawDataElement(
                Tag(tag), dictionary_VR(tag), len(content), content, 0, is_implicit_VR=False, is_little_endian=True
            )
        if lost is not None and lost in ds:
            del ds[lost]
    heap = [(f"/data/{CANARY}/{source}", ds) for source, ds in heap]
    found = survey(heap[:-1] if lost is None else heap)
    said = [one.message for one in found.refusals] + [word for one in found.acquisitions for word in one.warnings]
    said += [one.software_versions for one in found.acquisitions]
    assert said
    assert not any(CANARY in sentence for sentence in said)


def test_a_high_resolution_scan_is_surveyed_quickly(scans) -> None:
    # 10 echoes x 172 slices x 2 components; three copied headers stand for building 3440 of them.
    heap = []
    for name, ds in scans.siemens(scans.Protocol(echo_times_ms=tuple(range(4, 44, 4)), slices=1)):
        for position in range(172):
            one = _twin(ds)
            for keyword, value in (
                ("ImagePositionPatient", f"0\\0\\{position}"),
                ("InstanceNumber", str(position)),
                ("SOPInstanceUID", f"{ds.SOPInstanceUID}.{position}"),
            ):
                tag, content = Tag(tag_of(keyword)), value.encode()
                one[tag] = RawDataElement(
                    tag, dictionary_VR(tag), len(content), content, 0, is_implicit_VR=False, is_little_endian=True
                )
            heap.append((f"{name}/{position}", one))
    start = time.process_time()
    (acquisition,) = survey(heap).acquisitions
    assert time.process_time() - start < 5
    assert len(acquisition.cells) == 3440
