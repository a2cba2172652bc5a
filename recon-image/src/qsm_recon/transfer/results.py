"""What a finished result consists of, and the record that is left beside it, last: who finds it need not compute."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from qsm_recon.dicom.heading import HEADING_BYTES, stated_uid

KINDS: Mapping[str, str] = {"ChiMap": "susceptibility", "R2StarMap": "R2*"}
"""Kind of output, as the contract calls it, to the quantity in `report.json`."""

_VERSION = 1


@dataclass(frozen=True)
class ResultSeries:
    """One DICOM series of a result."""

    kind: str
    """Of `KINDS`."""
    series_instance_uid: str
    files: Mapping[str, str]
    """SOPInstanceUID to path inside the result's folder."""


@dataclass(frozen=True)
class Record:
    """A complete result: which job made it, what it consists of, and the short report of making it."""

    job_name: str
    job_uid: str
    report: Mapping[str, Any]
    """`metrics`, `stageSeconds`, `warnings`."""
    series: tuple[ResultSeries, ...]

    def is_of(self, wanted: Mapping[str, str]) -> bool:
        """Whether it has exactly these series (kind to SeriesInstanceUID)."""
        return {one.kind: one.series_instance_uid for one in self.series} == dict(wanted)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "version": _VERSION,
            "job": {"name": self.job_name, "uid": self.job_uid},
            "report": dict(self.report),
            "series": [
                {
                    "kind": one.kind,
                    "seriesInstanceUID": one.series_instance_uid,
                    "instances": len(one.files),
                    "files": dict(one.files),
                }
                for one in self.series
            ],
        }


def from_document(document: Any) -> Record | None:
    """The record in a document, None where it is something else or of a version we do not know."""
    try:
        if document["version"] != _VERSION:
            return None
        record = Record(
            job_name=str(document["job"]["name"]),
            job_uid=str(document["job"]["uid"]),
            report=dict(document["report"]),
            series=tuple(
                ResultSeries(str(one["kind"]), str(one["seriesInstanceUID"]), dict(one["files"]))
                for one in document["series"]
            ),
        )
    except (LookupError, TypeError, ValueError, AttributeError):
        return None
    return record if record.series and all(one.files for one in record.series) else None


def of_folder(folder: Path, full_report: Mapping[str, Any], report: Mapping[str, Any], name: str, uid: str) -> Record:
    """The record of a result just made.

    Parameters
    ----------
    folder
        The result.
    full_report
        Its `report.json`.
    report
        The short one.
    name, uid
        Of the job.
    """
    series = []
    for kind, quantity in KINDS.items():
        files = [f for f in full_report["outputs"] if f["quantity"] == quantity and f["series_instance_uid"]]
        if files:
            paths = {_sop_instance_uid(folder / file["path"]): file["path"] for file in files}
            series.append(ResultSeries(kind, files[0]["series_instance_uid"], paths))
    return Record(name, uid, dict(report), tuple(series))


def _sop_instance_uid(path: Path) -> str:
    with path.open("rb") as file:
        return stated_uid(file.read(HEADING_BYTES))


class Result:
    """A finished result: its record, and its folder, which is fetched back only where somebody needs it."""

    def __init__(self, record: Record, folder: Callable[[], Path]) -> None:
        self.record = record
        self._folder = folder

    @cached_property
    def folder(self) -> Path:
        """Where its files are; takes time at the first call for a result that was made earlier."""
        return self._folder()

    @property
    def instances(self) -> int:
        """DICOM instances of all series together."""
        return sum(len(one.files) for one in self.record.series)
