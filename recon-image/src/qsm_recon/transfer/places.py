"""Destinations, each on its own: one that fails harms no other."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

from qsm_recon.errors import InputError, ReconError, TransientError
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.request import Destination, JobPart
from qsm_recon.transfer import results, s3_folder, volume
from qsm_recon.transfer.deliveries import Delivery, State, not_delivered
from qsm_recon.transfer.orthanc import haste, sending
from qsm_recon.transfer.orthanc.archive import Archive
from qsm_recon.transfer.orthanc.door import Door
from qsm_recon.transfer.results import Record, Result


class Place(Protocol):
    """Where a result goes."""

    def find_own(self) -> Record | None:
        """A complete result that is there as this job's own."""

    def find(self, wanted: Mapping[str, str]) -> Record | None:
        """A complete result with these series (kind to SeriesInstanceUID)."""

    def restore(self, into: Path, progress: Progress = silent) -> None:
        """Copy what was found to a new folder."""

    def keep(self, result: Result) -> None:
        """Store the result where it does not get lost; harmless when it is there."""

    def deliver(self, result: Result) -> Delivery:
        """Bring what was kept to its end."""


class VolumePlace:
    """A folder on a claim."""

    def __init__(self, name: str, directory: Path, job: JobPart) -> None:
        self._name, self._directory, self._job = name, directory, job

    def find_own(self) -> Record | None:
        """By the job's uid."""
        return volume.find(self._directory, self._job.uid)

    def find(self, wanted: Mapping[str, str]) -> Record | None:  # noqa: ARG002 - a job's folder holds that job's result
        """The same."""
        return self.find_own()

    def restore(self, into: Path, progress: Progress = silent) -> None:
        """Copy it."""
        volume.restore(self._directory, into, progress)

    def keep(self, result: Result) -> None:
        """All or nothing."""
        volume.keep(self._directory, result, self._job.name, self._job.uid)

    def deliver(self, result: Result) -> Delivery:
        """It is there."""
        return Delivery(self._name, State.DELIVERED, result.instances)


class S3Place:
    """A prefix in an S3 store; each job has a prefix of its own below it."""

    def __init__(self, name: str, connection: Path, uri: str, job: JobPart) -> None:
        self._name, self._connection, self._job = name, connection, job
        self._uri = f"{uri.rstrip('/')}/{job.name}"

    def find_own(self) -> Record | None:
        """By the job's uid; what an attempt left that did not come to its record is written again.

        Raises
        ------
        InputError
            `DestinationOccupied`: something else is recorded there; it is not touched.
        """
        document = s3_folder.find_record(self._connection, self._uri)
        if document is None:
            return None
        record = results.from_document(document)
        if record is None or record.job_uid != self._job.uid:
            raise InputError(
                "DestinationOccupied", "the destination prefix holds another result; empty it or name another"
            )
        return record

    def find(self, wanted: Mapping[str, str]) -> Record | None:  # noqa: ARG002 - as in a volume
        """The same."""
        return self.find_own()

    def restore(self, into: Path, progress: Progress = silent) -> None:
        """Copy it."""
        s3_folder.fetch(self._connection, self._uri, into, progress)

    def keep(self, result: Result) -> None:
        """Objects first, record last."""
        if self.find_own() is None:
            record = replace(result.record, job_name=self._job.name, job_uid=self._job.uid)
            s3_folder.deliver(self._connection, self._uri, result.folder, record.document())

    def deliver(self, result: Result) -> Delivery:
        """It is there."""
        return Delivery(self._name, State.DELIVERED, result.instances)


class OrthancPlace:
    """An Orthanc server that keeps the result."""

    def __init__(self, name: str, archive: Archive) -> None:
        self._name, self._archive = name, archive

    def find_own(self) -> Record | None:
        """Found by its series only."""
        return None

    def find(self, wanted: Mapping[str, str]) -> Record | None:
        """By the record beside the series."""
        return self._archive.find(wanted)

    def restore(self, into: Path, progress: Progress = silent) -> None:
        """Copy it."""
        self._archive.restore(into, progress)

    def keep(self, result: Result) -> None:
        """Stored, verified, recorded."""
        self._archive.store(result)

    def deliver(self, result: Result) -> Delivery:
        """It is there."""
        return Delivery(self._name, State.DELIVERED, result.instances)


class SentPlace(OrthancPlace):
    """A receiver that an Orthanc server sends to; that server keeps the result, too."""

    def __init__(self, name: str, archive: Archive, way: str, receiver: str) -> None:
        super().__init__(name, archive)
        self._way, self._receiver = way, receiver

    def deliver(self, result: Result) -> Delivery:
        """Send it, unless an earlier attempt has done so, and remember how far it came."""
        so_far = self._archive.noted(self._name) or Delivery(self._name, State.PENDING)
        if so_far.state is State.DELIVERED:
            return so_far
        series = self._archive.store(result)
        delivery = sending.send(self._archive.door, self._way, self._receiver, series, so_far, haste.HASTE)
        self._archive.note(delivery)
        return delivery


def opened(destinations: Iterable[Destination], job: JobPart, door: Callable[[Path], Door]) -> dict[str, Place]:
    """A place for each destination, by name. `door` opens a connection, once for each."""
    archives: dict[Path, Archive] = {}

    def archive(connection: Path) -> Archive:
        if connection not in archives:
            archives[connection] = Archive(door(connection), job.uid)
        return archives[connection]

    def place(one: Destination) -> Place:
        if one.volume is not None:
            return VolumePlace(one.name, one.volume.directory, job)
        if one.s3 is not None:
            return S3Place(one.name, one.s3.connection, one.s3.uri, job)
        if one.orthanc is not None:
            return OrthancPlace(one.name, archive(one.orthanc.connection))
        for way in sending.WAYS:
            receiver = getattr(one, way)
            if receiver is not None:
                return SentPlace(one.name, archive(receiver.connection), way, receiver.name)
        raise AssertionError  # the request has exactly one

    return {one.name: place(one) for one in destinations}


class Doors:
    """Doors to Orthanc servers, each opened once and closed with the stack."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._doors: dict[Path, Door] = {}

    def __call__(self, connection: Path) -> Door:
        """The door of a connection."""
        if connection not in self._doors:
            self._doors[connection] = self._stack.enter_context(Door(connection))
        return self._doors[connection]


class Places:
    """All destinations of a request."""

    def __init__(self, places: Mapping[str, Place]) -> None:
        self._places = places
        self._refused: dict[str, ReconError] = {}

    def find_own(self, into: Path) -> Result | None:
        """A result of this job's that lies at any of them.

        Raises
        ------
        ReconError
            None of them can be used, and why the first cannot.
        """
        return self._find(lambda place: place.find_own(), into)

    def find(self, wanted: Mapping[str, str], into: Path) -> Result | None:
        """A result with these series that lies at any of them; its folder will be `into`. Raises as `find_own`."""
        return self._find(lambda place: place.find(wanted), into)

    def keep(self, result: Result) -> None:
        """Store it wherever it can be stored.

        Raises
        ------
        ReconError
            It could be stored nowhere, and why not: a reason that may pass before one that does not.
        """
        kept = False
        for name, place in self._usable():
            try:
                place.keep(result)
                kept = True
            except ReconError as error:
                self._refused[name] = error
        if not kept:
            raise min(self._refused.values(), key=lambda one: one.exit_code != TransientError.exit_code)

    def deliver(self, result: Result, progress: Progress = silent) -> list[Delivery]:
        """How far it came with each, in the order of the request."""
        deliveries = []
        for number, (name, place) in enumerate(self._places.items(), 1):
            try:
                if name in self._refused:
                    raise self._refused[name]
                deliveries.append(place.deliver(result))
            except ReconError as error:
                deliveries.append(not_delivered(name, error))
            progress(number / len(self._places))
        return deliveries

    def _find(self, look: Callable[[Place], Record | None], into: Path) -> Result | None:
        failures: list[ReconError] = []
        usable = self._usable()
        for name, place in usable:
            try:
                record = look(place)
            except ReconError as error:
                failures.append(error)
                if error.exit_code != TransientError.exit_code:
                    self._refused[name] = error
                continue
            if record is not None:
                return Result(record, partial(_restored, place, into))
        if failures and len(failures) == len(usable):
            raise failures[0]
        return None

    def _usable(self) -> list[tuple[str, Place]]:
        return [(name, place) for name, place in self._places.items() if name not in self._refused]


def _restored(place: Place, into: Path) -> Path:
    place.restore(into)
    return into
