"""The operator at work: workers, resync, turns, and an orderly end."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from qsm_operator.cluster.asking import ApiError
from qsm_operator.cluster.door import Cluster, owned_selector
from qsm_operator.controller.admission import Turns
from qsm_operator.controller.log_reading import LogReading
from qsm_operator.controller.look import Controller
from qsm_operator.controller.measuring import expect_ends, measure_jobs
from qsm_operator.controller.store import KINDS, Store, age
from qsm_operator.controller.telling import Telling
from qsm_operator.metrics import Metrics
from qsm_operator.settings import Settings
from qsm_operator.tracing.tracer import OFF, Tracing
from qsm_operator.workqueue import Key, WorkQueue

logger = logging.getLogger(__name__)

_STUCK_SECONDS = 300
"""A worker so long at one key is stuck: requests end after seconds, and there are few per look."""
_TURNS_SECONDS = 0.05
_AFTER_OUTAGE_SECONDS = 1.0
_CALM_SECONDS = 20.0
"""A list of everything is dear: after one for an outage, signs of another are not heard for a while."""
_FINISH_SECONDS, _TELLING_SECONDS = 20.0, 4.0
"""Kubernetes gives 30 seconds between SIGTERM and SIGKILL."""


class Operating:
    """Everything that runs between start and end."""

    def __init__(self, settings: Settings, cluster: Cluster, metrics: Metrics, tracing: Tracing = OFF) -> None:
        self.settings, self.cluster, self.metrics = settings, cluster, metrics
        self.store = Store()
        self.queue = WorkQueue(time.monotonic)
        self.turns = Turns(
            time.monotonic,
            most=settings.max_active,
            most_in_namespace=settings.max_active_per_namespace,
            per_second=settings.starts_per_second,
            burst=settings.start_burst,
        )
        self.telling = Telling(cluster, metrics)
        self.logs = LogReading(cluster, self.store, self.queue, time.monotonic)
        self.controller = Controller(
            settings,
            cluster,
            self.store,
            self.queue,
            self.turns,
            metrics,
            self.logs,
            self.telling.tell,
            lambda: datetime.now(UTC),
            tracing,
        )
        self.is_ready = False
        self.stands_by = False
        self.measures: list[Callable[[], None]] = []
        """More to be measured whenever metrics are read."""
        self._outage = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []
        self._others: list[asyncio.Task[None]] = []

    def told(self, kind: str, type_: str | None, body: Mapping[str, Any]) -> None:
        """A watch told something."""
        self.metrics.last_event.labels(kind).set(time.time())
        if type_ == "DELETED":
            metadata = body["metadata"]
            own = (metadata.get("namespace", ""), metadata["name"])
            touched = self.store.drop(kind, own, age(metadata.get("resourceVersion", "")))
        else:
            touched = self.store.put(kind, body)
        for key in touched:
            self.queue.add(key, first=kind == "qsmjobs" and type_ == "ADDED")

    async def sync(self) -> list[Key]:
        """List everything and hold it against what is known; which QSMJobs may care."""
        touched: list[Key] = []
        # QSMJobs first: what they own is then at least as new as they are.
        for kind in KINDS:
            selector = owned_selector() if kind in {"jobs", "pods"} else ""
            for namespace in self.settings.namespaces or ("",):
                census = self.store.census(kind, namespace)
                version = await self.cluster.read_all(
                    kind, namespace, selector=selector, begin=census.begin, take=census.take
                )
                found = census.finish(version)
                if self.is_ready and found:
                    self.metrics.corrections.labels(kind).inc(len(found))
                touched += found
        self.metrics.last_resync.set(time.time())
        return touched

    async def start(self) -> None:
        """Learn what is, then start to work. Waits for an API server that is not there yet."""
        while True:
            try:
                touched = await self.sync()
                break
            except ApiError as error:
                logger.warning("cannot list yet: %s", error)
                await asyncio.sleep(2)
        for key, job in self.store.qsmjobs.items():
            attempts = job.attempts
            if not job.is_finished and attempts and attempts[-1].is_open:
                self.turns.runs(key)
        self.is_ready = True
        for key in sorted(set(touched)):
            self.queue.add(key)
        self.stands_by = False
        self.telling.start()
        many = self.settings.workers
        # What is under way costs the API server as much as what is new, and nobody waits for it: it gets fewer hands.
        self._workers = [asyncio.create_task(self._work(only_first=number >= many)) for number in range(3 * many)]
        self._others = [asyncio.create_task(loop()) for loop in (self._resync, self._give_turns, self.logs.run)]

    async def drop(self) -> None:
        """Let everything fall at once: somebody else does it now."""
        self.queue.close()
        for task in [*self._workers, *self._others]:
            task.cancel()
        await asyncio.gather(*self._workers, *self._others, return_exceptions=True)
        await self.telling.stop(0)

    async def stop(self) -> None:
        """Finish what is being looked at, begin nothing new."""
        self.queue.close()
        for task in self._others:
            task.cancel()
        if self._workers:
            _, late = await asyncio.wait(self._workers, timeout=_FINISH_SECONDS)
            for task in late:
                task.cancel()
        await asyncio.gather(*self._workers, *self._others, return_exceptions=True)
        await self.telling.stop(_TELLING_SECONDS)

    async def _work(self, *, only_first: bool) -> None:
        while (key := await self.queue.get(only_first=only_first)) is not None:
            began, result = time.monotonic(), "done"
            try:
                await self.controller.look(key)
            except ApiError as error:
                result = "conflict" if error.status == 409 else "api_error"
                if error.is_outage:
                    self._outage.set()
                if result == "api_error":
                    logger.warning("looked at in vain: %s", error, extra=_named(key))
            except Exception:
                # The last resort of a worker: one QSMJob we cannot handle must not keep the others from being handled.
                result = "defect"
                logger.exception("defect", extra=_named(key))
            finally:
                self.queue.done(key, failed=result != "done")
                self.metrics.reconciles.labels(result).inc()
                self.metrics.reconcile_seconds.observe(time.monotonic() - began)

    async def _resync(self) -> None:
        """List everything now and then, and as soon as possible after the API server was away.

        Watches may have missed what happened meanwhile, and keys that failed wait for as long as they failed: neither
        shall cost more than the outage itself.
        """
        pause = self.settings.resync_seconds
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._outage.wait(), pause)
            if was_outage := self._outage.is_set():
                self.metrics.outages.inc()
                await asyncio.sleep(_AFTER_OUTAGE_SECONDS * (1 + random.random()))  # noqa: S311 - jitter, no secret
            try:
                touched = await self.sync()
            except ApiError as error:
                logger.warning("resync failed: %s", error)
                self._outage.set()
                continue
            unfinished = [key for key, job in self.store.qsmjobs.items() if not job.is_finished]
            for key in {*touched, *unfinished}:
                self.queue.add(key)
            if was_outage:
                logger.info("the API server is back; everything was listed anew")
                await asyncio.sleep(_CALM_SECONDS)
            self._outage.clear()

    async def _give_turns(self) -> None:
        while True:
            await asyncio.sleep(_TURNS_SECONDS)
            self.controller.start_next()

    def measure(self) -> None:
        """Bring the gauges up to date; called when they are read."""
        self.metrics.queue_depth.set(self.queue.depth)
        self.metrics.queue_oldest.set(self.queue.oldest_seconds)
        self.metrics.turns_waiting.set(self.turns.waiting)
        expect_ends(self.metrics, self.store, measure_jobs(self.metrics, self.store, datetime.now(UTC)))
        for measure in self.measures:
            measure()

    def health(self) -> str:
        """What is wrong with us; empty where nothing is. That the API server is away is not our fault."""
        if any(task.done() for task in [*self._workers, *self._others]):
            return "a part of the operator has ended"
        if self.queue.busiest_seconds > _STUCK_SECONDS:
            return "a worker is stuck"
        return ""


def _named(key: Key) -> dict[str, str]:
    return {"namespace": key[0], "qsmjob": key[1]}
