"""What we leave beside series in Orthanc: the record of a result, its report, and the mark on the source.

Numbers from 1024 on are the users' (Orthanc Book); ours are in docs/contract.md.
"""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from qsm_recon.transfer.orthanc.door import Door
from qsm_recon.transfer.orthanc.failures import NotThereError

SOURCE_MARK = 4602
"""Metadata of each source series: which pipelines have made what of it."""
RECORD = 4603
"""Attachment of the result's first series: the record, written last."""
BUNDLE = 4604
"""Attachment beside it: the files of the result that are no DICOM, in a zip."""

_DICOM = "dicom"
_MARKS_KEPT = 16


def read_record(door: Door, series: str) -> dict[str, Any] | None:
    """The document at that series (Orthanc's identifier), None where there is none or it is not ours."""
    try:
        return _object(door.content(f"/series/{series}/attachments/{RECORD}/data"))
    except NotThereError:
        return None


def write_record(door: Door, series: str, document: dict[str, Any]) -> None:
    """Leave or replace the record."""
    _attach(door, series, RECORD, json.dumps(document, separators=(",", ":")).encode())


def write_bundle(door: Door, series: str, folder: Path) -> None:
    """Leave everything of the result's folder but the DICOM."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as bundle:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if path.is_file() and name.parts[0] != _DICOM:
                bundle.write(path, name.as_posix())
    _attach(door, series, BUNDLE, packed.getvalue())


def has_bundle(door: Door, series: str) -> bool:
    """Whether `write_bundle` has been there."""
    try:
        door.revision(f"/series/{series}/attachments/{BUNDLE}/size")
    except NotThereError:
        return False
    return True


def read_bundle(door: Door, series: str, into: Path) -> bool:
    """Unpack it into a folder; False where there is none."""
    try:
        packed = door.content(f"/series/{series}/attachments/{BUNDLE}/data")
        with zipfile.ZipFile(io.BytesIO(packed)) as bundle:
            bundle.extractall(into)
    except (NotThereError, zipfile.BadZipFile):
        return False
    return True


def read_marks(door: Door, series: str) -> dict[str, Any]:
    """What pipelines have left on a source series: name to what they left."""
    try:
        return _object(door.content(f"/series/{series}/metadata/{SOURCE_MARK}")) or {}
    except NotThereError:
        return {}


def write_mark(door: Door, series: str, pipeline: str, mark: dict[str, Any]) -> None:
    """Add ours to the marks of others; the oldest give way."""
    marks = read_marks(door, series)
    marks.pop(pipeline, None)
    kept = dict(list(marks.items())[-_MARKS_KEPT + 1 :]) | {pipeline: mark}
    route = f"/series/{series}/metadata/{SOURCE_MARK}"
    door.put(route, json.dumps(kept, separators=(",", ":")).encode(), _revision(door, route))


def _attach(door: Door, series: str, number: int, content: bytes) -> None:
    route = f"/series/{series}/attachments/{number}"
    door.put(route, content, _revision(door, f"{route}/md5"))


def _revision(door: Door, route: str) -> str:
    """Servers that check revisions (CheckRevisions) want to hear which one is replaced; others do not mind."""
    try:
        return door.revision(route)
    except NotThereError:
        return ""


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
