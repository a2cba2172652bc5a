"""The pod's story: fetch, read, reconstruct, write, deliver, each step restartable."""

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qsm_acquisition.acquisition import Acquisition, Survey
from qsm_recon import app, devices, outputs, survey, termination
from qsm_recon.dicom.quantities import MapKind
from qsm_recon.errors import InputError, ReconError, out_of_memory
from qsm_recon.qsm.observing import Observer, StageClock, StageTiming
from qsm_recon.qsm.progress import Progress
from qsm_recon.recipes import Recipe
from qsm_recon.report.document import program_version
from qsm_recon.request import Request
from qsm_recon.store.interim import NOWHERE, InterimData, clean_up, opened
from qsm_recon.store.manifests import JobRecord
from qsm_recon.transfer import places, results, sources
from qsm_recon.transfer.deliveries import Delivery, DeliveryError, State
from qsm_recon.transfer.places import Doors, Places
from qsm_recon.transfer.results import Result
from qsm_recon.transfer.sources import Source

KINDS = {MapKind.CHI: "ChiMap", MapKind.R2STAR: "R2StarMap"}
"""What the contract calls the maps."""

_STEP_OF_STAGE = {
    "fetch": "fetch",
    "look": "read",
    "read": "read",
    "write": "write",
    "keep": "write",
    "deliver": "deliver",
}


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


@dataclass(frozen=True)
class _Work:
    """One request on its way."""

    request: Request
    steps: Steps
    clock: StageClock
    recipe: Recipe
    source: Source
    places: Places
    folder: Path
    """For everything in progress; removed at the end."""

    @property
    def pipeline(self) -> str:
        """What marks call it."""
        return f"qsm:{self.request.pipeline.name}@{self.request.pipeline.version}"

    @property
    def method(self) -> dict[str, str]:
        """What else decides over the result, beside the images."""
        return {"recipe": self.recipe.sha256, "version": program_version()}


def _run(request: Request, steps: Steps) -> dict[str, Any]:
    with ExitStack() as stack:
        work = _begun(request, steps, stack)
        result = _found(work)
        interim = NOWHERE if result is not None else _interim(request)  # a result that is there needs none
        try:
            report = _delivered(work, result or _made(work, interim))
        except ReconError as error:
            error.details |= _cost(interim)
            clean_up(interim, request.cleanup, error)
            raise
        report |= _cost(interim)
        clean_up(interim, request.cleanup, None)
        return report


def _cost(interim: InterimData) -> dict[str, Any]:
    """What the store of interim data has cost, where there is one."""
    return {"store": interim.traffic} if interim.traffic else {}


def _begun(request: Request, steps: Steps, stack: ExitStack) -> _Work:
    """Everything that can be wrong with the request itself comes out here."""
    recipe = request.recipe()
    folder = request.scratch / f"attempt-{request.job.attempt}"
    shutil.rmtree(folder, ignore_errors=True)  # what a killed container of this very pod left
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    doors = Doors(stack)
    return _Work(
        request=request,
        steps=steps,
        clock=StageClock(steps),
        recipe=recipe,
        source=sources.opened(request.source, doors),
        places=Places(places.opened(request.destinations, request.job, doors)),
        folder=folder,
    )


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


def _found(work: _Work) -> Result | None:
    """What an earlier attempt, or another job with the same images and method, has made; not one image is moved.

    What the earlier attempt kept is looked for first, and without the source: that may have been deleted, have got
    more images, or be away, and the map of what the job names is delivered all the same.
    """
    into, made = work.folder / "result", work.request.job.made
    own = work.places.find_own(into) or (work.places.find(made, into) if made else None)
    if own is not None:
        return own
    wanted = work.source.earlier(work.pipeline, work.method)
    return work.places.find(wanted, into) if wanted else None


def _made(work: _Work, interim: InterimData) -> Result:
    """The result: computed, or found after all now that the images tell what it would be called."""
    method = app.Method(work.recipe, devices.choose(work.request.device))
    made = work.folder / "result"
    with work.clock.stage("fetch") as progress:
        images = work.source.fetch(work.folder / "source", progress)
    with work.clock.stage("look") as progress:
        seen = survey.look(images, progress, work.source.series_instance_uids)
    acquisition = _the_only(seen)
    uids = outputs.series_instance_uids(acquisition, work.recipe)
    found = work.places.find({KINDS[kind]: uid for kind, uid in uids.items()}, made)
    if found is not None:
        return found
    (full,) = app.run(images, made, method, work.steps, interim=interim, found=seen)
    work.source.check_still_there()
    report = termination.short(full)
    report["stageSeconds"] = _seconds(work) | report["stageSeconds"]
    job = work.request.job
    record = results.of_folder(made, full, report, job.name, job.uid)
    return Result(record, lambda: made)


def _seconds(work: _Work) -> dict[str, float]:
    """What the steps around the reconstruction itself took, so far."""
    return {timing.stage: round(timing.seconds, 3) for timing in work.clock.timings}


def _the_only(seen: Survey) -> Acquisition:
    if len(seen.acquisitions) > 1:
        found = "; ".join(survey.in_words(one) for one in seen.acquisitions)
        raise InputError(
            "SeveralAcquisitions",
            f"the source holds {len(seen.acquisitions)} usable acquisitions ({found}); name the "
            "series of one in seriesInstanceUIDs",
        )
    (acquisition,) = survey.choose(seen, "")
    return acquisition


def _delivered(work: _Work, result: Result) -> dict[str, Any]:
    """The short report, once the result is everywhere.

    Raises
    ------
    DeliveryError
        It is not: what has arrived, and what has not, in `details`.
    ReconError
        Nowhere could it be kept: it must be made again.
    """
    made, job = result.record, work.request.job
    warnings = list(made.report["warnings"])
    spent, cached = dict(made.report.get("stageSeconds", {})), list(made.report.get("cached", []))
    if made.job_uid != job.uid:
        spent, cached = {}, []  # that job has told what it cost
        warnings.append(f"ResultReused: made earlier by the job {made.job_name} from the same images and method.")
    with work.clock.stage("keep"):
        work.places.keep(result)
    with work.clock.stage("deliver") as progress:
        uids = {one.kind: one.series_instance_uid for one in made.series}
        warnings += work.source.mark(work.pipeline, work.method, uids)
        deliveries = work.places.deliver(result, progress)
    told = {
        "outputs": _outputs(result, deliveries),
        "deliveries": [one.as_dict() for one in deliveries],
    }
    if any(one.state is not State.DELIVERED for one in deliveries):
        error = DeliveryError(deliveries)
        error.details = told
        raise error
    return {**told, **made.report, "stageSeconds": spent | _seconds(work), "cached": cached, "warnings": warnings}


def _outputs(result: Result, deliveries: list[Delivery]) -> list[dict[str, Any]]:
    """The series, for each destination that has them; once without any where none has."""
    made = [
        {"kind": one.kind, "seriesInstanceUID": one.series_instance_uid, "instances": len(one.files)}
        for one in result.record.series
    ]
    having = [one.destination for one in deliveries if one.state is State.DELIVERED]
    return [{**output, "destination": name} for name in having for output in made] or made
