"""The one step all ways end in: look at an examination in Orthanc, and see to it that each acquisition has its QSMJobs.

A hint, a row of the change log, a scan and a timer only say where to look; this looks, and may look as often as it
likes: names are deterministic, and a marker in Orthanc tells what was concluded before.
"""

import asyncio
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from pydicom.dataset import Dataset

from qsm_acquisition import survey
from qsm_operator.cluster.door import Cluster
from qsm_operator.intake.contents import fingerprint
from qsm_operator.intake.examinations import Judgement, Seen, Verdict, done, judge, needs_look
from qsm_operator.intake.hint_traces import HintTraces
from qsm_operator.intake.marks import (
    CONTENT_NAME,
    MARKER_NAME,
    RECEIVED,
    STATE_NAME,
    Content,
    Kind,
    Marker,
    digest,
    of_name,
    read_content,
    read_marker,
    refused,
)
from qsm_operator.intake.ordering import Ordering
from qsm_operator.intake.route_book import RouteBook
from qsm_operator.intake.series_headers import SeriesHeaders
from qsm_operator.intake.settings import IntakeSettings
from qsm_operator.metrics import IntakeMetrics
from qsm_operator.orthanc.answers import SeriesState
from qsm_operator.orthanc.door import Orthanc, OrthancMissingError
from qsm_operator.routes.matching import Route, asked_tags
from qsm_operator.routes.orders import orderable

logger = logging.getLogger(__name__)

_MR = frozenset({"MR", ""})
_ALREADY_EXISTS = 409
_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class Look:
    """What came of looking."""

    study_id: str = ""
    """The examination; empty where there is none to speak of."""
    again_after_seconds: float | None = None
    """Nothing tells us when this time is over: look again then."""
    waiting_since_seconds: float | None = None
    """Age of its last image, where something is waited for."""
    to_fingerprint: tuple[str, ...] = ()
    """Series whose content is to be remembered, when there is time."""


class Intake:
    """Looks at the examinations of one Orthanc."""

    def __init__(
        self,
        orthanc: Orthanc,
        cluster: Cluster,
        routes: RouteBook,
        settings: IntakeSettings,
        metrics: IntakeMetrics,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        traces: HintTraces | None = None,
    ) -> None:
        self.orthanc = orthanc
        self._routes, self._settings, self._metrics = routes, settings, metrics
        self._ordering = Ordering(orthanc, cluster, routes, settings, metrics, wall_clock, traces or HintTraces())
        self._stable_as: OrderedDict[str, str] = OrderedDict()
        """Series -> what it looked like when an event told that it is stable."""
        self._locks: dict[str, asyncio.Lock] = {}
        self._looking: Counter[str] = Counter()

    async def look_at_series(self, series_id: str, found_by: str) -> Look:
        """Look at the examination of a series. `found_by`: hint, changes (events of Orthanc) or scan.

        Raises
        ------
        OrthancError, ApiError
            The look must be repeated.
        """
        try:
            state = await self.orthanc.series(series_id)
        except OrthancMissingError:
            return Look()  # it was deleted
        if state.modality not in _MR:
            return Look()
        if found_by != "scan" and state.is_stable:
            self._stable_as[series_id] = Seen(state, None).seen
            self._stable_as.move_to_end(series_id)
            if len(self._stable_as) > _REMEMBERED:
                self._stable_as.popitem(last=False)
        return await self.look_at_study(state.study_id, found_by, state if found_by != "scan" else None)

    async def look_at_study(self, study_id: str, found_by: str = "scan", told: SeriesState | None = None) -> Look:
        """Look at an examination. Two looks at one never overlap in one program; across replicas that is harmless.

        `told`: the series of which Orthanc said just now that it is stable.

        Raises
        ------
        OrthancError, ApiError
            The look must be repeated.
        """
        self._looking[study_id] += 1
        lock = self._locks.setdefault(study_id, asyncio.Lock())
        try:
            async with lock:
                return await self._look(study_id, found_by, told)
        except OrthancMissingError:
            return Look()  # it, or a part of it, was deleted while we looked: what is left has its own events
        finally:
            self._looking[study_id] -= 1
            if not self._looking[study_id]:
                del self._looking[study_id], self._locks[study_id]

    async def _look(self, study_id: str, found_by: str, told: SeriesState | None) -> Look:
        found = [one for one in await self.orthanc.series_of_study(study_id) if one.modality in _MR]
        moments = [one.last_update for one in found if one.last_update is not None]
        if not moments:
            return Look()
        # Both moments are Orthanc's: its clock may differ from ours as it likes.
        now = await self.orthanc.now()
        age_seconds = (now - max(moments)).total_seconds()
        self._metrics.last_image.labels(self.orthanc.name).set(time.time() - max(0.0, age_seconds))
        if self._settings.look_back_seconds and age_seconds > self._settings.look_back_seconds:
            return Look()
        enough_seconds = self._settings.settled_after_seconds
        if told is not None and told.is_stable and told.last_update is not None:
            # So old must an image be here for its series to be stable; what is older needs no event of its own.
            enough_seconds = min(enough_seconds, (now - told.last_update).total_seconds())
        again: list[float] = []
        read: list[Seen] = []
        for one in found:
            seen = Seen(one, read_marker(self._said(one, 1, MARKER_NAME)))
            wait_seconds = self._settles_after(seen, now, enough_seconds)
            if wait_seconds is None:
                await self._mark_received(one)
            elif wait_seconds > 0:
                again.append(wait_seconds)
            elif not (seen.is_unchanged and seen.marker is not None and seen.marker.is_intrinsic):
                read.append(seen)
        routes = self._routes.of(self.orthanc.name)
        study = digest(one.seen for one in read)
        left_seconds = self._settings.incomplete_deadline_seconds - max(0.0, age_seconds)
        if any(needs_look(one, study, routes, is_late=left_seconds <= 0) for one in read):
            judgement, fingerprints = await self._judge(read, routes, age_seconds, found_by)
            waits = any(verdict.marker.kind is Kind.WAITING for verdict in judgement.verdicts)
        else:
            fingerprints = ()
            waits = any(one.marker is not None and one.marker.kind is Kind.WAITING for one in read)
        if waits and left_seconds > 0:
            again.append(left_seconds + 1.0)
        return Look(study_id, min(again, default=None), max(0.0, age_seconds) if waits else None, fingerprints)

    def _settles_after(self, seen: Seen, now: datetime, enough_seconds: float) -> float | None:
        """Seconds until a series counts as stable: 0 for now, none where only an event or a scan can tell.

        After a restart Orthanc says of every series that it is stable, even where the sender is in the middle of it:
        without an event, only time tells.
        """
        one = seen.state
        if not one.is_stable:
            return None
        if seen.is_unchanged or self._stable_as.get(one.id) == seen.seen or one.last_update is None:
            return 0.0
        return max(0.0, enough_seconds - max(0.0, (now - one.last_update).total_seconds()))

    async def _judge(
        self, read: list[Seen], routes: tuple[Route, ...], age_seconds: float, found_by: str
    ) -> tuple[Judgement, tuple[str, ...]]:
        headers: dict[str, Dataset] = {}
        reader = SeriesHeaders(self.orthanc, asked_tags(routes))
        kept: list[Seen] = []
        for one in read:
            refusal = await reader.plain_refusal(one.state)
            if refusal is None:
                kept.append(one)
                found = await reader.read(one.state)
                if len(found) < len(one.state.instance_ids):
                    logger.warning(
                        "images that Orthanc itself cannot read are left out", extra={"reason": "Unreadable"}
                    )
                headers |= found
            else:
                marker = Marker(Kind.REFUSED, refusal.reason, one.ids, one.seen, "-")
                verdict = Verdict(one.state.id, marker, refused(refusal.reason), refusal.scanner or "unknown")
                await self._write(one, verdict, found_by)
        # A large examination takes seconds: others are answered meanwhile.
        result = await asyncio.to_thread(lambda: orderable(survey(headers.items())))
        judgement = judge(
            result,
            kept,
            headers,
            routes,
            age_seconds=age_seconds,
            deadline_seconds=self._settings.incomplete_deadline_seconds,
        )
        by_id = {one.state.id: one for one in kept}
        fingerprints: list[str] = []
        for order in judgement.orders:
            own = [by_id[series_id] for series_id in order.series_ids]
            names = await self._ordering.create(order, own)
            for one in own:
                await self._write(one, done(order, one, names, judgement.study), found_by)
            fingerprints += order.series_ids
        for verdict in judgement.verdicts:
            await self._write(by_id[verdict.series_id], verdict, found_by)
        return judgement, tuple(fingerprints)

    async def take_fingerprint(self, series_id: str) -> None:
        """Remember the content of a series, as long as it is the one the jobs were made for. Raises OrthancError."""
        try:
            state = await self._with_metadata(series_id)
            before = read_content(self._said(state, 2, CONTENT_NAME))
            now: Content = await fingerprint(self.orthanc, series_id, before)
            marker = read_marker(self._said(await self._with_metadata(series_id), 1, MARKER_NAME))
            if now == before or marker is None or marker.seen != Seen(await self.orthanc.series(series_id), None).seen:
                return
            await self.orthanc.set_metadata("series", series_id, self._settings.metadata_number + 2, now.text())
        except OrthancMissingError:
            return

    async def _with_metadata(self, series_id: str) -> SeriesState:
        async for page in self.orthanc.series_states([series_id]):
            for state in page:
                return state
        raise OrthancMissingError("tools/bulk-content", "the series is gone")

    async def _mark_received(self, one: SeriesState) -> None:
        if self._said(one, 0, STATE_NAME) is None:
            await self.orthanc.set_metadata("series", one.id, self._settings.metadata_number, RECEIVED)

    async def _write(self, one: Seen, verdict: Verdict, found_by: str) -> None:
        """Write state and marker where they changed. The marker last: where it is, all before it was done."""
        number = self._settings.metadata_number
        if self._said(one.state, 0, STATE_NAME) != verdict.state:
            await self.orthanc.set_metadata("series", verdict.series_id, number, verdict.state)
        if one.marker != verdict.marker:
            await self.orthanc.set_metadata("series", verdict.series_id, number + 1, verdict.marker.text())
            if one.marker is None:
                self._metrics.received.labels(found_by).inc()
            self._count(one.marker, verdict)

    def _said(self, state: SeriesState, offset: int, name: str) -> str | None:
        return of_name(state.metadata, self._settings.metadata_number + offset, name)

    def _count(self, before: Marker | None, verdict: Verdict) -> None:
        now = verdict.marker
        if before is not None and (before.kind, before.reason, before.ids) == (now.kind, now.reason, now.ids):
            return
        if now.kind is Kind.REFUSED and verdict.scanner:
            self._metrics.refuse(verdict.scanner, now.reason)
            logger.info("images are not reconstructed", extra={"reason": str(now.reason), "scanner": verdict.scanner})
        elif now.kind is Kind.WAITING:
            logger.info("an acquisition is incomplete and waited for", extra={"reason": str(now.reason)})
        elif now.kind is Kind.UNMATCHED:
            self._metrics.unmatched.inc()
            logger.info("no QSMRoute takes a complete acquisition", extra={"reason": "NoRoute"})
