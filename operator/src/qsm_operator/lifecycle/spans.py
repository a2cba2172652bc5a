"""The spans that end with one written change of a QSMJob. Pure; what a pod did is told from the report it left.

A pod needs no telemetry of its own: its report says how long each stage took. Stages follow one another and the last
one ends with the pod, so they are laid out backwards from there; clocks of Kubernetes' objects tell whole seconds.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from qsm_operator.lifecycle.decisions import Decision
from qsm_operator.resources.conditions import SUCCEEDED, Type, find
from qsm_operator.resources.custom import Attempt, QSMJob
from qsm_operator.resources.observed import SeenPod
from qsm_operator.resources.report import Report
from qsm_operator.resources.times import moment
from qsm_operator.tracing.traces import Attributes, Span, below, of_attempt, of_job


def spans_of(before: QSMJob, decision: Decision, pods: Iterable[SeenPod], now: datetime) -> tuple[Span, ...]:
    """Attempts that have ended, with what they consist of, and the QSMJob itself where it has."""
    new, ended = decision.status, {attempt.index for attempt in before.attempts if not attempt.is_open}
    finished = {pod.job_name: pod.finished for pod in pods if pod.finished}
    found: list[Span] = []
    for entry in new.get("attempts") or []:
        attempt = Attempt.from_status(entry)
        if not attempt.is_open and attempt.index not in ended:
            end = finished.get(attempt.jobName) or moment(attempt.endTime) or now
            found += _of_attempt(before, attempt, decision, end)
    complete = find(new.get("conditions") or [], Type.COMPLETE) or {}
    if complete.get("status") in {"True", "False"} and not before.is_finished:
        found.append(_of_job(before, new, complete["reason"], now))
    return tuple(found)


def _of_job(job: QSMJob, status: Mapping[str, Any], reason: str, now: datetime) -> Span:
    about = _about(job) | {"qsm.result": reason, "qsm.attempts": int(status.get("attemptCount", 0))}
    return Span(
        "QSMJob",
        of_job(job.uid, job.trace),
        job.trace.span_id if job.trace else "",
        job.created,
        max(job.created, now),
        about,
        is_failed=reason != SUCCEEDED,
    )


def _of_attempt(job: QSMJob, attempt: Attempt, decision: Decision, end: datetime) -> Iterator[Span]:
    context = of_attempt(job.uid, job.trace, attempt.index)
    begin = moment(attempt.startTime) or job.created
    ran = moment(attempt.runTime)
    end = max(begin, ran or begin, end)
    about = _about(job) | {
        "qsm.attempt": attempt.index,
        "qsm.backend": attempt.backend,
        "qsm.result": attempt.result,
        "k8s.node.name": attempt.nodeName,
    }
    told = _deliveries(decision.status)
    stages = list(_stages(decision.report)) if ran else []
    yield Span(
        f"attempt {attempt.index}",
        context,
        of_job(job.uid, job.trace).span_id,
        begin,
        end,
        {name: value for name, value in about.items() if value != ""},
        events=() if stages else told,
        is_failed=attempt.result != SUCCEEDED,
    )
    yield Span("wait for a node", below(context, "wait"), context.span_id, begin, max(begin, ran or end))
    at = max(ran or begin, end - timedelta(seconds=sum(seconds for _, seconds, _ in stages)))
    for stage, seconds, is_cached in stages:
        until = min(end, at + timedelta(seconds=seconds))
        yield Span(
            stage,
            below(context, "stage", stage),
            context.span_id,
            at,
            until,
            {"qsm.stage": stage, "qsm.cached": is_cached},
            events=told if stage == "deliver" else (),
        )
        at = until


def _stages(report: Report | None) -> Iterator[tuple[str, float, bool]]:
    for entry in report.stage_seconds if report else ():
        yield entry["stage"], max(0.0, float(entry["seconds"])), entry["stage"] in report.cached if report else False


def _deliveries(status: Mapping[str, Any]) -> tuple[tuple[str, Attributes], ...]:
    entries: Sequence[Mapping[str, Any]] = status.get("deliveries") or []
    return tuple(
        (
            "delivery",
            {
                "qsm.destination": str(entry["destination"]),
                "qsm.state": str(entry.get("state", "")),
                "qsm.instances": int(entry.get("instances", 0)),
            },
        )
        for entry in entries
    )


def _about(job: QSMJob) -> dict[str, str | int | float | bool]:
    return {"k8s.namespace.name": job.namespace, "qsm.job": job.name, "qsm.pipeline": job.pipeline_name}
