"""What images say in one attribute, as text that a person's rule can be held against.

Rules of a site (which scans to reconstruct) ask about free text in every character set, about numbers, about private
elements. Nothing here raises or warns, whatever a header holds.
"""

import math
import struct
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydicom.charset import convert_encodings, decode_bytes, default_encoding
from pydicom.datadict import dictionary_VR, private_dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from qsm_acquisition.elements import items, items_at, quiet_pydicom, tag_of, values

_NUMBERS = frozenset({"DS", "IS", "FL", "FD", "US", "SS", "UL", "SL", "UV", "SV", "US or SS"})
_WITH_CHARACTER_SET = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_WHOLE_TEXTS = frozenset({"LT", "ST", "UR", "UT"})
"""In these a backslash is a letter like any other."""
_DELIMITERS = {0x0A, 0x0C, 0x0D, 0x09}
_FUNCTIONAL_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


@dataclass(frozen=True, slots=True)
class Stated:
    """What one or many images say in one attribute."""

    texts: frozenset[str] = frozenset()
    """Every value alone, without blanks at its ends; of several in one image also all of them, joined by backslash."""
    numbers: frozenset[float] = frozenset()
    """The values of an attribute that holds numbers."""
    is_present: bool = False
    """Whether it is there and not empty, in at least one image; also where its value is no text (binary, sequence)."""

    def __or__(self, other: "Stated") -> "Stated":
        return Stated(self.texts | other.texts, self.numbers | other.numbers, self.is_present or other.is_present)


NOTHING = Stated()


def stated(headers: Iterable[Dataset], tag: int) -> Stated:
    """What these images say in one attribute, in any of them and in any of their frames.

    Parameters
    ----------
    headers
        Headers of one acquisition, from files or from Orthanc's tags, in any order.
    tag
        Tag number. In enhanced images it is looked for in the image itself and in its functional groups.
    """
    found = NOTHING
    for header in headers:
        encodings = _encodings(header)
        for place in _places(header):
            found |= _in_one(place, tag, encodings)
    return found


def _places(header: Dataset) -> Iterator[Dataset]:
    """The image, and what it says once for all frames or for each."""
    yield header
    for keyword in _FUNCTIONAL_GROUPS:
        for group in items(header, keyword):
            for tag in group.keys():  # noqa: SIM118 - iterating a Dataset itself converts its elements
                element = group.get_item(tag)
                if element is not None and _vr(group, int(tag), element.VR) == "SQ":
                    yield from items_at(group, int(tag))


def _in_one(dataset: Dataset, tag: int, encodings: list[str]) -> Stated:
    element = dataset.get_item(tag, keep_deferred=True)
    if element is None:
        return NOTHING
    vr = _vr(dataset, tag, element.VR)
    if vr == "SQ":
        return Stated(is_present=bool(element.value))
    parts = _parts(dataset, tag, vr, element, encodings)
    texts = [_as_text(part, vr) for part in parts]
    known = [text for text in texts if text]
    is_present = bool(known) or any(isinstance(part, bytes) and part.strip(b"\0 ") for part in parts)
    joined = {"\\".join(texts)} if len(texts) > 1 and known else set()
    numbers = {float(text) for text in known if _is_number(text)} if vr in _NUMBERS else set()
    return Stated(frozenset(known) | joined, frozenset(numbers), is_present)


def _parts(dataset: Dataset, tag: int, vr: str, element: Any, encodings: list[str]) -> tuple[Any, ...]:
    if isinstance(element, RawDataElement) and vr in _WITH_CHARACTER_SET and isinstance(element.value, bytes):
        text = _decoded(element.value, encodings)
        return (text,) if vr in _WHOLE_TEXTS else tuple(text.split("\\"))
    if isinstance(element, RawDataElement):
        return values(dataset, tag)
    value = element.value
    if isinstance(value, str) and vr in _WHOLE_TEXTS:
        return (value,)
    return values(dataset, tag)


def _vr(dataset: Dataset, tag: int, said: str | None) -> str:
    """Value representation as the element says it, else as the dictionaries do."""
    if said and said != "UN":
        return said
    try:
        if not (tag >> 16) & 1:
            return dictionary_VR(tag)
        creator = values(dataset, (tag & 0xFFFF0000) | ((tag & 0xFF00) >> 8))
        name = creator[0] if creator else ""
        return private_dictionary_VR(tag, name.decode("ascii", "replace") if isinstance(name, bytes) else str(name))
    except KeyError:
        return "UN"


def _encodings(header: Dataset) -> list[str]:
    names = [str(value) for value in values(header, tag_of("SpecificCharacterSet"))]
    try:
        with quiet_pydicom():
            return convert_encodings(names)
    except (LookupError, ValueError):
        return [default_encoding]


def _decoded(content: bytes, encodings: list[str]) -> str:
    try:
        with quiet_pydicom():
            return decode_bytes(content, encodings, _DELIMITERS)
    except (LookupError, ValueError):
        return content.decode("utf-8", "replace")


def _as_text(part: Any, vr: str) -> str:
    if isinstance(part, bytes):
        text = part.decode("ascii", "replace").strip("\0 ")
        return text if text.isprintable() and "\ufffd" not in text else ""
    if isinstance(part, Dataset | DicomSequence):
        return ""
    if vr == "FL" and isinstance(part, float):
        return _shortest(part)
    original = getattr(part, "original_string", None)
    return unicodedata.normalize("NFC", str(original if isinstance(original, str) else part).strip("\0 \t\r\n"))


def _shortest(value: float) -> str:
    """Shortest decimal that is this 32-bit number: 2.8, not 2.799999952316284."""
    if not math.isfinite(value):
        return str(value)
    exact = struct.pack("<f", value)
    return next(text for text in (f"{value:.{digits}g}" for digits in range(1, 10)) if _packed(text) == exact)


def _packed(text: str) -> bytes:
    try:
        return struct.pack("<f", float(text))
    except OverflowError:  # rounded above the largest 32-bit number
        return b""


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
