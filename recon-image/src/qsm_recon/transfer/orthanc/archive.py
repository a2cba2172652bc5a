"""One Orthanc server as a keeper of results: stored whole and verified, or not there."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qsm_recon.errors import ReconError, TransientError
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.transfer import results
from qsm_recon.transfer.deliveries import Commitment, Delivery, State
from qsm_recon.transfer.orthanc import attachments, fetch, series, upload
from qsm_recon.transfer.orthanc.door import Door
from qsm_recon.transfer.orthanc.series import Series
from qsm_recon.transfer.results import Record, Result

_JOBS_KEPT = 16
"""Jobs whose deliveries a record remembers."""


class Archive:
    """Finds, stores and gives back results, and remembers beside them which delivery has succeeded.

    Every destination that this server keeps or sends for shares one; the results are stored once.
    """

    def __init__(self, door: Door, job_uid: str) -> None:
        self.door = door
        self._job_uid = job_uid
        self._record: Record | None = None
        self._series: tuple[Series, ...] = ()
        self._deliveries: dict[str, dict[str, Any]] = {}
        self._failure: ReconError | None = None

    def find(self, wanted: Mapping[str, str]) -> Record | None:
        """The complete result with these series (kind to SeriesInstanceUID), None where any of it is missing.

        Raises
        ------
        ReconError
            See `failures`.
        """
        first, *_ = wanted.values()
        for candidate in series.find(self.door, first):
            document = attachments.read_record(self.door, candidate.orthanc_id)
            record = results.from_document(document)
            if document is None or record is None or not record.is_of(wanted):
                continue
            held = self._held(record)
            if held and attachments.has_bundle(self.door, held[0].orthanc_id):
                self._record, self._series = record, held
                self._deliveries = _deliveries(document)
                return record
        return None

    def store(self, result: Result, progress: Progress = silent) -> tuple[Series, ...]:
        """The result's series here, stored, verified and recorded unless they were already.

        What failed once is not tried again for the next destination.

        Raises
        ------
        ReconError
            See `upload` and `failures`.
        """
        if self._record is not None:
            return self._series
        if self._failure is not None:
            raise self._failure
        try:
            self._series = self._stored(result.folder, result.record, progress)
        except ReconError as error:
            self._failure = error
            raise
        return self._series

    def restore(self, into: Path, progress: Progress = silent) -> None:
        """Copy the result that `find` found into a new folder, as it was when it was made."""
        if self._record is None:
            raise ValueError("nothing was found that could be copied")
        places = {uid: into / path for one in self._record.series for uid, path in one.files.items()}
        for place in places.values():
            place.parent.mkdir(parents=True, exist_ok=True)
        wanted = [(one, places[one.sop_instance_uid]) for found in self._series for one in found.instances]
        fetch.copy(self.door, wanted, progress)
        if not attachments.read_bundle(self.door, self._series[0].orthanc_id, into):
            raise _vanished(self.door)

    def noted(self, destination: str) -> Delivery | None:
        """How far an earlier attempt of this job came with that destination."""
        entry = self._deliveries.get(self._job_uid, {}).get(destination)
        try:
            return None if entry is None else _delivery(destination, entry)
        except (LookupError, TypeError, ValueError):
            return None

    def note(self, delivery: Delivery) -> None:
        """Remember it for later attempts."""
        mine = self._deliveries.pop(self._job_uid, {})
        mine[delivery.destination] = {**delivery.as_dict(), "sent": delivery.sent}
        self._deliveries[self._job_uid] = mine  # the latest last
        self._write()

    def _stored(self, folder: Path, record: Record, progress: Progress) -> tuple[Series, ...]:
        ids = []
        for number, one in enumerate(record.series):
            files = {uid: folder / path for uid, path in one.files.items()}
            ids.append(upload.upload(self.door, files))
            progress((number + 1) / len(record.series))
        found = [series.opened(self.door, orthanc_id) for orthanc_id in ids]
        held = tuple(one for one in found if one is not None)
        if len(held) < len(ids):
            raise _vanished(self.door)
        attachments.write_bundle(self.door, held[0].orthanc_id, folder)
        self._record, self._series = record, held
        self._write()  # last: who finds it may rely on all the rest
        return held

    def _write(self) -> None:
        if self._record is None:
            raise ValueError("nothing is stored that a record could describe")
        kept = dict(list(self._deliveries.items())[-_JOBS_KEPT:])
        document = {**self._record.document(), "deliveries": kept}
        attachments.write_record(self.door, self._series[0].orthanc_id, document)

    def _held(self, record: Record) -> tuple[Series, ...]:
        """Its series where all of them are here with all of their instances, else nothing."""
        held = []
        for one in record.series:
            whole = [
                found
                for found in series.find(self.door, one.series_instance_uid)
                if found.sop_instance_uids == set(one.files)
            ]
            if not whole:
                return ()
            held.append(whole[0])
        return tuple(held)


def _vanished(door: Door) -> TransientError:
    return TransientError("ResultIncomplete", f"a result vanished from Orthanc {door.name} while it was needed")


def _deliveries(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found = document.get("deliveries")
    if not isinstance(found, dict):
        return {}
    return {str(job): dict(entries) for job, entries in found.items() if isinstance(entries, dict)}


def _delivery(destination: str, entry: Mapping[str, Any]) -> Delivery:
    said = entry.get("commitment")
    delivery = Delivery(
        destination,
        State(entry["state"]),
        int(entry["instances"]),
        message=str(entry.get("message", "")) if "reason" not in entry else "",
        sent=bool(entry["sent"]),
    )
    return replace(delivery, commitment=Commitment(said)) if said else delivery
