"""Values of DICOM elements, read so that no content whatever can raise or warn.

Scanners and anonymisers write illegal values (`***` as a date, 20-character decimals, words in numeric fields).
pydicom converts an element the first time it is touched and may raise, warn, or log the value; so elements that
are still raw bytes are decoded here, and an unreadable number becomes NaN for the rules to judge.
"""

import math
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

_PACKED = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
_OPAQUE_VRS = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "AT"})


@cache
def tag_of(keyword: str) -> int:
    """Tag number of a DICOM keyword.

    Raises
    ------
    ValueError
        If `keyword` is not in the DICOM dictionary (a programming mistake).
    """
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{keyword} is no DICOM keyword")
    return int(tag)


@cache
def _dictionary_vr(tag: int) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Let pydicom parse without warnings: the rules judge what is odd, and its texts may quote header values."""
    with warnings.catch_warnings(), config.disable_value_validation():
        warnings.filterwarnings("ignore", module=r"pydicom\.")
        yield


def has(dataset: Dataset, keyword: str) -> bool:
    """Whether the element is there with a value."""
    return bool(values(dataset, tag_of(keyword)))


def values(dataset: Dataset, tag: int) -> tuple[Any, ...]:
    """Values of one element as text, numbers or raw bytes; empty where absent, empty or undecodable."""
    element = _element(dataset, tag)
    if element is None:
        return ()
    if isinstance(element, RawDataElement):
        return _decode(element, dataset)
    value = element.value
    if value is None or isinstance(value, bytes):
        return (value,) if value else ()
    if isinstance(value, str):
        return tuple(value.split("\\")) if value else ()
    if isinstance(value, Sequence):
        return tuple(value)
    return (value,)


def _element(dataset: Dataset, tag: int) -> Any:
    element = dataset.get_item(tag, keep_deferred=True)
    if not isinstance(element, RawDataElement) or element.value is not None:
        return element
    try:
        with quiet_pydicom():
            return dataset[tag]
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a deferred element is converted by pydicom, which raises anything on bad content
        return None


def _decode(element: RawDataElement, dataset: Dataset) -> tuple[Any, ...]:
    content = element.value
    if not content:
        return ()
    vr = element.VR
    if vr is None or vr == "UN":
        vr = _dictionary_vr(int(element.tag))
    if vr == "US or SS":
        vr = "SS" if number(dataset, "PixelRepresentation") == 1 else "US"
    if vr in _PACKED:
        letter = _PACKED[vr]
        order = "<" if element.is_little_endian else ">"
        size = struct.calcsize(order + letter)
        count = len(content) // size
        return struct.unpack_from(f"{order}{count}{letter}", content) if count else (content,)
    if vr == "UN" or vr in _OPAQUE_VRS:
        return (content,)
    text_value = content.decode("ascii", "replace").rstrip("\0 ")
    return tuple(part.strip("\0 ") for part in text_value.split("\\")) if text_value else ()


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Values as upper-case words, empty ones left out (`ImageType`, code strings)."""
    stripped = (str(value).strip("\0 ").upper() for value in values(dataset, tag_of(keyword)))
    return tuple(value for value in stripped if value)


def text(dataset: Dataset, keyword: str) -> str:
    """The whole value as one string, as written; '' where absent."""
    return "\\".join(str(value).strip("\0 ") for value in values(dataset, tag_of(keyword)))


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Values as numbers: empty where absent, NaN for each value that is no finite number."""
    return tuple(_as_number(value) for value in values(dataset, tag_of(keyword)))


def number(dataset: Dataset, keyword: str) -> float | None:
    """A single number, or None where it is absent, multi-valued or no number."""
    found = numbers(dataset, keyword)
    return found[0] if len(found) == 1 and math.isfinite(found[0]) else None


def _as_number(value: Any) -> float:
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return result if math.isfinite(result) else math.nan


def items(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """Items of a sequence; empty where it is absent or is no sequence."""
    return items_at(dataset, tag_of(keyword))


def items_at(dataset: Dataset, tag: int) -> tuple[Dataset, ...]:
    """The same by tag."""
    element = _element(dataset, tag)
    if element is None:
        return ()
    try:
        if isinstance(element, RawDataElement):
            with quiet_pydicom():
                element = dataset[tag]
        return tuple(item for item in element.value if isinstance(item, Dataset))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a sequence cut short makes pydicom raise anything; it then says nothing
        return ()


def first_item(dataset: Dataset, keyword: str) -> Dataset | None:
    """The first item of a sequence, or None."""
    found = items(dataset, keyword)
    return found[0] if found else None


def private_values(dataset: Dataset, group: int, creator: str, offset: int) -> tuple[Any, ...]:
    """Values of a private element, found through its private creator (PS3.5 section 7.8.1).

    Where the header carries no creator at all (some anonymisers drop it) the customary block 0x10 is read.
    """
    named = {}
    for block in range(0x10, 0x20):
        found = values(dataset, (group << 16) | block)
        if found:
            first = found[0]
            named[block] = first.decode("ascii", "replace") if isinstance(first, bytes) else str(first)
    if not named:
        return values(dataset, (group << 16) | 0x1000 | offset)
    for block, name in named.items():
        if name.strip("\0 ") == creator:
            return values(dataset, (group << 16) | (block << 8) | offset)
    return ()
