"""Results exist and a destination does not take them: tried again with growing pauses, until a deadline. Pure.

Such attempts are not counted against retryLimit; the time since the first of them bounds them instead.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from qsm_operator.lifecycle import backends
from qsm_operator.lifecycle.backends import Choice
from qsm_operator.lifecycle.decisions import Facts, Final, Start, Wait
from qsm_operator.lifecycle.outcomes import EX_TEMPFAIL, Outcome
from qsm_operator.resources.conditions import Active, Failure, Interruption, Step, Type, find
from qsm_operator.resources.custom import CPU, Attempt, Pipeline, QSMJob
from qsm_operator.resources.report import Report
from qsm_operator.resources.times import moment, stamp

PAUSES_SECONDS = (60, 120, 300, 600, 1800)
"""After the first, second, ... delivery in a row that was not taken; then always the last."""
_HOURLY_AFTER = timedelta(days=1)
"""Who did not answer for a day is asked once an hour: thirty days make fewer than 999 attempts then."""


def is_waiting(attempt: Attempt) -> bool:
    """Whether it ended because a destination did not take the results now."""
    return attempt.result == Failure.DELIVERY_FAILED and attempt.exitCode == EX_TEMPFAIL


def since(job: QSMJob, attempts: Sequence[Attempt]) -> datetime | None:
    """When the first such attempt ended; none where there was none."""
    delivered = find(job.status.get("conditions") or [], Type.RESULTS_DELIVERED) or {}
    if delivered.get("reason") == Step.RETRYING:
        return moment(delivered.get("lastTransitionTime"))
    ended = [found for attempt in attempts if is_waiting(attempt) and (found := moment(attempt.endTime))]
    return min(ended, default=None)


def judged(job: QSMJob, outcome: Outcome) -> Outcome:
    """Once results wait, whatever is not reachable is theirs to wait for: the source, the store of interim data."""
    if outcome.result == Failure.UNAVAILABLE and since(job, job.attempts) is not None:
        return replace(outcome, result=Failure.DELIVERY_FAILED, counted=False)
    return outcome


def next_delivery(facts: Facts, pipeline: Pipeline, attempts: Sequence[Attempt]) -> Final | Wait | Start | None:
    """What follows the newest attempt; none where it ended otherwise and the usual rules hold."""
    newest, began = attempts[-1], since(facts.job, attempts)
    if began is None or not (is_waiting(newest) or newest.result in set(Interruption)):
        return None
    deadline = began + timedelta(seconds=facts.job.delivery_deadline_seconds)
    ended = moment(newest.endTime) or facts.now
    if ended >= deadline:
        return Final(Failure.DELIVERY_FAILED, f"{newest.message} Tried from {stamp(began)} until {stamp(ended)}.")
    if not is_waiting(newest):
        return None
    ready = min(ended + _pause(facts.job, attempts, ended - began), deadline)
    if ready > facts.now:
        said = (
            f"Attempt {newest.index}: {newest.message} Next at {stamp(ready)}, at the latest until {stamp(deadline)}."
        )
        return Wait(Active.DELIVERING, said, ready)
    choice = _choice(facts.job, pipeline, newest)
    return Start(choice, pipeline.image(choice.backend))


def are_stored(job: QSMJob) -> bool:
    """Whether finished results lie somewhere, as far as was recorded."""
    return (find(job.status.get("conditions") or [], Type.RESULTS_STORED) or {}).get("status") == "True"


def said_stored(report: Report | None) -> bool:
    """Whether a report says so: at this step it names them only where they are kept."""
    return report is not None and report.step == "deliver" and bool(report.outputs or report.deliveries)


def told(report: Report, now: str) -> list[dict[str, Any]]:
    """The destinations as the status lists them."""
    return [entry | {"lastAttemptTime": now} for entry in report.deliveries]


def closed(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same when it is over: nothing is pending any more."""
    return [entry | ({"state": "Failed"} if entry["state"] == "Pending" else {}) for entry in entries]


def sentence(deliveries: Sequence[dict[str, Any]]) -> str:
    """Each destination in a few words."""
    parts = []
    for entry in deliveries:
        why = ", ".join(str(entry[name]) for name in ("reason", "message") if entry.get(name))
        parts.append(f"{entry['destination']}: {entry['state']}{f' ({why})' if why else ''}")
    return "; ".join(parts)


def _pause(job: QSMJob, attempts: Sequence[Attempt], age: timedelta) -> timedelta:
    in_row = 0
    for attempt in reversed(attempts):
        if not is_waiting(attempt):
            break
        in_row += 1
    seconds = PAUSES_SECONDS[min(in_row, len(PAUSES_SECONDS)) - 1] if age < _HOURLY_AFTER else 3600
    # Jitter of a tenth, the same at each look: a PACS that comes back is not asked by all at once.
    spread = hashlib.sha256(f"{job.uid}/{attempts[-1].index}".encode()).digest()[0] / 255
    return timedelta(seconds=round(seconds * (0.9 + 0.2 * spread)))


def _choice(job: QSMJob, pipeline: Pipeline, newest: Attempt) -> Choice:
    """Sending needs no GPU; but where results are not kept, or a GPU was insisted on, it may have to compute again."""
    may_change = job.backend == "Auto" and bool(job.fallback(pipeline).when) and are_stored(job)
    if may_change and pipeline.backend(CPU) is not None:
        return Choice(CPU, backends.DELIVERING, backends.memory_limit(job, pipeline, CPU))
    limit = newest.memoryLimit or backends.memory_limit(job, pipeline, newest.backend)
    return Choice(newest.backend, backends.REPEATED, limit)
