"""Orthanc's full tag JSON (`/instances/{id}/tags`) as a pydicom dataset.

The `?simplify` form is lossy (names instead of tags, private ones gone) and is not accepted. Values become raw
elements, so nothing is converted, and nothing can fail, before somebody asks for it.
"""

import base64
import binascii
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydicom.datadict import dictionary_VR, private_dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import BaseTag

_INTEGERS = {"US": "<H", "SS": "<h", "UL": "<L", "SL": "<l", "UV": "<Q", "SV": "<q", "US or SS": "<h"}
_FLOATS = {"FL": "<f", "FD": "<d"}
_CHARACTER_SET = BaseTag(0x00080005)
_UTF_8 = b"ISO_IR 192"
_DATA_URI = "data:application/octet-stream;base64,"


def from_orthanc_tags(tags: Mapping[str, Any], keep: Callable[[int], bool] = lambda _: True) -> Dataset:
    """Dataset from `{"0008,0060": {"Name": ..., "Type": "String", "Value": "MR"}, ...}`, sequences included.

    Elements that Orthanc cuts off (type TooLong, Null), that are no such record, or that are not to be kept (by tag,
    in sequences too) are left out.

    Raises
    ------
    ValueError
        If a key is no tag of the form `gggg,eeee`: it is the simplified JSON, or no tag JSON at all.
    """
    elements = _elements(tags, keep)
    if not elements:
        return Dataset()
    # Orthanc has read the text by the character set of the file and writes JSON, which is UTF-8.
    elements[_CHARACTER_SET] = RawDataElement(
        _CHARACTER_SET, "CS", len(_UTF_8), _UTF_8, 0, is_implicit_VR=False, is_little_endian=True
    )
    return Dataset(elements)


def _elements(tags: Mapping[str, Any], keep: Callable[[int], bool]) -> dict[BaseTag, DataElement | RawDataElement]:
    # Filled before it becomes a Dataset, which would convert private elements when they are set.
    elements: dict[BaseTag, DataElement | RawDataElement] = {}
    for key, entry in tags.items():
        tag = _tag(key)
        if not isinstance(entry, Mapping) or not keep(tag):
            continue
        value = entry.get("Value")
        if entry.get("Type") == "Sequence" and isinstance(value, Sequence):
            children = [from_orthanc_tags(item, keep) for item in value if isinstance(item, Mapping)]
            elements[tag] = DataElement(tag, "SQ", DicomSequence(children))
        elif entry.get("Type") in ("String", "Binary") and isinstance(value, str):
            vr = _vr(tag, str(entry.get("PrivateCreator", "")))
            vr, content = _encode(value, vr)
            elements[tag] = RawDataElement(
                tag, vr, len(content), content, 0, is_implicit_VR=False, is_little_endian=True
            )
    return elements


def _tag(key: str) -> BaseTag:
    group, _, element = key.partition(",")
    if len(group) != 4 or len(element) != 4:
        raise ValueError("not Orthanc's full tag JSON: keys must be like '0008,0060' (ask without ?simplify)")
    return BaseTag(int(group, 16) << 16 | int(element, 16))


@lru_cache(maxsize=4096)
def _vr(tag: BaseTag, creator: str) -> str:
    try:
        return private_dictionary_VR(tag, creator) if tag.is_private and creator else dictionary_VR(tag)
    except KeyError:
        return "LO" if tag.is_private else "UN"


@lru_cache(maxsize=4096)  # so that what a thousand images share is in memory once
def _encode(value: str, vr: str) -> tuple[str, bytes]:
    """VR and bytes of a value as it would stand in a little-endian file."""
    if value.startswith(_DATA_URI):
        try:
            return vr, base64.b64decode(value.removeprefix(_DATA_URI), validate=True)
        except (binascii.Error, ValueError):
            return vr, b""
    parts = value.split("\\")
    try:
        if vr in _INTEGERS:
            letter = _INTEGERS[vr]
            if vr == "US or SS" and any(int(part) > 0x7FFF for part in parts):
                letter = "<H"
            return ("US" if letter == "<H" else "SS") if vr == "US or SS" else vr, b"".join(
                struct.pack(letter, int(part)) for part in parts
            )
        if vr in _FLOATS:
            return vr, b"".join(struct.pack(_FLOATS[vr], float(part)) for part in parts)
    except (ValueError, struct.error, OverflowError):
        return "LO", value.encode()
    return ("LO" if vr in ("UN", "SQ") else vr), value.encode()
