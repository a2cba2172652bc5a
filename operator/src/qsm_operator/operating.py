"""The operator at work: workers, resync, turns, and an orderly end."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from qsm_operator.admission import Turns
from qsm_operator.cluster import ApiError, Cluster, owned_selector
from qsm_operator.controller import Controller
from qsm_operator.measuring import measure_jobs
from qsm_operator.metrics import Metrics
from qsm_operator.settings import Settings
from qsm_operator.store import KINDS, Store
from qsm_operator.workqueue import Key, WorkQueue

logger = logging.getLogger(__name__)

_STUCK_SECONDS = 300
"""A worker so long at one key is stuck: requests end after seconds, and there are few per look."""
_TURNS_SECONDS = 0.05


class Operating:
    """Everything that runs between start and end."""

    def __init__(self, settings: Settings, cluster: Cluster, metrics: Metrics) -> None:
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
        self.controller = Controller(
            settings, cluster, self.store, self.queue, self.turns, metrics, lambda: datetime.now(UTC)
        )
        self.is_ready = False
        self._synced = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []

    def told(self, kind: str, type_: str | None, body: Mapping[str, Any]) -> None:
        """A watch told something."""
        self.metrics.last_event.labels(kind).set(time.time())
        if type_ == "DELETED":
            metadata = body["metadata"]
            touched = self.store.drop(kind, (metadata.get("namespace", ""), metadata["name"]))
        else:
            touched = self.store.put(kind, body)
        for key in touched:
            self.queue.add(key)

    async def sync(self) -> list[Key]:
        """List everything and hold it against what is known; which QSMJobs may care."""
        touched: list[Key] = []
        # QSMJobs first: what they own is then at least as new as they are.
        for kind in KINDS:
            selector = owned_selector() if kind in {"jobs", "pods"} else ""
            for namespace in self.settings.namespaces or ("",):
                listing = await self.cluster.list(kind, namespace, selector=selector)
                found = self.store.replace_all(kind, listing, namespace)
                if self.is_ready and found:
                    self.metrics.corrections.labels(kind).inc(len(found))
                touched += found
        self._synced = time.monotonic()
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
        loops: list[Callable[[], Any]] = [self._work] * self.settings.workers + [self._resync, self._give_turns]
        self._tasks = [asyncio.create_task(loop()) for loop in loops]

    async def stop(self) -> None:
        """Finish what is being looked at, begin nothing new."""
        self.queue.close()
        workers, others = self._tasks[: self.settings.workers], self._tasks[self.settings.workers :]
        for task in others:
            task.cancel()
        if workers:
            _, late = await asyncio.wait(workers, timeout=20)
            for task in late:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        while (key := await self.queue.get()) is not None:
            began, result = time.monotonic(), "done"
            try:
                await self.controller.look(key)
            except ApiError as error:
                result = "conflict" if error.status == 409 else "api_error"
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
        while True:
            await asyncio.sleep(self.settings.resync_seconds)
            try:
                touched = await self.sync()
            except ApiError as error:
                logger.warning("resync failed: %s", error)
                continue
            unfinished = [key for key, job in self.store.qsmjobs.items() if not job.is_finished]
            for key in {*touched, *unfinished}:
                self.queue.add(key)

    async def _give_turns(self) -> None:
        while True:
            await asyncio.sleep(_TURNS_SECONDS)
            self.controller.start_next()

    def measure(self) -> None:
        """Bring the gauges up to date; called when they are read."""
        self.metrics.queue_depth.set(self.queue.depth)
        self.metrics.queue_oldest.set(self.queue.oldest_seconds)
        self.metrics.turns_waiting.set(self.turns.waiting)
        measure_jobs(self.metrics, self.store, datetime.now(UTC))

    def health(self) -> str:
        """What is wrong with us; empty where nothing is. That the API server is away is not our fault."""
        if any(task.done() for task in self._tasks):
            return "a part of the operator has ended"
        if self.queue.busiest_seconds > _STUCK_SECONDS:
            return "a worker is stuck"
        return ""


def _named(key: Key) -> dict[str, str]:
    return {"namespace": key[0], "qsmjob": key[1]}
