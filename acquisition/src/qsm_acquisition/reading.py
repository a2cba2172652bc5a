"""One file -> its header, or a refusal; no content whatever makes it raise."""

import os
import re
import stat
import struct
from pathlib import Path
from typing import BinaryIO

from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import DeflatedExplicitVRLittleEndian

from qsm_acquisition.elements import quiet_pydicom, text
from qsm_acquisition.headers import MR_CLASSES
from qsm_acquisition.pixel_place import note
from qsm_acquisition.refusals import Reason, Refusal

_DICOMDIR = "1.2.840.10008.1.3.10"
_UID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")
_PIXEL_DATA = (0x7FE0, 0x0010)
_LONG_VRS = (b"OB", b"OW", b"UN", b"OF", b"OD")
_UNDEFINED_LENGTH = 0xFFFFFFFF


def read_header(path: Path | str) -> FileDataset | Refusal:
    """Header of a DICOM file, pixel data left unread, or why there is none.

    Files without preamble are read when what follows is plausibly DICOM. A file that ends before its pixel data
    does is refused here, because its header alone would look complete.
    """
    path = Path(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return _refusal(path, Reason.UNREADABLE, "Not a regular file.")
        if status.st_size == 0:
            return _refusal(path, Reason.UNREADABLE, "The file is empty.")
        with path.open("rb") as file:
            return _read(path, file, status)
    except OSError:
        return _refusal(path, Reason.UNREADABLE, "The file cannot be read (permission, lost mount or disk error).")


def _refusal(path: Path, reason: Reason, message: str) -> Refusal:
    return Refusal(reason, message, instance_count=1, sources=(str(path),))


def _read(path: Path, file: BinaryIO, status: os.stat_result) -> FileDataset | Refusal:
    header: FileDataset | None
    try:
        header = _parse(file, force=False)
    except InvalidDicomError:
        header = _without_preamble(file)
        if header is None:
            return _refusal(path, Reason.NOT_AN_IMAGE, "Not a DICOM file.")
    except (MemoryError, OSError):
        raise
    except Exception:  # noqa: BLE001 - pydicom raises anything on broken content, and nothing of it helps the reader
        return _refusal(path, Reason.UNREADABLE, "The file is damaged: its DICOM header cannot be read.")
    sop_class = text(header, "SOPClassUID")
    # The file's own heading tells the class too, where the header is cut inside SOPClassUID.
    classes = {sop_class, text(header.file_meta, "MediaStorageSOPClassUID")}
    if _DICOMDIR in classes:
        return _refusal(path, Reason.NOT_AN_IMAGE, "A DICOMDIR, the index of a medium; not an image.")
    if not sop_class:
        return _refusal(path, Reason.UNREADABLE, "The DICOM header is cut short or has no SOPClassUID.")
    if classes & MR_CLASSES and not _pixels_follow(header, file, status):
        return _refusal(path, Reason.UNREADABLE, "The file is cut short: its pixel data is missing or incomplete.")
    return header


def _parse(file: BinaryIO, *, force: bool) -> FileDataset:
    with quiet_pydicom():
        return dcmread(file, stop_before_pixels=True, force=force)


def _without_preamble(file: BinaryIO) -> FileDataset | None:
    """Header of a file that starts with its first element; None where it does not look like one."""
    file.seek(0)
    try:
        header = _parse(file, force=True)
    except (MemoryError, OSError):
        raise
    except Exception:  # noqa: BLE001 - `force` parses any bytes as DICOM, so anything may come of it
        return None
    uids = (text(header, "SOPClassUID"), text(header, "SOPInstanceUID"))
    return header if all(_UID.fullmatch(uid) for uid in uids) else None


def _pixels_follow(header: FileDataset, file: BinaryIO, status: os.stat_result) -> bool:
    """Whether PixelData starts where reading stopped and fits into the file; if so, its place is noted.

    Deflated files have no such place, and encapsulated pixel data no length; the decoder judges those.
    """
    if text(header.file_meta, "TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        return True
    implicit, little = header.original_encoding
    order = "<" if little else ">"
    start = file.read(8)
    tag = struct.unpack(f"{order}HH", start[:4]) if len(start) == 8 else None
    if tag not in (_PIXEL_DATA, (0x7FE0, 8), (0x7FE0, 9)):
        return False
    if implicit:
        (length,) = struct.unpack(f"{order}L", start[4:])
    elif start[4:6] in _LONG_VRS:
        more = file.read(4)
        if len(more) < 4:
            return False
        (length,) = struct.unpack(f"{order}L", more)
    else:
        (length,) = struct.unpack(f"{order}H", start[6:])
    if length == _UNDEFINED_LENGTH:
        return True
    if file.tell() + length > status.st_size:
        return False
    if tag == _PIXEL_DATA:
        vr = "" if implicit else start[4:6].decode("ascii", "replace")
        facts = {"file_size": status.st_size, "modified_ns": status.st_mtime_ns}
        note(header, offset=file.tell(), length=length, vr=vr, **facts)
    return True
