"""Intake at work: connections, routes, the line of what is to be looked at, and an orderly end."""

import asyncio
import logging
import os
import secrets
import socket
import time
import traceback
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from qsm_operator.cluster.door import ApiError, Cluster
from qsm_operator.cluster.expiry import file_end
from qsm_operator.cluster.leases import Lease
from qsm_operator.intake.cursor import CursorStore
from qsm_operator.intake.following import Following
from qsm_operator.intake.hint_traces import HintTraces
from qsm_operator.intake.look import Intake, Look
from qsm_operator.intake.route_book import RouteBook
from qsm_operator.intake.settings import IntakeSettings
from qsm_operator.intake.sources import Source
from qsm_operator.metrics import IntakeMetrics
from qsm_operator.orthanc.connections import ConnectionSettingsError, OrthancConnection, orthanc_connections
from qsm_operator.orthanc.door import Orthanc, OrthancError
from qsm_operator.tracing.tracer import OFF, Tracing
from qsm_operator.workqueue import Backoff, Key, WorkQueue

logger = logging.getLogger(__name__)

LEASE = "qsm-intake"
_STUCK_SECONDS = 1800
"""A worker so long at one examination is stuck: the largest ones take minutes on a slow Orthanc."""
_CONNECTIONS_SECONDS = 15.0
_STATUS_SECONDS = 5.0
_FINGERPRINT_SECONDS = 1.0
_COMPLAIN_SECONDS = 30.0


class Intaking:
    """Everything that runs between start and end."""

    def __init__(
        self, settings: IntakeSettings, cluster: Cluster, metrics: IntakeMetrics, tracing: Tracing = OFF
    ) -> None:
        self.settings, self.cluster, self.metrics = settings, cluster, metrics
        self._traces = HintTraces(tracing)
        self.queue = WorkQueue(time.monotonic, Backoff(longest_seconds=15.0))
        self.routes = RouteBook(cluster, settings.namespace, time.monotonic)
        identity = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.lease = Lease(cluster, settings.namespace, LEASE, identity, time.monotonic)
        self.sources: dict[str, Source] = {}
        self.is_ready = False
        self.stands_by = False  # every replica takes hints
        self._found_by: dict[Key, str] = {}
        self._waiting: dict[Key, float] = {}
        self._complained_at: dict[str, float] = {}
        self.measures: list[Callable[[], None]] = []
        """What else to do when the metrics are read."""
        self._workers: list[asyncio.Task[None]] = []
        self._others: list[asyncio.Task[None]] = []

    @property
    def connections(self) -> frozenset[str]:
        """Names of the connections that are mounted."""
        return frozenset(self.sources)

    def hint(self, connection: str, series_id: str) -> None:
        """A hint was received."""
        self._traces.hint(connection, series_id)
        self._add(connection, series_id, "hint", 0.0)

    async def find_connections(self) -> None:
        """See what is mounted, now and later. Raises ConnectionSettingsError where the folder is not there."""
        for name, folder in orthanc_connections(Path(self.settings.connections_dir)).items():
            source = self.sources.get(name)
            if source is None:
                source = self.sources[name] = self._source(name)
            await source.load(folder)

    async def start(self) -> None:
        """Learn the routes, then start to work. Waits for an API server that is not there yet."""
        while True:
            try:
                await self.routes.refresh()
                break
            except ApiError as error:
                logger.warning("cannot list QSMRoutes yet: %s", error)
                await asyncio.sleep(2)
        self._workers = [asyncio.create_task(self._work()) for _ in range(self.settings.workers)]
        for loop in (self.lease.keep, self._refresh_routes, self._refresh_connections, self._tell):
            self._others.append(asyncio.create_task(loop()))
        self.is_ready = True

    async def stop(self) -> None:
        """Finish what is being looked at, begin nothing new, let another lead at once."""
        for task in self._others:
            task.cancel()
        self.queue.close()
        if self._workers:
            _, late = await asyncio.wait(self._workers, timeout=20)
            for task in late:
                task.cancel()
        await asyncio.gather(*self._others, *self._workers, return_exceptions=True)
        await self.lease.give_back()
        for source in self.sources.values():
            if source.intake is not None:
                await source.intake.orthanc.close()

    def _source(self, name: str) -> Source:
        source = Source(name, self._make_intake)
        source.following = Following(
            source.door,
            CursorStore(self.cluster, self.settings.namespace, name),
            self.lease,
            self.routes,
            self.settings,
            self.metrics,
            partial(self._add, name),
            lambda: self.queue.depth,
        )
        for loop in (source.following.follow, source.following.scan_at_intervals):
            self._others.append(asyncio.create_task(self._when_ready(loop)))
        return source

    async def _when_ready(self, loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while not self.is_ready:  # noqa: ASYNC110 - a second at the start, once
            await asyncio.sleep(0.1)
        await loop()

    def _make_intake(self, connection: OrthancConnection) -> Intake:
        def observe(call: str, code: str, seconds: float) -> None:
            self.metrics.orthanc(call, code, seconds)
            source = self.sources.get(connection.name)
            if code == "Unreachable" and source is not None and source.following is not None:
                source.following.suspect()

        orthanc = Orthanc(connection, observe, timeout_seconds=self.settings.orthanc_timeout_seconds)
        return Intake(orthanc, self.cluster, self.routes, self.settings, self.metrics, traces=self._traces)

    def _add(self, connection: str, series_id: str, found_by: str, after_seconds: float) -> None:
        key = (connection, f"series/{series_id}")
        # What Orthanc itself told is worth more than what a scan saw.
        if self._found_by.get(key, "scan") == "scan":
            self._found_by[key] = found_by
        if after_seconds > 0:
            self.queue.add_after(key, after_seconds)
        else:
            self.queue.add(key)

    async def _work(self) -> None:
        while (key := await self.queue.get()) is not None:
            is_done = False
            try:
                await self._look(key)
                is_done = True
            except (ApiError, OrthancError) as error:
                self._complain(key[0], error)
            except Exception as error:  # noqa: BLE001 - see below; the class and the place are told, the text is not
                # The last resort of a worker: one examination we cannot handle must not keep others from being handled.
                # Not the text of the error, which might quote an image.
                where = " < ".join(
                    f"{one.name}:{one.lineno}" for one in traceback.extract_tb(error.__traceback__)[:-6:-1]
                )
                logger.error("defect: %s in %s", type(error).__name__, where)  # noqa: TRY400
            finally:
                self.queue.done(key, failed=not is_done)

    async def _look(self, key: Key) -> None:
        source = self.sources.get(key[0])
        if source is None:
            return
        source.door()  # raises where the connection is of no use
        intake = source.intake
        kind, _, identifier = key[1].partition("/")
        if intake is None or source.following is None:
            return
        if kind == "content":
            if self.queue.depth:
                self.queue.add_after(key, _FINGERPRINT_SECONDS)  # live work first
                return
            await intake.take_fingerprint(identifier)
            return
        if kind == "study":
            look = await intake.look_at_study(identifier)
        else:
            look = await intake.look_at_series(identifier, self._found_by.get(key, "scan"))
            self._found_by.pop(key, None)
            source.following.handled(identifier)
        self._note(key[0], look)

    def _note(self, connection: str, look: Look) -> None:
        if not look.study_id:
            return
        study = (connection, f"study/{look.study_id}")
        if look.again_after_seconds is not None:
            self.queue.add_after(study, look.again_after_seconds)
        for series_id in look.to_fingerprint:
            self.queue.add_after((connection, f"content/{series_id}"), _FINGERPRINT_SECONDS)
        if look.waiting_since_seconds is None:
            self._waiting.pop(study, None)
        else:
            self._waiting[study] = time.monotonic() - look.waiting_since_seconds

    def _complain(self, connection: str, error: ApiError | OrthancError) -> None:
        if time.monotonic() - self._complained_at.get(connection, float("-inf")) < _COMPLAIN_SECONDS:
            return
        self._complained_at[connection] = time.monotonic()
        logger.warning("connection %s: looked in vain, trying again: %s", connection, error)

    async def _refresh_routes(self) -> None:
        while True:
            await asyncio.sleep(self.settings.routes_seconds)
            try:
                changed = await self.routes.refresh()
            except ApiError as error:
                logger.warning("QSMRoutes cannot be listed, the last known ones stay: %s", error)
                continue
            for name in changed & self.sources.keys():
                following = self.sources[name].following
                if following is not None:
                    following.scan_soon()

    async def _refresh_connections(self) -> None:
        while True:
            await asyncio.sleep(_CONNECTIONS_SECONDS)
            try:
                await self.find_connections()
            except ConnectionSettingsError as error:
                logger.warning("%s", error)

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(_STATUS_SECONDS)
            await self.routes.tell(self._unreachable(), leads=self.lease.is_held)

    def _unreachable(self) -> Mapping[str, str]:
        found = {}
        for name, source in self.sources.items():
            trouble = source.wrong or (source.following.trouble if source.following else "")
            if trouble:
                found[name] = f"{trouble}."
        wanted = {route.connection for route in self.routes.all}
        for name in wanted - self.sources.keys():
            found[name] = f"The Secret {name} is not mounted in intake."
        return found

    def measure(self) -> None:
        """Bring the gauges up to date; called when they are read."""
        self.metrics.waiting.set(len(self._waiting))
        oldest = min(self._waiting.values(), default=None)
        self.metrics.waiting_oldest.set(time.monotonic() - oldest if oldest is not None else 0.0)

        for measure in self.measures:
            measure()

    def expiries(self) -> dict[str, float]:
        """Unix time at which our certificates end: the receiver's, and those of the connections."""
        files = {"hints_certificate": self.settings.tls_cert_file or None}
        for name in sorted(self.sources):
            folder = Path(self.settings.connections_dir) / name
            files[f"{name}_client_certificate"] = str(folder / "tls.crt")
            files[f"{name}_ca_certificate"] = str(folder / "ca.crt")
        ends = {name: file_end(file) for name, file in files.items()}
        return {name: end for name, end in ends.items() if end is not None}

    def health(self) -> str:
        """What is wrong with us; empty where nothing is. That Orthanc or the API server is away is not our fault."""
        if any(task.done() for task in [*self._workers, *self._others]):
            return "a part of intake has ended"
        if self.queue.busiest_seconds > _STUCK_SECONDS:
            return "a worker is stuck"
        return ""
