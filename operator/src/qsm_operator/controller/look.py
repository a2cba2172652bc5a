"""One look at one QSMJob: gather facts, decide, write the status, act, tell. All state is in the cluster."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from qsm_operator.cluster.asking import ApiError
from qsm_operator.cluster.door import Cluster, owned_selector
from qsm_operator.controller.accounting import count_changes, log_changes
from qsm_operator.controller.admission import Candidate, Turns
from qsm_operator.controller.log_reading import LogReading
from qsm_operator.controller.store import Store
from qsm_operator.lifecycle.decisions import CreateJob, Decision, DeleteJob, DeleteQSMJob, Event, Facts
from qsm_operator.lifecycle.reconcile import reconcile
from qsm_operator.lifecycle.spans import spans_of
from qsm_operator.metrics import Metrics
from qsm_operator.resources.conditions import Active, Type, find, is_finished
from qsm_operator.resources.custom import CPU, QSMJob
from qsm_operator.resources.observed import SeenJob, SeenNode, SeenPod
from qsm_operator.resources.report import cleaned
from qsm_operator.settings import Settings
from qsm_operator.tracing.tracer import OFF, Tracing
from qsm_operator.workqueue import Key, WorkQueue

_MINOR_SECONDS = 15
"""Changes of a message alone are written no more often than this."""
_PASSING_SECONDS = 3
"""A pod that is being started mostly runs before this is over; only where it does not is that worth a write."""
_NODES_SECONDS = 10
"""So old may be what we know about nodes."""
_POD_COMES_SECONDS = 5
"""A Job without a pod, or a pod that does not start, for so long has a reason, and it is looked for."""
_ASK_AGAIN_SECONDS = 45
"""Where a quota holds back a thousand Jobs, that is a question of each of them."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the API server did not take a Job."""

    message: str
    is_final: bool


class Controller:
    """Looks at QSMJobs. Any number of workers may share one; the queue keeps them off the same key."""

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster,
        store: Store,
        queue: WorkQueue,
        turns: Turns,
        metrics: Metrics,
        logs: LogReading,
        tell: Callable[[QSMJob, Event, datetime], None],
        now: Callable[[], datetime],
        tracing: Tracing = OFF,
    ) -> None:
        self._logs, self._tell, self._tracing = logs, tell, tracing
        self._settings, self._cluster, self._store = settings, cluster, store
        self._queue, self._turns, self._metrics, self._now = queue, turns, metrics, now
        self._trouble: dict[Key, Trouble] = {}
        self._written: dict[Key, datetime] = {}
        self._held_up: dict[Key, tuple[str, datetime, str]] = {}
        """Of which Job or pod (its uid) Kubernetes was asked what holds it up, when, and what it said."""
        self._nodes: tuple[SeenNode, ...] | None = None
        self._nodes_seen: datetime | None = None
        self._nodes_lock = asyncio.Lock()

    async def look(self, key: Key) -> None:
        """One look; raises ApiError where the API server did not let it come to an end."""
        job = self._store.qsmjobs.get(key)
        if job is None:
            self._forget(key)
            return
        facts = await self._facts(job)
        decision = reconcile(facts, self._settings)
        if decision.wants_start:
            self._turns.ask(Candidate(key, job.priority, job.created))
            self.start_next()
            if self._turns.may_start(key):
                decision = reconcile(_with_turn(facts), self._settings)
        written = await self._write(job, decision)
        if written is not job:
            self._account(job, facts, decision)
        job = written
        if _has_open_attempt(decision.status):
            self._turns.runs(key)
        elif not decision.wants_start:
            self._turns.rests(key)
            self.start_next()
        for action in decision.actions:
            await self._act(job, action)
        for event in decision.events:
            self._tell(job, event, facts.now)
        self._look_again(key, job, facts, decision)

    def _account(self, before: QSMJob, facts: Facts, decision: Decision) -> None:
        """Log and count what was just written: at once, for nobody tells it again when what comes next fails."""
        log_changes(before, decision, facts.now)
        count_changes(self._metrics, before, decision, facts.now)
        if self._tracing.is_on:
            self._tracing.tell(spans_of(before, decision, facts.pods, facts.now))
        if is_finished(decision.status.get("conditions") or []):
            self._trouble.pop((before.namespace, before.name), None)
            self._written.pop((before.namespace, before.name), None)

    def _look_again(self, key: Key, job: QSMJob, facts: Facts, decision: Decision) -> None:
        """When to look without being told."""
        if job.is_finished and not facts.job.is_finished:
            self._queue.add(key)  # its time to live begins now
        wake = [decision.wake] if decision.wake else []
        pods = self._store.pods_of(key)
        is_held_up = any(_does_not_start(pod) for pod in pods) if pods else bool(self._store.jobs_of(key))
        if is_held_up and not job.is_finished:
            pause = _ASK_AGAIN_SECONDS if key in self._held_up else _POD_COMES_SECONDS
            wake.append(facts.now + timedelta(seconds=pause + 1))
        if wake:
            self._queue.add_after(key, (min(wake) - self._now()).total_seconds())

    def start_next(self) -> None:
        """Let those start whose turn has come."""
        for key in self._turns.grant():
            self._queue.add(key, first=True)

    def _forget(self, key: Key) -> None:
        self._trouble.pop(key, None)
        self._written.pop(key, None)
        self._held_up.pop(key, None)
        self._turns.rests(key)
        self.start_next()

    async def _facts(self, job: QSMJob) -> Facts:
        key = (job.namespace, job.name)
        if not job.is_finished and _is_doubtful(job, self._store):
            await self._refresh(job)
        trouble = self._trouble.get(key)
        jobs, pods = self._store.jobs_of(key), self._store.pods_of(key)
        message = trouble.message if trouble else await self._why_it_waits(job, jobs, pods)
        pipeline = self._store.pipeline_of(job)
        wants_nodes = not job.is_finished and job.backend != CPU
        return Facts(
            job=job,
            pipeline=pipeline,
            now=self._now(),
            jobs=jobs,
            pods=pods,
            nodes=await self._seen_nodes() if wants_nodes else None,
            may_start=self._turns.may_start(key),
            trouble=message,
            is_refused=bool(trouble and trouble.is_final),
            progress=self._logs.progress_of(pods),
        )

    async def _refresh(self, job: QSMJob) -> None:
        """Ask the API server itself about the Jobs and pods of one QSMJob."""
        key = (job.namespace, job.name)
        for kind, known in (("jobs", self._store.jobs_of(key)), ("pods", self._store.pods_of(key))):
            listing = await self._cluster.list(kind, job.namespace, selector=owned_selector(job.name))
            there = {body["metadata"]["name"] for body in listing.items}
            for body in listing.items:
                self._store.put(kind, body)
            for seen in known:
                if seen.name not in there:
                    self._store.drop(kind, (job.namespace, seen.name))

    async def _why_it_waits(self, job: QSMJob, jobs: tuple[SeenJob, ...], pods: tuple[SeenPod, ...]) -> str:
        """What Kubernetes says of a Job that gets no pod, or of a pod that a node has and does not start."""
        key, now = (job.namespace, job.name), self._now()
        patience = now - timedelta(seconds=_POD_COMES_SECONDS)
        open_jobs = [one for one in jobs if not one.finished and not one.is_suspended]
        late = [one for one in open_jobs if one.created and one.created < patience]
        held_up = [(pod.uid, "FailedMount") for pod in pods if _does_not_start(pod)]
        if not pods:
            held_up = [(one.uid, "FailedCreate") for one in late]
        if job.is_finished or not late or not held_up:
            if pods or job.is_finished:
                self._held_up.pop(key, None)
            return ""
        uid, reason = held_up[0]
        about, asked, said = self._held_up.get(key, ("", now, ""))
        if about != uid or asked + timedelta(seconds=_ASK_AGAIN_SECONDS) <= now:
            said = cleaned(await self._cluster.last_event(job.namespace, uid, reason), 400)
            self._held_up[key] = uid, now, said
        return said

    async def _seen_nodes(self) -> tuple[SeenNode, ...] | None:
        async with self._nodes_lock:
            now = self._now()
            if self._nodes_seen is None or self._nodes_seen + timedelta(seconds=_NODES_SECONDS) <= now:
                self._nodes, self._nodes_seen = await self._cluster.nodes(), now
            return self._nodes

    async def _write(self, job: QSMJob, decision: Decision) -> QSMJob:
        """Write the status if it says anything new. A conflict means that we saw an old one: look again."""
        key = (job.namespace, job.name)
        if decision.status == job.status:
            return job
        pause = _pause_seconds(job.status, decision.status)
        if pause and not decision.actions and key in self._written:
            due = self._written[key] + timedelta(seconds=pause)
            if due > self._now():
                self._queue.add_after(key, (due - self._now()).total_seconds())
                return job
        try:
            body = await self._cluster.apply_status(job, decision.status)
        except ApiError as error:
            if error.status in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}:
                await self._read_again(job)
            raise
        self._written[key] = self._now()
        self._store.put("qsmjobs", body)
        return QSMJob.from_body(body)

    async def _read_again(self, job: QSMJob) -> None:
        body = await self._cluster.get("qsmjobs", job.namespace, job.name)
        if body is None:
            self._store.drop("qsmjobs", (job.namespace, job.name))
        else:
            self._store.put("qsmjobs", body)

    async def _act(self, job: QSMJob, action: CreateJob | DeleteJob | DeleteQSMJob) -> None:
        key = (job.namespace, job.name)
        match action:
            case CreateJob(manifest):
                await self._create(job, manifest)
            case DeleteJob(name, uid, resource_version):
                if not await self._cluster.delete_job(job.namespace, name, uid, resource_version):
                    await self._refresh(job)  # it changed under our hands: perhaps it has finished
                    self._queue.add(key)
            case DeleteQSMJob(uid):
                if await self._cluster.delete_qsmjob(job.namespace, job.name, uid):
                    self._store.drop("qsmjobs", key)

    async def _create(self, job: QSMJob, manifest: Mapping[str, Any]) -> None:
        key = (job.namespace, job.name)
        try:
            body = await self._cluster.create_job(job.namespace, manifest)
        except ApiError as error:
            if error.status == HTTPStatus.CONFLICT:
                await self._exists_already(job, manifest["metadata"]["name"])
            elif error.status in _REFUSALS:
                is_final = error.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}
                self._set_trouble(key, cleaned(error.message, 400), is_final=is_final)
            else:
                raise
        else:
            self._trouble.pop(key, None)
            self._store.put("jobs", body)

    async def _exists_already(self, job: QSMJob, name: str) -> None:
        key = (job.namespace, job.name)
        body = await self._cluster.get("jobs", job.namespace, name)
        if body is not None and SeenJob.from_body(body).owner_uid == job.uid:
            self._trouble.pop(key, None)  # done before, by us
            self._store.put("jobs", body)
            self._queue.add(key)
        else:
            self._set_trouble(key, f"a Job named {name} exists already and is not of this QSMJob", is_final=False)

    def _set_trouble(self, key: Key, message: str, *, is_final: bool) -> None:
        is_new = self._trouble.get(key) != Trouble(message, is_final)
        self._trouble[key] = Trouble(message, is_final)
        # At once to say so in the status; later to try again.
        self._queue.add_after(key, 0 if is_new else 15)


_REFUSALS = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY}
)


def _with_turn(facts: Facts) -> Facts:
    return replace(facts, may_start=True)


def _does_not_start(pod: SeenPod) -> bool:
    """Whether a node has it, and neither runs it nor says why not: a volume is missing, or an image is on its way."""
    return pod.is_live and bool(pod.node) and pod.started is None and not pod.waiting


def _has_open_attempt(status: Mapping[str, Any]) -> bool:
    attempts = status.get("attempts") or []
    complete = find(status.get("conditions") or [], Type.COMPLETE) or {}
    return bool(attempts) and "result" not in attempts[-1] and complete.get("status") == "Unknown"


def _is_doubtful(job: QSMJob, store: Store) -> bool:
    """Whether a decision would rest on something not being there: then the API server is asked itself."""
    key = (job.namespace, job.name)
    attempts = job.attempts
    if not attempts:
        return False
    newest = attempts[-1]
    seen = next((seen for seen in store.jobs_of(key) if seen.name == newest.jobName), None)
    if not newest.is_open:
        return True  # the next attempt may start: nothing of this one may live
    if seen is None:
        return bool(newest.jobUID)
    ended = [pod for pod in store.pods_of(key) if pod.job_uid == seen.uid and not pod.is_live]
    return bool(seen.finished) and not ended


def _pause_seconds(before: Mapping[str, Any], after: Mapping[str, Any]) -> int:
    """How long after the last write a change may wait: messages and progress for long, a passing stage a little."""
    old, new = _without_messages(before), _without_messages(after)
    reasons = {
        (find(conditions, Type.COMPLETE) or {}).get("reason") for conditions in (old["conditions"], new["conditions"])
    }
    if old == new:
        # Why it waits is what somebody who looks at a waiting job wants to know.
        return _PASSING_SECONDS if reasons == {Active.QUEUED} else _MINOR_SECONDS
    if reasons == {Active.RUNNING, Active.DELIVERING}:
        return _MINOR_SECONDS  # most deliveries are over by then
    is_passing = reasons == {Active.QUEUED, Active.STAGING} and old.get("attempts") == new.get("attempts")
    return _PASSING_SECONDS if is_passing else 0


def _without_messages(status: Mapping[str, Any]) -> dict[str, Any]:
    conditions = [
        {name: value for name, value in condition.items() if name != "message"}
        for condition in status.get("conditions") or []
    ]
    return {name: value for name, value in status.items() if name != "progress"} | {"conditions": conditions}
