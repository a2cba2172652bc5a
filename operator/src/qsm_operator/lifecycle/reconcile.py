"""The state machine: what is, in; what to do, out. Pure, and the same whichever event led here.

| what is                                     | what is done                                               |
|---------------------------------------------|------------------------------------------------------------|
| being deleted                               | nothing; its Jobs go with it                               |
| finished                                    | nothing ever again, but deletion when its time is over     |
| held by a person                            | the running attempt is closed, its Job deleted             |
| attempt open, its Job goes on               | tell where it is; fall back when no node takes it in time  |
| attempt open, its Job finished              | judge it, close the attempt, then as below                 |
| attempt open, its Job gone                  | close the attempt, then as below                           |
| attempt open, its Job never created         | create it                                                  |
| no attempt open, nothing of it still alive  | final, or the next attempt: first recorded, then created   |
"""

from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfoNotFoundError

from qsm_operator.lifecycle import backends, deliveries, plans
from qsm_operator.lifecycle.decisions import (
    Action,
    CreateJob,
    Decision,
    DeleteJob,
    DeleteQSMJob,
    Facts,
    Final,
    Start,
    Wait,
)
from qsm_operator.lifecycle.jobs import job_manifest, job_name
from qsm_operator.lifecycle.outcomes import Outcome, judge
from qsm_operator.lifecycle.statuses import build_status, transition_events
from qsm_operator.resources.conditions import SUCCEEDED, Active, Failure, Held, Interruption
from qsm_operator.resources.custom import GPU, Attempt, Pipeline, QSMJob
from qsm_operator.resources.observed import SeenJob, SeenPod
from qsm_operator.resources.times import moment, stamp
from qsm_operator.resources.windows import next_opening
from qsm_operator.settings import Settings

_ON_ITS_WAY = frozenset({Active.QUEUED, Active.STAGING, Active.RUNNING})
"""What an attempt does that has nothing left but to deliver is Delivering, wherever its pod is."""

_OVERDUE_GRACE = timedelta(seconds=60)
"""Kubelet ends an attempt at its deadline; after so much more we do not wait for it any longer."""


def reconcile(facts: Facts, settings: Settings) -> Decision:
    """What to do about one QSMJob now."""
    job = facts.job
    if job.is_deleting:
        return Decision(job.status)
    if job.is_finished:
        return _afterwards(facts, settings)
    owned = {seen.name: seen for seen in facts.jobs if seen.owner_uid == job.uid}
    pipeline = plans.pipeline_of(facts, owned.values())
    attempts, outcome = _observed(facts, owned)
    attempts, outcome = _closed_by_us(facts, pipeline, attempts, outcome, owned)
    plan, held = _plan(facts, settings, pipeline, attempts, owned)
    actions: list[Action] = []
    if isinstance(plan, Start) and facts.may_start:
        attempts, plan = _begun(facts, attempts, plan)
    if isinstance(plan, Wait) and plan.reason in _ON_ITS_WAY and deliveries.since(job, attempts) is not None:
        plan = replace(plan, reason=Active.DELIVERING)
    newest = attempts[-1] if attempts else None
    if pipeline and newest and newest.is_open and newest.jobName not in owned and isinstance(plan, Wait):
        actions.append(CreateJob(job_manifest(job, pipeline, newest, settings)))
    actions += [
        DeleteJob(seen.name, seen.uid, seen.resource_version)
        for seen in owned.values()
        if not seen.finished and not seen.is_deleting and not _is_current(seen, newest)
    ]
    status = build_status(facts, pipeline, tuple(attempts), plan, held, outcome)
    return Decision(
        status=status,
        actions=tuple(actions),
        events=transition_events(job.status, status),
        wake=plan.until if isinstance(plan, Wait) else None,
        wants_start=isinstance(plan, Start),
        report=outcome.report if outcome else None,
    )


def _afterwards(facts: Facts, settings: Settings) -> Decision:
    job = facts.job
    # A Job that outlived the decision (we ended between writing and deleting) is none of a finished QSMJob.
    leftovers: tuple[Action, ...] = tuple(
        DeleteJob(seen.name, seen.uid, seen.resource_version)
        for seen in facts.jobs
        if seen.owner_uid == job.uid and not seen.finished and not seen.is_deleting
    )
    seconds = int(job.spec.get("ttlSecondsAfterFinished", settings.default_ttl_seconds))
    ended = moment(job.status.get("completionTime"))
    if ended is None or not seconds:
        return Decision(job.status, leftovers)
    expiry = ended + timedelta(seconds=seconds)
    if expiry <= facts.now:
        return Decision(job.status, (*leftovers, DeleteQSMJob(job.uid)))
    return Decision(job.status, leftovers, wake=expiry)


def _is_current(seen: SeenJob, newest: Attempt | None) -> bool:
    return newest is not None and newest.is_open and newest.jobName == seen.name


def _pods_of(facts: Facts, seen: SeenJob) -> tuple[SeenPod, ...]:
    return tuple(pod for pod in facts.pods if pod.job_uid == seen.uid)


def _observed(facts: Facts, owned: dict[str, SeenJob]) -> tuple[list[Attempt], Outcome | None]:
    """The attempts as they are now, and how the newest ended if it ended just now."""
    attempts = list(facts.job.attempts)
    last = attempts[-1].index if attempts else 0
    # A Job that the status does not know of: the status was lost, the Job was not.
    attempts += [
        Attempt(
            seen.attempt,
            seen.name,
            backend=seen.backend,
            image=seen.image,
            startTime=stamp(seen.created or facts.now),
        )
        for seen in sorted(owned.values(), key=lambda seen: seen.attempt)
        if seen.attempt > last and seen.name == job_name(facts.job.name, seen.attempt) and not seen.is_deleting
    ]
    if not attempts or not attempts[-1].is_open:
        return attempts, None
    newest = attempts[-1]
    seen = owned.get(newest.jobName)
    if seen is None:
        if not newest.jobUID:
            return attempts, None
        gone = Outcome(Interruption.JOB_DELETED, "Its Kubernetes Job was deleted.", counted=False)
        return [*attempts[:-1], _closed(newest, gone, facts.now)], gone
    pods = _pods_of(facts, seen)
    newest = _with_pod(newest, seen, pods)
    if not seen.finished:
        return [*attempts[:-1], newest], None
    outcome = deliveries.judged(facts.job, judge(seen, pods, newest))
    return [*attempts[:-1], _closed(newest, outcome, facts.now)], outcome


def _with_pod(attempt: Attempt, seen: SeenJob, pods: tuple[SeenPod, ...]) -> Attempt:
    started = [pod for pod in pods if pod.started is not None]
    if not started:
        return attempt
    newest = max(started, key=lambda pod: (pod.started, pod.name))
    return replace(
        attempt,
        jobUID=seen.uid,
        nodeName=newest.node or attempt.nodeName,
        runTime=stamp(newest.started) if newest.started else attempt.runTime,
    )


def _closed(attempt: Attempt, outcome: Outcome, now: datetime) -> Attempt:
    return replace(
        attempt,
        endTime=stamp(now),
        result=str(outcome.result),
        counted=outcome.counted if outcome.result != SUCCEEDED else None,
        exitCode=outcome.exit_code,
        message=outcome.message,
    )


def _closed_by_us(
    facts: Facts,
    pipeline: Pipeline | None,
    attempts: list[Attempt],
    outcome: Outcome | None,
    owned: dict[str, SeenJob],
) -> tuple[list[Attempt], Outcome | None]:
    """The open attempt closed where a person holds it, no node takes it in time, or its deadline is long over."""
    if not attempts or not attempts[-1].is_open:
        return attempts, outcome
    newest, reason = attempts[-1], None
    seen = owned.get(newest.jobName)
    if facts.job.is_suspended:
        reason = Outcome(Interruption.SUSPENDED, "It was held by spec.suspend.", counted=False)
    elif seen is None and pipeline is None:
        reason = Outcome(Failure.PIPELINE_NOT_FOUND, plans.pipeline_gone(facts).message)
    elif seen is None and facts.is_refused:
        reason = Outcome(Failure.REFUSED, f"Kubernetes refuses its Job: {facts.trouble}")
    elif pipeline is not None and seen is not None:
        if _gpu_out_of_reach(facts, pipeline, newest, _pods_of(facts, seen)):
            reason = Outcome(Failure.UNSCHEDULABLE, "No node had a GPU for it in time.", counted=False)
        elif _is_overdue(facts, pipeline, newest):
            reason = Outcome(Failure.DEADLINE_EXCEEDED, "It ran longer than activeDeadlineSeconds.")
    if reason is None:
        return attempts, outcome
    return [*attempts[:-1], _closed(newest, reason, facts.now)], reason


def _gpu_out_of_reach(facts: Facts, pipeline: Pipeline, attempt: Attempt, pods: tuple[SeenPod, ...]) -> bool:
    waiting = [pod.unschedulable_since for pod in pods if pod.is_live and pod.unschedulable_since]
    if attempt.backend != GPU or not waiting or not backends.may_fall_back(facts.job, pipeline, Failure.UNSCHEDULABLE):
        return False
    if not backends.gpu_offered(pipeline, facts.nodes):
        return True
    patience = timedelta(seconds=facts.job.fallback(pipeline).after_seconds)
    return min(waiting) + patience <= facts.now


def _is_overdue(facts: Facts, pipeline: Pipeline, attempt: Attempt) -> bool:
    began = moment(attempt.runTime)
    limit = timedelta(seconds=facts.job.deadline_seconds(pipeline))
    return began is not None and began + limit + _OVERDUE_GRACE <= facts.now


def _plan(  # noqa: PLR0911 - one return per row of a table
    facts: Facts,
    settings: Settings,
    pipeline: Pipeline | None,
    attempts: list[Attempt],
    owned: dict[str, SeenJob],
) -> tuple[Final | Wait | Start, Held]:
    newest = attempts[-1] if attempts else None
    if newest and newest.result == SUCCEEDED:
        return Final(SUCCEEDED, newest.message), Held.NOT_SUSPENDED
    if facts.job.is_suspended:
        return Wait(Active.SUSPENDED, "Held by spec.suspend."), Held.REQUESTED
    if newest and newest.is_open:
        return _while_open(facts, pipeline, newest, owned), Held.NOT_SUSPENDED
    plan = plans.next_step(facts, settings, pipeline, attempts)
    if not isinstance(plan, Start):
        return plan, Held.NOT_SUSPENDED
    alive = _still_alive(facts.job, facts, owned)
    if alive:
        return Wait(Active.QUEUED, alive), Held.NOT_SUSPENDED
    try:
        opening = next_opening(facts.job.spec.get("schedule"), facts.now)
    except ZoneInfoNotFoundError:
        return Final(Failure.INVALID_INPUT, "The operator does not know the time zone of schedule."), Held.NOT_SUSPENDED
    if opening is not None:
        message = f"Outside the hours of schedule; starts from {stamp(opening)} on."
        return Wait(Active.SUSPENDED, message, opening), Held.OUTSIDE_WINDOW
    return plan, Held.NOT_SUSPENDED


def _while_open(facts: Facts, pipeline: Pipeline | None, newest: Attempt, owned: dict[str, SeenJob]) -> Wait:
    seen = owned.get(newest.jobName)
    if seen is not None:
        return plans.where_it_is(facts, pipeline, newest, seen, _pods_of(facts, seen))
    if facts.trouble:
        return Wait(Active.QUEUED, f"Its Job cannot be created yet: {facts.trouble}")
    return Wait(Active.QUEUED, plans.being_created(newest))


def _still_alive(job: QSMJob, facts: Facts, owned: dict[str, SeenJob]) -> str:
    """What of an earlier attempt is still there, in a sentence: no second pod starts before it is gone."""
    if any(pod.is_live for pod in facts.pods if pod.qsmjob == job.name):
        return "Waits until the pod of the attempt before has ended."
    if any(not seen.finished for seen in owned.values()):
        return "Waits until the Job of the attempt before is gone."
    return ""


def _begun(facts: Facts, attempts: list[Attempt], plan: Start) -> tuple[list[Attempt], Wait]:
    """The next attempt, recorded; its Job is created once the record is written."""
    index = max([int(facts.job.status.get("attemptCount", 0)), *(attempt.index for attempt in attempts)]) + 1
    attempt = Attempt(
        index,
        job_name(facts.job.name, index),
        backend=plan.choice.backend,
        backendReason=plan.choice.reason,
        image=plan.image,
        memoryLimit=plan.choice.memory_limit,
        startTime=stamp(facts.now),
    )
    said = Wait(Active.QUEUED, plans.being_created(attempt))
    return [*attempts, attempt], said
