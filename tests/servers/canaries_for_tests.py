"""Canaries: made-up patient data in every text of an image's header, and the guard that looks for them everywhere else.

What the end-to-end tests send through real servers bears these words. They may be in DICOM, and nowhere else: whatever
starts servers, namespaces or buckets for tests looks through what is left there before it takes them away, and the end
of the session looks through every log (tests/conftest.py). The guard has no list of tests to keep up to date.
"""

import base64
import functools
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydicom.datadict import DicomDictionary, keyword_dict
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

WORD, NAME, DATE = "CANARY", "CANARY^ZOE", "19470313"

STRUCTURAL = {
    "Manufacturer", "ManufacturerModelName", "SoftwareVersions", "SpecificCharacterSet", "PatientSex",
    "PatientPosition", "ScanningSequence", "SequenceVariant", "ScanOptions", "ImageType", "Modality",
    "MRAcquisitionType", "LossyImageCompression", "RescaleType", "PhotometricInterpretation", "EchoPulseSequence",
    "PatientAge", "SequenceName", "PulseSequenceName",
}  # fmt: skip
"""Code words that decide what an image is: nobody's name, and a canary in them would be another test."""

_DECIDES = {"ContrastBolusAgent"}
"""That it is there at all decides over routes."""

_GROUPS = {0x0008, 0x0010, 0x0018, 0x0020, 0x0032, 0x0038, 0x0040}
_TEXTS = {"LO", "SH", "LT", "ST", "UT", "PN", "UC"}

_ENCODED = [
    base64.b64encode(b" " * before + WORD.encode()).decode()[(8 * before + 5) // 6 : 8 * (before + len(WORD)) // 6]
    for before in range(3)
]
SIGNS = re.compile("|".join([rf"(?i:{WORD}|kanarien)", DATE, "1947-03-13", "19010203", *map(re.escape, _ENCODED)]))
"""How a canary shows, also in base64; 19010203 is the birth date in scans_for_tests."""

LOGS = re.compile(r"(?:.*\.log|log|stdout|stderr|termination-log)")
_MOST_BYTES = 64_000_000


class FoundError(AssertionError):
    """A canary where it must not be."""


def text_attributes() -> Iterator[tuple[str, str]]:
    """Every attribute of the standard's patient, study, series, equipment and acquisition groups that holds text."""
    for keyword, tag in keyword_dict.items():
        vr, multiplicity = DicomDictionary[tag][0], DicomDictionary[tag][1]
        if tag >> 16 in _GROUPS and keyword not in STRUCTURAL:
            several = {"1"} if vr == "DA" else {"1", "1-n"}
            if vr in _TEXTS | {"DA"} and multiplicity in several:
                yield keyword, vr


@functools.cache
def _every_text() -> Dataset:
    made = Dataset()
    for keyword, vr in text_attributes():
        setattr(made, keyword, DATE if vr == "DA" else NAME if vr == "PN" else f"{WORD}{len(keyword)}")
    nested = Dataset()
    nested.PatientID = f"{WORD} nested"
    made.OtherPatientIDsSequence = Sequence([nested])
    block = made.private_block(0x0029, f"{WORD} CREATOR", create=True)
    block.add_new(0x10, "LO", f"{WORD} private")
    return made


def infest(ds: Dataset) -> None:
    """A canary into every text that the header does not have yet."""
    for element in _every_text():
        if element.tag not in ds and element.keyword not in _DECIDES:
            ds.add(element)


def check(text: str, where: object) -> None:
    """Raise where a canary is, with what stands around it."""
    found = SIGNS.search(text)
    if found is not None:
        raise FoundError(f"{where}: {text[max(0, found.start() - 120) : found.end() + 120]!r}")


def check_logs(root: Path) -> int:
    """Look through every log below a folder; how many there were."""
    looked_at = 0
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if LOGS.fullmatch(name) and path.is_file() and path.stat().st_size < _MOST_BYTES:
                check(path.read_text(errors="replace"), path)
                looked_at += 1
    return looked_at


def check_bucket(client: Any, bucket: str) -> int:
    """Look through the names of a bucket's objects, what is kept with them, and the text that they hold.

    DICOM may hold names, so of it only the name is looked at.
    """
    looked_at = 0
    for entry in client.list_objects(bucket, recursive=True):
        where = f"bucket {bucket}: {entry.object_name}"
        check(entry.object_name, where)
        check(str(dict(client.stat_object(bucket, entry.object_name).metadata or {})), where)
        if entry.object_name.endswith((".json", ".html", ".nii", ".nii.gz")):
            answer = client.get_object(bucket, entry.object_name, length=1_000_000)
            try:
                content = answer.read()
            finally:
                answer.close()
                answer.release_conn()
            check(_unpacked(content).decode("utf-8", "replace"), where)
        looked_at += 1
    return looked_at


def _unpacked(content: bytes) -> bytes:
    """Text as it is; of a packed volume the header, for the rest of the file may be lacking here."""
    return zlib.decompressobj(31).decompress(content, 352) if content[:2] == b"\x1f\x8b" else content
