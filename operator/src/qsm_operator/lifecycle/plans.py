"""What comes next for a QSMJob that is not finished: wait, start an attempt, or finish. Pure."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from qsm_operator.lifecycle import backends, deliveries, request
from qsm_operator.lifecycle.backends import REPEATED, Choice, NoChoice
from qsm_operator.lifecycle.decisions import Facts, Final, Start, Wait
from qsm_operator.lifecycle.outcomes import is_repeatable
from qsm_operator.resources.conditions import Active, Failure, Interruption
from qsm_operator.resources.custom import GPU, Attempt, Pipeline
from qsm_operator.resources.observed import SeenJob, SeenPod
from qsm_operator.resources.report import cleaned
from qsm_operator.resources.times import moment, stamp
from qsm_operator.settings import Settings

_MAX_UNCOUNTED = 50
"""More interruptions than this and something is wrong with the cluster, not with its day."""

_AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)


def pipeline_of(facts: Facts, owned: Iterable[SeenJob]) -> Pipeline | None:
    """The method of this job: from its start on the very same, whatever became of the QSMPipeline."""
    begun = facts.job.status.get("pipeline")
    if not begun:
        return facts.pipeline
    for seen in sorted(owned, key=lambda seen: -seen.attempt):
        try:
            kept = json.loads(seen.pipeline_json)
            found = Pipeline(str(kept["name"]), str(kept["uid"]), int(kept["generation"]), dict(kept["spec"]))
        except (ValueError, KeyError, TypeError):
            continue  # somebody edited the annotation; the hash below would not have matched either
        if found.digest(facts.job.parameters) == begun.get("hash"):
            return found
    if facts.pipeline is not None and facts.pipeline.digest(facts.job.parameters) == begun.get("hash"):
        return facts.pipeline
    return None


def pipeline_gone(facts: Facts) -> Final:
    """A job that has begun and cannot go on with the same method."""
    name = facts.job.pipeline_name
    return Final(Failure.PIPELINE_NOT_FOUND, f"QSMPipeline {name} was deleted or replaced while the job needed it.")


def next_step(  # noqa: PLR0911 - one return per row of a table
    facts: Facts, settings: Settings, pipeline: Pipeline | None, attempts: Sequence[Attempt]
) -> Final | Wait | Start:
    """What follows where no attempt is open."""
    if attempts and attempts[-1].result in {Failure.INVALID_INPUT, Failure.DEADLINE_EXCEEDED}:
        return _given_up(attempts)  # whatever the pipeline says
    if pipeline is None:
        return pipeline_gone(facts) if facts.job.status.get("pipeline") else _missing(facts, settings)
    if not attempts:
        return _first(facts, settings, pipeline)
    newest = attempts[-1]
    delivery = deliveries.next_delivery(facts, pipeline, attempts)
    if delivery is not None:
        return delivery
    counted = sum(1 for attempt in attempts if attempt.counted)
    interrupted = _interruptions(facts, attempts, counted)
    if interrupted >= _MAX_UNCOUNTED:
        return Final(Failure.EVICTED, f"It was interrupted {interrupted} times; the last time: {newest.message}")
    other = backends.after(facts.job, pipeline, newest)
    if other is not None and other.backend != newest.backend:
        return Start(other, pipeline.image(other.backend))
    may_repeat = counted <= facts.job.retry_limit(pipeline)
    if other is None and is_repeatable(newest):
        limit = newest.memoryLimit or backends.memory_limit(facts.job, pipeline, newest.backend)
        other = Choice(newest.backend, REPEATED, limit)
    if other is None or (newest.counted and not may_repeat):
        return _given_up(attempts)
    ready = _ready_again(newest, counted)
    if ready > facts.now:
        return Wait(Active.QUEUED, f"Attempt {newest.index}: {newest.message} Next at {stamp(ready)}.", ready)
    return Start(other, pipeline.image(other.backend))


def _interruptions(facts: Facts, attempts: Sequence[Attempt], counted: int) -> int:
    """How many attempts ended through no fault of their own; where only delivery is left, its deadline is the bound."""
    if deliveries.since(facts.job, attempts) is not None:
        return 0
    return max(int(facts.job.status.get("attemptCount", 0)), attempts[-1].index) - counted


def _ready_again(newest: Attempt, counted: int) -> datetime:
    """When the next attempt may start: longer each time something failed, at once after a pause that was asked for."""
    ended = moment(newest.endTime)
    if ended is None or newest.result == Interruption.SUSPENDED:
        return _AT_ONCE
    seconds = min(10 * 2 ** max(0, counted - 1), 300) if newest.counted else 10
    return ended + timedelta(seconds=seconds)


def _given_up(attempts: Sequence[Attempt]) -> Final:
    newest = attempts[-1]
    counted = sum(1 for attempt in attempts if attempt.counted)
    often = f" It failed {counted} times." if counted > 1 else ""
    return Final(newest.result, f"{newest.message}{often}")


def _missing(facts: Facts, settings: Settings) -> Final | Wait:
    name = facts.job.pipeline_name
    until = facts.job.created + timedelta(seconds=settings.pipeline_grace_seconds)
    if facts.now < until:
        return Wait(Active.PIPELINE_NOT_FOUND, f"There is no QSMPipeline {name} yet; until {stamp(until)}.", until)
    return Final(Failure.PIPELINE_NOT_FOUND, f"There is no QSMPipeline {name} in this namespace.")


def _first(facts: Facts, settings: Settings, pipeline: Pipeline) -> Final | Start:
    allowed = set(pipeline.spec.get("overridableParameters") or [])
    wrong = sorted(parameter["name"] for parameter in facts.job.parameters if parameter["name"] not in allowed)
    if wrong:
        said = f"Pipeline {pipeline.name} does not let jobs set {', '.join(wrong)}."
        return Final(Failure.INVALID_INPUT, said)
    choice = backends.first(facts.job, pipeline, facts.nodes, at_once=settings.fallback_at_once)
    if isinstance(choice, NoChoice):
        return Final(Failure.INVALID_INPUT, choice.message)
    image = pipeline.image(choice.backend)
    trial = Attempt(1, "", backend=choice.backend, image=image)
    size = len(request.encoded(request.request_document(facts.job, pipeline, trial)))
    if size > request.MAX_REQUEST_BYTES:
        said = f"Recipe and parameters are {size} bytes long; a pod takes {request.MAX_REQUEST_BYTES}."
        return Final(Failure.INVALID_INPUT, said)
    return Start(choice, image)


def being_created(attempt: Attempt) -> str:
    """What is said until there is a pod."""
    return f"Attempt {attempt.index} is being created on {attempt.backend}."


def where_it_is(  # noqa: PLR0911 - one return per row of a table
    facts: Facts, pipeline: Pipeline | None, attempt: Attempt, seen: SeenJob, pods: tuple[SeenPod, ...]
) -> Wait:
    """Where an attempt is whose Job goes on."""
    live = [pod for pod in pods if pod.is_live]
    until = _next_deadline(facts, pipeline, attempt, live)
    number = f"Attempt {attempt.index}"
    if seen.is_suspended:
        queue = facts.job.queue_name
        return Wait(Active.QUEUED, f"{number} waits for Kueue's queue {queue}." if queue else f"{number} is held.")
    ended = [pod for pod in pods if not pod.is_live]
    if not live and ended and not any(pod.is_disrupted for pod in ended):
        return Wait(Active.RUNNING, f"{number} has ended on {attempt.backend}; how, is about to be known.", until)
    if not live:
        if facts.trouble:
            return Wait(Active.QUEUED, f"{number} gets no pod: {facts.trouble}", until)
        return Wait(Active.QUEUED, being_created(attempt), until)
    pod = live[0]
    if pod.is_deleting and pod.started is None:
        return Wait(Active.QUEUED, f"{number} gets a new pod.", until)
    if pod.unschedulable_since is not None:
        return Wait(Active.QUEUED, f"{number} waits for a node: {cleaned(pod.scheduler_says, 400)}", until)
    if pod.started is None:
        if not pod.node:
            return Wait(Active.QUEUED, being_created(attempt), until)
        said = ": ".join(filter(None, (pod.waiting, pod.waiting_says))) if pod.waiting else facts.trouble
        why = f": {cleaned(said, 400)}" if said else ""
        return Wait(Active.STAGING, f"{number} is being started on {attempt.backend}{why}.", until)
    step = facts.progress.step if facts.progress else ""
    reason = Active.DELIVERING if step == "deliver" else Active.RUNNING
    return Wait(reason, f"{number} runs on {attempt.backend}.", until)


def _next_deadline(
    facts: Facts, pipeline: Pipeline | None, attempt: Attempt, live: Sequence[SeenPod]
) -> datetime | None:
    if pipeline is None:
        return None
    began = moment(attempt.runTime)
    if began is not None:
        return began + timedelta(seconds=facts.job.deadline_seconds(pipeline) + 61)
    waiting = [pod.unschedulable_since for pod in live if pod.unschedulable_since]
    if attempt.backend == GPU and waiting and backends.may_fall_back(facts.job, pipeline, Failure.UNSCHEDULABLE):
        return min(waiting) + timedelta(seconds=facts.job.fallback(pipeline).after_seconds)
    return None
