"""What Orthanc answers, typed, and looked at before it is believed."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from qsm_operator.orthanc.errors import OrthancGarbledError

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{8}){4}")


@dataclass(frozen=True, slots=True)
class System:
    """What Orthanc says of itself."""

    version: str
    filters_changes: bool = False
    """Whether `/changes?type=` is obeyed: from 1.12.5 on, where the database can; else it is ignored silently."""


@dataclass(frozen=True, slots=True)
class Change:
    """One row of `/changes`."""

    seq: int
    kind: str
    resource: str
    id: str
    date: str


@dataclass(frozen=True, slots=True)
class Changes:
    """Rows after a place, the place of the last of them (or of all, where there are none), and whether that is all."""

    rows: tuple[Change, ...]
    last: int
    done: bool


@dataclass(frozen=True, slots=True)
class SeriesState:
    """A series as Orthanc has it; times are Orthanc's own clock."""

    id: str
    study_id: str
    series_uid: str
    modality: str
    is_stable: bool
    last_update: datetime | None
    instance_ids: tuple[str, ...]
    expected: int | None
    metadata: Mapping[str, str]
    """Only from `series_states`: user metadata by number or registered name."""


@dataclass(frozen=True, slots=True)
class InstanceState:
    """An instance without its tags. `file` changes when it is overwritten."""

    id: str
    sop_uid: str
    file: str


@dataclass(frozen=True, slots=True)
class OrthancJob:
    """A job of Orthanc: `state` is Pending, Running, Success, Failure, Paused or Retry."""

    id: str
    state: str
    progress: int
    error: str
    content: Mapping[str, Any]


def is_orthanc_id(text: str) -> bool:
    """Whether a text has the form of Orthanc's identifiers (a hash; no path, no query)."""
    return _ID.fullmatch(text) is not None


def moment_of(text: Any) -> datetime | None:
    """The moment of `20260131T120000`, UTC; none where it is something else."""
    try:
        return datetime.strptime(str(text)[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def table_of(said: Any, call: str) -> Mapping[str, Any]:
    """The answer, a JSON object."""
    if not isinstance(said, dict):
        raise OrthancGarbledError(call, "the answer is no JSON object")
    return said


def list_of(said: Any, call: str) -> Sequence[Any]:
    """The answer, a JSON list."""
    if not isinstance(said, list):
        raise OrthancGarbledError(call, "the answer is no JSON list")
    return said


def ids_of(said: Any, call: str) -> list[str]:
    """The answer, a list of identifiers."""
    found = [entry for entry in list_of(said, call) if isinstance(entry, str) and is_orthanc_id(entry)]
    if len(found) != len(said):
        raise OrthancGarbledError(call, "the answer is no list of identifiers")
    return found


def word_of(said: Mapping[str, Any], key: str, call: str) -> str:
    """A text the answer must have."""
    value = said.get(key)
    if not isinstance(value, str) or not value:
        raise OrthancGarbledError(call, f"the answer lacks {key}")
    return value


def changes_of(said: Any) -> Changes:
    """Rows of `/changes`."""
    table = table_of(said, "changes")
    rows = []
    for entry in list_of(table.get("Changes"), "changes"):
        row = table_of(entry, "changes")
        if not isinstance(row.get("Seq"), int):
            raise OrthancGarbledError("changes", "a row lacks Seq")
        kind, resource, own_id = (word_of(row, key, "changes") for key in ("ChangeType", "ResourceType", "ID"))
        rows.append(Change(row["Seq"], kind, resource, own_id, str(row.get("Date", ""))))
    last = table.get("Last")
    if not isinstance(last, int):
        raise OrthancGarbledError("changes", "the answer lacks Last")
    return Changes(tuple(rows), last, table.get("Done") is True)


def series_of(said: Any, call: str) -> SeriesState:
    """A series."""
    table = table_of(said, call)
    main, metadata, expected = table.get("MainDicomTags"), table.get("Metadata"), table.get("ExpectedNumberOfInstances")
    main = main if isinstance(main, dict) else {}
    return SeriesState(
        word_of(table, "ID", call),
        word_of(table, "ParentStudy", call),
        str(main.get("SeriesInstanceUID", "")),
        str(main.get("Modality", "")),
        table.get("IsStable") is True,
        moment_of(table.get("LastUpdate")),
        tuple(ids_of(table.get("Instances"), call)),
        expected if isinstance(expected, int) else None,
        {str(name): value for name, value in metadata.items() if isinstance(value, str)}
        if isinstance(metadata, dict)
        else {},
    )


def instance_of(said: Any) -> InstanceState:
    """An instance."""
    table = table_of(said, "series/instances")
    main = table.get("MainDicomTags")
    sop_uid = main.get("SOPInstanceUID", "") if isinstance(main, dict) else ""
    return InstanceState(word_of(table, "ID", "series/instances"), str(sop_uid), str(table.get("FileUuid", "")))


def system_of(said: Any) -> System:
    """What `/system` says."""
    table = table_of(said, "system")
    abilities = table.get("Capabilities")
    abilities = abilities if isinstance(abilities, dict) else {}
    return System(str(table.get("Version", "")), abilities.get("HasExtendedChanges") is True)


def job_of(job_id: str, said: Any) -> OrthancJob:
    """A job."""
    table = table_of(said, "jobs")
    progress, content = table.get("Progress"), table.get("Content")
    return OrthancJob(
        job_id,
        word_of(table, "State", "jobs"),
        progress if isinstance(progress, int) else 0,
        str(table.get("ErrorDescription", "")) if table.get("ErrorCode") else "",
        content if isinstance(content, dict) else {},
    )


def md5_of(said: bytes) -> str:
    """An MD5 in hexadecimal."""
    text = said.decode(errors="replace").strip('" \n')
    if re.fullmatch(r"[0-9a-f]{32}", text) is None:
        raise OrthancGarbledError("attachments/md5", "the answer is no MD5")
    return text
