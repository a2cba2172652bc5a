"""The first bytes of a DICOM file: whether it is one, and which instance it says it is, without parsing the rest."""

import struct

HEADING_BYTES = 4096
"""Enough for any file meta information seen."""

_PREAMBLE = 128
_MEDIA_STORAGE_SOP_INSTANCE_UID = 0x0003
_LONG_VRS = frozenset({b"OB", b"OW", b"OF", b"UN", b"SQ", b"UT"})


def is_dicom(heading: bytes) -> bool:
    """Whether preamble and prefix of PS3.10 are there."""
    return heading[_PREAMBLE : _PREAMBLE + 4] == b"DICM"


def stated_uid(heading: bytes) -> str:
    """MediaStorageSOPInstanceUID (0002,0003); empty where it is not among these bytes."""
    place = _PREAMBLE + 4
    while place + 12 <= len(heading) and heading[place : place + 2] == b"\x02\x00":
        (element,) = struct.unpack_from("<H", heading, place + 2)
        if heading[place + 4 : place + 6] in _LONG_VRS:
            (length,), start = struct.unpack_from("<L", heading, place + 8), place + 12
        else:
            (length,), start = struct.unpack_from("<H", heading, place + 6), place + 8
        if element == _MEDIA_STORAGE_SOP_INSTANCE_UID:
            return heading[start : start + length].rstrip(b"\0 ").decode("ascii", "replace")
        place = start + length
    return ""
