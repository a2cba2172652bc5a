"""The status of a QSMJob, put together; and which of its changes are worth an Event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from qsm_operator.lifecycle import deliveries
from qsm_operator.lifecycle.backends import FALLBACK_REASONS
from qsm_operator.lifecycle.decisions import Event, Facts, Final, Start, Wait
from qsm_operator.lifecycle.outcomes import Outcome
from qsm_operator.resources.conditions import SUCCEEDED, Active, Failure, Held, NotFailed, Step, Type, condition, find
from qsm_operator.resources.custom import CPU, MAX_ATTEMPTS_KEPT, Attempt, Pipeline
from qsm_operator.resources.report import STEPS, Report
from qsm_operator.resources.times import moment, stamp

_STEP_OF = {
    Type.INPUT_STAGED: "fetch",
    Type.RECONSTRUCTED: "reconstruct",
    Type.RESULTS_STORED: "write",
    Type.RESULTS_DELIVERED: "deliver",
}
"""After which step of the reconstruction a condition is true."""

_PROGRESS_POINTS, _PROGRESS_AGE = 20, timedelta(minutes=5)
"""Progress is written when it has moved so far, or when what stands there is so old."""

_RESULTS = ("outputs", "metrics", "stageSeconds", "warnings", "deliveries")


def build_status(
    facts: Facts,
    pipeline: Pipeline | None,
    attempts: tuple[Attempt, ...],
    plan: Final | Wait | Start,
    held: Held,
    outcome: Outcome | None,
) -> dict[str, Any]:
    """The whole status, as it is to be written."""
    job, now = facts.job, stamp(facts.now)
    before: Mapping[str, Any] = job.status
    newest = attempts[-1] if attempts else None
    retries = not isinstance(plan, Final) and deliveries.since(job, attempts) is not None
    report = outcome.report if outcome else None
    results = {name: before[name] for name in _RESULTS if name in before}
    if isinstance(plan, Final) or retries:
        results = _results(before, report, plan, now)
    status: dict[str, Any] = {
        "observedGeneration": job.generation,
        "conditions": _conditions(facts, plan, held, _Steps(report, results.get("deliveries") or [], retries=retries)),
        "pipeline": before.get("pipeline") or (_pipeline(facts, pipeline, newest) if pipeline and newest else None),
        "backend": newest.backend if newest else None,
        "attemptCount": max([int(before.get("attemptCount", 0)), *(attempt.index for attempt in attempts)]) or None,
        "attempts": [attempt.to_status() for attempt in kept(attempts)] or None,
        "startTime": before.get("startTime") or (attempts[0].startTime if attempts else None),
        "completionTime": now if isinstance(plan, Final) else None,
        "progress": _progress(facts, plan, newest, now),
        **results,
    }
    return {name: value for name, value in status.items() if value is not None}


def kept(attempts: Sequence[Attempt]) -> list[Attempt]:
    """The attempts a status lists: the newest, and rather those that count than those that do not."""
    left = list(attempts)
    while len(left) > MAX_ATTEMPTS_KEPT:
        droppable = [attempt for attempt in left[:-1] if not attempt.counted] or left[:-1]
        left.remove(droppable[0])
    return left


def _pipeline(facts: Facts, pipeline: Pipeline, newest: Attempt) -> dict[str, Any]:
    found = {
        "name": pipeline.name,
        "generation": pipeline.generation,
        "uid": pipeline.uid,
        "version": pipeline.spec.get("version"),
        "hash": pipeline.digest(facts.job.parameters),
        "image": newest.image,
    }
    return {name: value for name, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class _Steps:
    """What the conditions after steps rest on."""

    report: Report | None
    deliveries: list[dict[str, Any]]
    retries: bool
    """Only delivery is left, and it is tried again."""


def _conditions(facts: Facts, plan: Final | Wait | Start, held: Held, steps: _Steps) -> list[dict[str, Any]]:
    before, now = facts.job.status.get("conditions") or [], stamp(facts.now)

    def say(kind: Type, status: str, reason: str, message: str) -> dict[str, Any]:
        return condition(before, kind, status, reason, message, facts.job.generation, now)

    done = isinstance(plan, Final) and plan.reason == SUCCEEDED
    failed = isinstance(plan, Final) and not done
    if isinstance(plan, Final):
        complete = say(Type.COMPLETE, "True" if done else "False", plan.reason, plan.message)
    elif isinstance(plan, Wait):
        complete = say(Type.COMPLETE, "Unknown", plan.reason, plan.message)
    else:
        complete = say(Type.COMPLETE, "Unknown", Active.QUEUED, "Waits for its turn: as many run as may run at once.")
    is_held = held != Held.NOT_SUSPENDED
    failure = (
        say(Type.FAILED, "True", plan.reason, plan.message)
        if failed and isinstance(plan, Final)
        else say(Type.FAILED, "False", NotFailed.NOT_FAILED, "")
    )
    said = deliveries.sentence(steps.deliveries)
    return [
        complete,
        failure,
        say(Type.SUSPENDED, "True" if is_held else "False", held, complete["message"] if is_held else ""),
        *(
            say(
                kind,
                *_step(before, kind, steps, done=done, failed=failed),
                said if kind == Type.RESULTS_DELIVERED else "",
            )
            for kind in _STEP_OF
        ),
    ]


def _step(
    before: Sequence[Mapping[str, Any]], kind: Type, steps: _Steps, *, done: bool, failed: bool
) -> tuple[str, str]:
    """Status and reason of the condition that is true after a step."""
    if done:
        return "True", Step.DONE
    report = steps.report
    if kind == Type.RESULTS_DELIVERED:
        if steps.retries:
            return "False", Step.RETRYING
        return ("False", Step.NOT_REACHED) if failed else ("Unknown", Step.PENDING)
    was_true = (find(before, kind) or {}).get("status") == "True"
    if kind == Type.RESULTS_STORED:
        is_past = was_true or deliveries.said_stored(report)
    else:
        is_past = was_true or (report is not None and report.step != "" and _is_past(report.step, _STEP_OF[kind]))
    if is_past and (failed or steps.retries):
        return "True", Step.DONE
    return ("False", Step.NOT_REACHED) if failed else ("Unknown", Step.PENDING)


def _is_past(reached: str, step: str) -> bool:
    return STEPS.index(reached) > STEPS.index(step)


def _progress(facts: Facts, plan: Final | Wait | Start, newest: Attempt | None, now: str) -> dict[str, Any] | None:
    before: dict[str, Any] | None = facts.job.status.get("progress")
    if isinstance(plan, Final):
        return {"percent": 100, "lastUpdateTime": now} if plan.reason == SUCCEEDED else before
    if newest is None or not newest.is_open or not newest.runTime:
        return None
    if facts.progress is None:
        return before
    said = {"stage": facts.progress.stage, "percent": facts.progress.percent}
    if before and not _is_worth_a_write(before, said, facts.now):
        return before
    return said | {"lastUpdateTime": now}


def _is_worth_a_write(before: Mapping[str, Any], said: Mapping[str, Any], now: datetime) -> bool:
    """Each write costs the API server more than the reading of the log: a few in the life of a job are enough."""
    if {name: before.get(name) for name in said} == said:
        return False
    written = moment(before.get("lastUpdateTime"))
    is_old = written is None or written + _PROGRESS_AGE <= now
    return is_old or abs(said["percent"] - int(before.get("percent", 0))) >= _PROGRESS_POINTS


def _results(before: Mapping[str, Any], report: Report | None, plan: Final | Wait | Start, now: str) -> dict[str, Any]:
    """What is known of the results: what the newest report says, and what an earlier one said where it says nothing."""
    found: dict[str, Any] = {name: before[name] for name in _RESULTS if name in before}
    if report is not None:
        said = {
            "outputs": list(report.outputs),
            "metrics": list(report.metrics),
            "stageSeconds": list(report.stage_seconds),
            "warnings": list(report.warnings),
            "deliveries": deliveries.told(report, now),
        }
        found |= {name: value for name, value in said.items() if value}
    if isinstance(plan, Final) and "deliveries" in found:
        if plan.reason == SUCCEEDED and report is not None and not report.deliveries:
            del found["deliveries"]  # of an earlier attempt, and no longer true
        else:
            found["deliveries"] = deliveries.closed(found["deliveries"])
    return found


def transition_events(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Event, ...]:
    """What people are told of: each new answer of Complete, and each fallback."""
    events = []
    attempt = int(after.get("attemptCount", 0))
    for entry in after.get("attempts") or []:
        is_new = entry["index"] > int(before.get("attemptCount", 0))
        if is_new and entry.get("backend") == CPU and entry.get("backendReason") in FALLBACK_REASONS:
            said = f"Attempt {entry['index']} goes to the CPU instead of a GPU: {entry['backendReason']}."
            events.append(Event("Warning", "FallbackToCPU", said, attempt))
    old, new = (find(status.get("conditions") or [], Type.COMPLETE) or {} for status in (before, after))
    if (old.get("status"), old.get("reason")) != (new.get("status"), new.get("reason")):
        bad = new.get("reason") in set(Failure) and new.get("status") != "True"
        events.append(Event("Warning" if bad else "Normal", new["reason"], new["message"], attempt))
    return tuple(events)
