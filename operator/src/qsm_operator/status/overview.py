"""What one person must know in one minute, from the custom resources as they are. Pure."""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from qsm_operator.resources.conditions import SUCCEEDED, Active, Type, find
from qsm_operator.resources.custom import QSMJob
from qsm_operator.resources.report import cleaned
from qsm_operator.resources.times import moment

WAITING = (
    "New",
    str(Active.PIPELINE_NOT_FOUND),
    str(Active.QUEUED),
    str(Active.STAGING),
    str(Active.RUNNING),
    str(Active.DELIVERING),
)
_FAILURES_SHOWN = 5
_RECENT = 86400
_QUEUED_LONG, _NEW_LONG, _ANY_LONG = 1800, 300, 14400
_FAILED_MANY = 0.1


@dataclass(frozen=True, slots=True)
class Waiting:
    """A QSMJob that is not finished."""

    namespace: str
    name: str
    state: str
    seconds: float
    message: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A QSMJob that has failed."""

    namespace: str
    name: str
    seconds_ago: float
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Speed:
    """How a pipeline did within the last day, on one processor."""

    pipeline: str
    backend: str
    succeeded: int
    failed: int
    median_seconds: float | None
    longest_seconds: float | None


@dataclass(frozen=True, slots=True)
class Route:
    """A QSMRoute."""

    namespace: str
    name: str
    is_paused: bool
    pipelines: tuple[str, ...]
    matched: int


@dataclass(frozen=True, slots=True)
class Overview:
    """The minute."""

    states: Mapping[str, int]
    oldest: Waiting | None
    failures: tuple[Failed, ...]
    speeds: tuple[Speed, ...]
    routes: tuple[Route, ...]
    deliveries_pending: Mapping[str, int]
    hints: tuple[str, ...]
    """What to look at, in sentences; empty where all is well."""


def overview(
    jobs: Iterable[Mapping[str, Any]],
    routes: Iterable[Mapping[str, Any]],
    pipelines: Iterable[Mapping[str, Any]],
    now: datetime,
) -> Overview:
    """From the objects of the API to what is shown."""
    seen = [QSMJob.from_body(body) for body in jobs]
    states = Counter(_state(job) for job in seen)
    waiting = sorted((_waiting(job, now) for job in seen if _waits(job)), key=lambda one: -one.seconds)
    known = {_key(body) for body in pipelines}
    shown = tuple(_route(body) for body in routes)
    pending = Counter(
        entry["destination"]
        for job in seen
        if not job.is_finished
        for entry in job.status.get("deliveries") or []
        if entry.get("state") == "Pending"
    )
    speeds = _speeds(seen, now)
    missing = sorted({name for route in shown for name in route.pipelines if (route.namespace, name) not in known})
    return Overview(
        states=dict(states),
        oldest=waiting[0] if waiting else None,
        failures=_failures(seen, now),
        speeds=speeds,
        routes=shown,
        deliveries_pending=dict(sorted(pending.items())),
        hints=tuple(_hints(waiting, speeds, pending, missing, shown)),
    )


def _complete(job: QSMJob) -> Mapping[str, Any]:
    return find(job.status.get("conditions") or [], Type.COMPLETE) or {}


def _state(job: QSMJob) -> str:
    return str(_complete(job).get("reason", "New"))


def _waits(job: QSMJob) -> bool:
    return not job.is_finished and _state(job) in WAITING


def _waiting(job: QSMJob, now: datetime) -> Waiting:
    message = cleaned(_complete(job).get("message"), 200)
    return Waiting(job.namespace, job.name, _state(job), (now - job.created).total_seconds(), message)


def _ended(job: QSMJob) -> datetime:
    return moment(job.status.get("completionTime")) or job.created


def _failures(jobs: list[QSMJob], now: datetime) -> tuple[Failed, ...]:
    failed = [job for job in jobs if _complete(job).get("status") == "False"]
    failed.sort(key=_ended, reverse=True)
    return tuple(
        Failed(
            job.namespace,
            job.name,
            (now - _ended(job)).total_seconds(),
            _state(job),
            cleaned(_complete(job).get("message"), 200),
        )
        for job in failed[:_FAILURES_SHOWN]
    )


def _speeds(jobs: list[QSMJob], now: datetime) -> tuple[Speed, ...]:
    groups: dict[tuple[str, str], list[QSMJob]] = {}
    for job in jobs:
        if job.is_finished and (now - _ended(job)).total_seconds() <= _RECENT:
            groups.setdefault((job.pipeline_name, str(job.status.get("backend", "none"))), []).append(job)
    found = []
    for (pipeline, backend), ended in sorted(groups.items()):
        good = [(_ended(job) - job.created).total_seconds() for job in ended if _state(job) == SUCCEEDED]
        median = statistics.median(good) if good else None
        found.append(Speed(pipeline, backend, len(good), len(ended) - len(good), median, max(good, default=None)))
    return tuple(found)


def _key(body: Mapping[str, Any]) -> tuple[str, str]:
    metadata = body.get("metadata") or {}
    return metadata.get("namespace", ""), metadata.get("name", "")


def _route(body: Mapping[str, Any]) -> Route:
    spec, status = body.get("spec") or {}, body.get("status") or {}
    names = tuple(
        str((entry.get("pipelineRef") or {}).get("name") or entry.get("name", ""))
        for entry in spec.get("pipelines") or []
    )
    return Route(*_key(body), bool(spec.get("paused")), names, int(status.get("matchedCount", 0)))


def _hints(
    waiting: list[Waiting],
    speeds: tuple[Speed, ...],
    pending: Mapping[str, int],
    missing: list[str],
    routes: tuple[Route, ...],
) -> Iterable[str]:
    """The same limits as the alerts, as far as the resources alone tell."""
    if any(one.state == "New" and one.seconds > _NEW_LONG for one in waiting):
        yield "QSMJobs stay New: does the operator run? (kubectl get pods -l app.kubernetes.io/component=operator -A)"
    queued = [one for one in waiting if one.state == Active.QUEUED and one.seconds > _QUEUED_LONG]
    if queued:
        yield f"{len(queued)} QSMJobs have been Queued for more than half an hour; the message of the oldest tells why"
    if any(one.seconds > _ANY_LONG and one.state in {Active.STAGING, Active.RUNNING} for one in waiting):
        yield "a reconstruction has been under way for more than four hours"
    failed, ended = sum(one.failed for one in speeds), sum(one.failed + one.succeeded for one in speeds)
    if failed > 2 and failed > _FAILED_MANY * ended:
        yield f"{failed} of {ended} QSMJobs of the last day failed"
    yield from (f"{count} results wait for the destination {name}" for name, count in sorted(pending.items()))
    yield from (f"a QSMRoute names the QSMPipeline {name}, which does not exist there" for name in missing)
    if routes and all(route.is_paused for route in routes):
        yield "every QSMRoute is paused: nothing new is reconstructed"
