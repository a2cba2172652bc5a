"""The pod's story: fetch, read, reconstruct, write, deliver, each step restartable."""

import json
import shutil
from pathlib import Path
from typing import Any

from qsm_recon import app, devices, folder, termination
from qsm_recon.errors import InputError, ReconError, TransientError, UsageError, out_of_memory
from qsm_recon.qsm.observing import Observer, StageTiming
from qsm_recon.qsm.progress import Progress
from qsm_recon.request import Request
from qsm_recon.store.interim import NOWHERE, InterimData, clean_up, opened
from qsm_recon.store.manifests import JobRecord

RECORD = "job.json"
"""In every delivered folder: which job it is of, and the short report. A second attempt finds it and is done."""

_STEP_OF_STAGE = {"look": "read", "read": "read", "write": "write"}


class Steps:
    """An observer that also remembers which step of the contract the work is at."""

    def __init__(self, inner: Observer) -> None:
        self._inner = inner
        self.step = "fetch"

    def started(self, stage: str) -> Progress:
        """Note the step."""
        self.step = _STEP_OF_STAGE.get(stage, "reconstruct")
        return self._inner.started(stage)

    def finished(self, timing: StageTiming) -> None:
        """Pass it on."""
        self._inner.finished(timing)


def run(request: Request, observer: Observer) -> dict[str, Any]:
    """Do what the request asks; the short report, which is also left as the termination message.

    Raises
    ------
    ReconError
        With the reason; the report of the failure has been left then.
    """
    steps = Steps(observer)
    try:
        report = _run(request, steps)
    except (ReconError, MemoryError) as error:
        failure = error if isinstance(error, ReconError) else out_of_memory()
        termination.leave(termination.of_failure(failure, steps.step))
        raise failure from error.__cause__
    termination.leave(report)
    return report


def _run(request: Request, steps: Steps) -> dict[str, Any]:
    reports = [_delivered(place.volume.directory, request) for place in request.destinations]
    waiting = [place for place, report in zip(request.destinations, reports, strict=True) if report is None]
    if not waiting and reports[0] is not None:
        return reports[0]
    if request.source.volume.seriesInstanceUIDs:
        raise UsageError("choosing series inside a volume is not possible yet; put one acquisition into the folder")
    source = request.source.volume.directory
    if not source.is_dir():
        raise TransientError(
            "SourceMissing", "the source folder is not in the volume (yet); mount it or send the images"
        )
    method = app.Method(request.recipe(), devices.choose(request.device))
    made = request.scratch / f"result-{request.job.attempt}"
    shutil.rmtree(made, ignore_errors=True)  # what a killed container of this very pod left
    interim = _interim(request)
    try:
        (full,) = app.run(source, made, method, steps, interim=interim)
    except ReconError as error:
        clean_up(interim, request.cleanup, error)
        raise
    report = termination.of_success(full, tuple(place.name for place in request.destinations))
    steps.step = "deliver"
    for place in waiting:
        with folder.new_folder(place.volume.directory) as staging:
            shutil.copytree(made, staging, dirs_exist_ok=True)
            record = {"job": request.job.model_dump(include={"name", "uid"}), "report": report}
            (staging / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    clean_up(interim, request.cleanup, None)
    shutil.rmtree(made)
    return report


def _interim(request: Request) -> InterimData:
    """Where this job keeps finished stages; when that place is away, the attempt ends and is tried again.

    Raises
    ------
    ReconError
        Why the place cannot be used.
    """
    place = request.interimData
    if place is None:
        return NOWHERE
    job = JobRecord(name=request.job.name, uid=request.job.uid, attempt=request.job.attempt)
    return opened(place.uri, place.connection, "fail", image=request.pipeline.image, job=job)


def _delivered(directory: Path, request: Request) -> dict[str, Any] | None:
    """The short report of an earlier attempt of the same job, None where nothing is there yet.

    Raises
    ------
    InputError
        `DestinationOccupied`: something else is there; it is not touched.
    """
    if not directory.exists():
        return None
    try:
        record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
        whose, report = record["job"]["uid"], record["report"]
    except (OSError, ValueError, LookupError, TypeError):
        raise InputError(
            "DestinationOccupied",
            "the destination folder exists and is not a result of this job; empty it or name another",
        ) from None
    if whose != request.job.uid:
        raise InputError(
            "DestinationOccupied", "the destination folder holds the result of another job; empty it or name another"
        )
    return dict(report)
