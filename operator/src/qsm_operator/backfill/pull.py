"""`qsm-operator backfill`: past examinations from an archive into Orthanc, one series after the other, without haste.

What arrives is taken by intake like anything a scanner sends: this program makes no jobs. It can be stopped and started
again at any time.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, TypeVar

from qsm_operator.backfill.journal import Journal
from qsm_operator.backfill.search import FoundSeries, Search, begin_pull, find
from qsm_operator.orthanc.door import Orthanc, OrthancError, OrthancRefusedError, OrthancUnavailableError
from qsm_operator.resources.windows import next_opening

POLL_SECONDS = 1.0
PAUSES_SECONDS = (30.0, 120.0, 600.0)
"""Between tries of a question where Orthanc or the archive is away."""
PULL_AGAIN_SECONDS = 30.0
"""Before the second and last try of a series."""
MOST_FAILURES_IN_A_ROW = 10
"""So many series in a row cannot be had: it is not the series."""
_GONE = "the archive has it no more"

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]
Say = Callable[[str], None]


class BackfillStoppedError(RuntimeError):
    """It stopped before its end; starting it again goes on where it was."""


@dataclass
class Pace:
    """How fast: so many series an hour at most, and only at certain times of day."""

    interval_seconds: float = 0.0
    schedule: dict[str, Any] | None = None
    """As `spec.schedule` of a QSMJob."""
    sleep: Sleep = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    say: Say = lambda _: None
    _next: float = float("-inf")

    async def turn(self) -> None:
        """Wait until the next series may be pulled."""
        await self.sleep(max(0.0, self._next - self.clock()))
        opening = next_opening(self.schedule, self.now())
        while opening is not None:
            self.say(f"waits until {opening:%Y-%m-%d %H:%M %Z}")
            await self.sleep(max(1.0, (opening - self.now()).total_seconds()))
            opening = next_opening(self.schedule, self.now())
        self._next = self.clock() + self.interval_seconds


@dataclass
class Tally:
    """What came of it."""

    studies: int = 0
    series: int = 0
    images: int = 0
    """Of the series the archive told the number of."""
    here: int = 0
    """Series that were here already."""
    pulled: int = 0
    pulled_images: int = 0
    failed: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    """Failed series by reason."""


@dataclass
class Backfill:
    """One search under way."""

    orthanc: Orthanc
    search: Search
    journal: Journal
    pace: Pace
    say: Say
    series_seconds: float = 3600.0
    """How long one series may take."""
    tally: Tally = field(default_factory=Tally)

    async def count(self) -> Tally:
        """The dry run: find everything, pull nothing."""
        for day in self.search.days:
            await self._look(day)
        return self.tally

    async def run(self) -> Tally:
        """Pull everything that is not here yet. A series that cannot be had is counted, and the next one is tried.

        Raises
        ------
        OrthancError
            Orthanc, or the search at the archive, failed again and again.
        BackfillStoppedError
            So many series in a row failed that going on helps nobody.
        """
        for day in self.search.days:
            if day in self.journal.days:
                self.say(f"{day}: done before")
                continue
            missing = await self._look(day)
            before = self.tally.failed
            in_a_row = 0
            for number, series in enumerate(missing, 1):
                await self.pace.turn()
                began = self.pace.clock()
                failure = await self._pull(series)
                in_a_row = in_a_row + 1 if failure else 0
                if failure:
                    self.tally.failed += 1
                    self.tally.failures[failure] = self.tally.failures.get(failure, 0) + 1
                    self.say(f"{day}: series {number} of {len(missing)} failed: {failure}")
                    if in_a_row >= MOST_FAILURES_IN_A_ROW:
                        raise BackfillStoppedError(f"{in_a_row} series in a row failed, the last because {failure}")
                else:
                    self.journal.note_series(series.series_uid)
                    seconds = self.pace.clock() - began
                    self.say(f"{day}: series {number} of {len(missing)} pulled in {seconds:.0f} s")
            if self.tally.failed == before and day < self.pace.now().date():
                self.journal.note_day(day)
        return self.tally

    async def _look(self, day: date) -> list[FoundSeries]:
        """Series of a day that are not here, or not whole."""
        studies, found = await self._patiently(lambda: find(self.orthanc, self.search, day))
        missing = [series for series in found if not await self._is_here(series)]
        images = sum(series.images or 0 for series in found)
        self.tally.studies += studies
        self.tally.series += len(found)
        self.tally.images += images
        self.tally.here += len(found) - len(missing)
        self.say(f"{day}: {studies} studies, {len(found)} series, {images} images; {len(missing)} series to pull")
        return missing

    async def _is_here(self, series: FoundSeries) -> bool:
        if self.journal.has(series.series_uid):
            return True
        # Where the archive does not tell how many there are, pulling again does no harm.
        return series.images is not None and await self._stored(series) >= series.images

    async def _stored(self, series: FoundSeries) -> int:
        """How many images of a series Orthanc has."""

        async def ask() -> int:
            places = [own_id for level, own_id in await self.orthanc.lookup(series.series_uid) if level == "Series"]
            return sum([len((await self.orthanc.series(own_id)).instance_ids) for own_id in places])

        return await self._patiently(ask)

    async def _pull(self, series: FoundSeries) -> str:
        """Why a series could not be had; empty where it is here now."""
        failure = ""
        for is_last in (False, True):
            before = await self._stored(series)
            try:
                failure = await self._pull_once(series)
            except OrthancRefusedError:
                raise
            except OrthancError as error:
                failure = f"Orthanc failed ({error.call})"
            stored = await self._stored(series)
            self.tally.pulled_images += max(0, stored - before)
            failure = _judged(failure, series.images, stored)
            if not failure or is_last or failure == _GONE:
                break
            await self.pace.sleep(PULL_AGAIN_SECONDS)
        self.tally.pulled += not failure
        return failure

    async def _pull_once(self, series: FoundSeries) -> str:
        job_id = await begin_pull(self.orthanc, self.search, series)
        if job_id is None:
            return _GONE
        end = self.pace.clock() + self.series_seconds
        while self.pace.clock() < end:
            job = await self.orthanc.job(job_id)
            if job is None or job.state == "Success":
                return ""  # forgotten: what is here now tells
            if job.state not in {"Pending", "Running", "Retry"}:
                return "the archive refused or broke off"
            await self.pace.sleep(POLL_SECONDS)
        await self.orthanc.cancel_job(job_id)
        return f"not here within {self.series_seconds:.0f} s"

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask again after a while where Orthanc or the archive is away."""
        for pause_seconds in PAUSES_SECONDS:
            try:
                return await ask()
            except OrthancUnavailableError as error:
                self.say(f"{error}; tried again in {pause_seconds:.0f} s")
                await self.pace.sleep(pause_seconds)
        return await ask()


def _judged(failure: str, images: int | None, stored: int) -> str:
    """What is stored decides, whatever the job said."""
    if images is not None and stored >= images:
        return ""
    if failure:
        return failure
    if not stored:
        return "the archive says it was sent, but nothing arrived"
    return "only a part arrived" if images is not None else ""
