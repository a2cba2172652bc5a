"""What leads to a look without a hint: Orthanc's change log, and scans of all series. Only the replica that leads.

The change log is read from a durable cursor. It does not have what happened while Orthanc was being killed, so a scan
at intervals looks at what is there, whatever was or was not told.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from datetime import datetime

from qsm_operator.cluster.door import ApiError
from qsm_operator.cluster.leases import Lease
from qsm_operator.intake.cursor import Cursor, CursorStore, is_rewound, row_of
from qsm_operator.intake.examinations import Seen, needs_look
from qsm_operator.intake.marks import MARKER_NAME, Kind, of_name, read_marker
from qsm_operator.intake.route_book import RouteBook
from qsm_operator.intake.settings import IntakeSettings
from qsm_operator.metrics import IntakeMetrics
from qsm_operator.orthanc.answers import Change, Changes, SeriesState
from qsm_operator.orthanc.door import Orthanc, OrthancError

logger = logging.getLogger(__name__)

_PAGE = 500
_KIND = "StableSeries"
_BUSY_LINE = 200
"""So many in the line, and a scan waits: hints and changes come first, and memory stays bounded."""
_PINNED_SECONDS = 600.0
"""A look that fails so long holds the cursor no longer; scans go on trying."""
_ROUNDS = 24
"""Series with nothing left to do are asked about only every so many scans, a part of them in each."""

Add = Callable[[str, str, float], None]
"""Have a series looked at: its identifier, what led to it (changes, scan), after how many seconds."""


class Following:
    """The change log and the scans of one Orthanc."""

    def __init__(
        self,
        orthanc: Callable[[], Orthanc],
        store: CursorStore,
        lease: Lease,
        routes: RouteBook,
        settings: IntakeSettings,
        metrics: IntakeMetrics,
        add: Add,
        line: Callable[[], int],
    ) -> None:
        self._orthanc, self._store, self._lease, self._routes = orthanc, store, lease, routes
        self._settings, self._metrics, self._add, self._line = settings, metrics, add, line
        self._open: dict[str, tuple[int, float]] = {}
        """Series from the log that are not looked at yet: number of the change, and since when."""
        self._finished: set[int] = set()
        self._round = 0
        self._scan_soon = asyncio.Event()
        self._is_suspect = True
        """Whether something may have been missed since the last whole scan."""
        self.trouble = ""
        """What keeps Orthanc from being read; empty where nothing does."""

    def handled(self, series_id: str) -> None:
        """A series was looked at, to the end."""
        self._open.pop(series_id, None)

    def scan_soon(self) -> None:
        """Something changed that only a scan finds, such as the routes."""
        self._is_suspect = True
        self._scan_soon.set()

    async def follow(self) -> None:
        """Read the change log as long as the Lease is held, until cancelled."""
        while True:
            await self._lease.until_held()
            try:
                await self._read_log()
            except (OrthancError, ApiError) as error:
                self._troubled(error)
                await asyncio.sleep(self._settings.poll_seconds)

    async def scan_at_intervals(self) -> None:
        """Scan as long as the Lease is held, until cancelled."""
        while True:
            await self._lease.until_held()
            self._scan_soon.clear()
            name, began = self._orthanc().name, time.monotonic()
            try:
                await self.scan()
            except (OrthancError, ApiError) as error:
                self._troubled(error)
                self._metrics.scans.labels(name, "failed").inc()
                pause = min(self._settings.poll_seconds, self._settings.scan_seconds)
            else:
                self._metrics.scans.labels(name, "done").inc()
                self._metrics.scan_seconds.observe(time.monotonic() - began)
                self._metrics.last_scan.labels(name).set(time.time())
                pause = self._settings.scan_seconds
            try:
                await asyncio.wait_for(self._scan_soon.wait(), pause)
            except TimeoutError:
                continue

    async def _read_log(self) -> None:
        cursor = await self._store.load()
        if cursor is None:
            # Nothing was ever read: the scan looks at all that is there, the log at what comes.
            newest = (await self._orthanc().last_change()).rows
            cursor = Cursor(newest[-1].seq, row_of(newest[-1])) if newest else Cursor()
            await self._store.save(cursor)
            self.scan_soon()
        filters = (await self._orthanc().system()).filters_changes
        saved = read = cursor
        rows: dict[int, str] = {}
        self._open.clear()
        while self._lease.is_held:
            page = await self._page(read, filters=filters)
            self._reached()
            if page is None:
                logger.warning("Orthanc's change log begins anew or is an older one: scanning all")
                saved = await self._rewind()
                read, rows = saved, {}
                continue
            for row in page.rows:
                if row.seq <= read.seq:
                    continue
                self._note(row)
                read = Cursor(row.seq, row_of(row))
                rows[row.seq] = read.row
            saved = await self._save(saved, read, rows)
            end = read.seq if page.done else (await self._orthanc().last_change()).last
            self._metrics.cursor_lag.labels(self._orthanc().name).set(max(0, end - saved.seq))
            if page.done or not page.rows:
                self._metrics.cursor_read.labels(self._orthanc().name).set(time.time())
                await asyncio.sleep(self._settings.poll_seconds)
            await self._calm()

    async def _page(self, read: Cursor, *, filters: bool) -> Changes | None:
        """What comes after the cursor; none where the log is another one.

        The row of the cursor is of any kind, and is asked for without a filter.
        """
        page = await self._orthanc().changes(max(0, read.seq - 1), 1 if filters else _PAGE)
        if is_rewound(read, page):
            return None
        return await self._orthanc().changes(read.seq, _PAGE, _KIND) if filters else page

    def _note(self, row: Change) -> None:
        if row.kind == _KIND:
            number, since = self._open.get(row.id, (row.seq, time.monotonic()))
            self._open[row.id] = (min(number, row.seq), since)
            self._add(row.id, "changes", 0.0)

    async def _save(self, saved: Cursor, read: Cursor, rows: dict[int, str]) -> Cursor:
        """Move the durable cursor to where everything was looked at."""
        now = time.monotonic()
        for series_id in [one for one, (_, since) in self._open.items() if now - since > _PINNED_SECONDS]:
            del self._open[series_id]
        waiting = min((number for number, _ in self._open.values()), default=read.seq + 1)
        seq = max((number for number in rows if number < waiting), default=saved.seq)
        for number in [one for one in rows if one < seq]:
            del rows[number]
        if seq <= saved.seq:
            return saved
        cursor = Cursor(seq, rows[seq])
        if await self._store.save(cursor):
            return cursor
        logger.warning("another replica wrote the cursor: reading it anew")
        await self._store.load()
        return saved

    async def _rewind(self) -> Cursor:
        newest = (await self._orthanc().last_change()).rows
        cursor = Cursor(newest[-1].seq, row_of(newest[-1])) if newest else Cursor()
        self._open.clear()
        self.scan_soon()
        if not await self._store.save(cursor):
            await self._store.load()
        return cursor

    async def scan(self) -> None:
        """Look through all series for what is to be looked at. Raises OrthancError."""
        is_whole, self._is_suspect = self._is_suspect, False
        try:
            await self._scan(is_whole=is_whole)
        except OrthancError:
            self._is_suspect = self._is_suspect or is_whole
            raise

    async def _scan(self, *, is_whole: bool) -> None:
        orthanc = self._orthanc()
        ids = await orthanc.series_ids()
        now = await orthanc.now()
        self._round = (self._round + 1) % _ROUNDS
        if is_whole:
            self._finished.clear()
        asked = [one for one in ids if _number(one) not in self._finished or _number(one) % _ROUNDS == self._round]
        async for page in orthanc.series_states(asked):
            for state in page:
                await self._consider(state, now)
            await self._calm()
        self._finished &= {_number(one) for one in ids}
        self._reached()

    async def _consider(self, state: SeriesState, now: datetime) -> None:
        age_seconds = (now - state.last_update).total_seconds() if state.last_update else 0.0
        is_old = 0 < self._settings.look_back_seconds < age_seconds
        if state.modality not in {"MR", ""} or is_old:
            self._finished.add(_number(state.id))
            return
        if not state.is_stable:
            return
        marker = read_marker(of_name(state.metadata, self._settings.metadata_number + 1, MARKER_NAME))
        one = Seen(state, marker)
        routes = self._routes.of(self._orthanc().name)
        study = marker.study if marker is not None and marker.kind is not Kind.WAITING else ""
        if not needs_look(one, study, routes, is_late=False):
            self._finished.add(_number(state.id))
            return
        self._add(state.id, "scan", max(0.0, self._settings.settled_after_seconds - max(0.0, age_seconds)))

    async def _calm(self) -> None:
        while self._line() > _BUSY_LINE:  # noqa: ASYNC110 - the line belongs to others, and shortens by itself
            await asyncio.sleep(0.2)

    def suspect(self) -> None:
        """Orthanc did not answer somebody: the next scan looks at everything."""
        self._is_suspect = True

    def _reached(self) -> None:
        name = self._orthanc().name
        if self.trouble:
            logger.info("Orthanc answers again", extra={"reason": "Reachable"})
            # It may have been killed meanwhile, and then some events never were.
            self.scan_soon()
        self.trouble = ""
        self._metrics.orthanc_answered.labels(name).set(time.time())

    def _troubled(self, error: OrthancError | ApiError) -> None:
        if isinstance(error, OrthancError) and not self.trouble:
            logger.warning("Orthanc cannot be read: %s", error)
        elif not isinstance(error, OrthancError):
            logger.warning("the cursor cannot be read or written: %s", error)
        if isinstance(error, OrthancError):
            self.trouble = str(error)


def _number(series_id: str) -> int:
    """A series in eight bytes."""
    return int.from_bytes(hashlib.blake2b(series_id.encode(), digest_size=8).digest())
