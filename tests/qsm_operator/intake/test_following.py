"""The change log, read from Orthancs with and without a filter of their own."""

import asyncio

import pytest

from qsm_operator.cluster.door import ApiError
from qsm_operator.intake.cursor import CursorStore
from qsm_operator.intake.following import Following
from qsm_operator.intake.settings import IntakeSettings
from qsm_operator.metrics import IntakeMetrics
from qsm_operator.orthanc.answers import Change, Changes, System
from qsm_operator.orthanc.errors import OrthancUnavailableError


class Log:
    """Orthanc's change log; filters by kind where it `filters`."""

    name = "main"

    def __init__(self, *, filters):
        self.filters, self.rows, self.asked = filters, [], []

    def write(self, *kinds):
        for kind in kinds:
            number = len(self.rows) + 1
            self.rows.append(Change(number, kind, "Series", f"series-{number}", "20260101T000000"))

    async def system(self):
        return System("1.12.5" if self.filters else "1.10.1", self.filters)

    async def changes(self, since, limit=500, kind=""):
        self.asked.append(kind)
        wanted = [row for row in self.rows if row.seq > since and (not (kind and self.filters) or row.kind == kind)]
        rows = tuple(wanted[:limit])
        return Changes(rows, rows[-1].seq if rows else since, len(wanted) <= limit)

    async def last_change(self):
        return Changes(tuple(self.rows[-1:]), len(self.rows), done=True)


class Cluster:
    def __init__(self):
        self.body = None

    async def get(self, *_):
        return self.body

    async def create(self, _resource, _namespace, body):
        self.body = body
        return body

    async def replace(self, _resource, _namespace, _name, body):
        if self.body is None:
            raise ApiError(404, "NotFound", "")
        return await self.create(_resource, _namespace, body)

    @property
    def seq(self):
        return int(self.body["data"]["seq"])


class Held:
    is_held = True

    async def until_held(self):
        return


@pytest.fixture
def follow():
    """Follow a log while a story is told; the series that were to be looked at."""

    def run(log, story):
        found, cluster = [], Cluster()

        async def whole():
            following = Following(
                lambda: log,
                CursorStore(cluster, "mri", "main"),
                Held(),
                None,
                IntakeSettings(poll_seconds=0.02),
                IntakeMetrics(),
                lambda series, _by, _after: (found.append(series), following.handled(series)),
                lambda: 0,
            )
            task = asyncio.create_task(following.follow())
            await story(cluster, following)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        asyncio.run(asyncio.wait_for(whole(), 10))
        return found

    return run


async def until(check):
    while not check():  # noqa: ASYNC110 - what is waited for sends no event
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("filters", [False, True])
def test_stable_series_are_found_whatever_else_happens(follow, filters):
    log = Log(filters=filters)
    log.write("NewInstance", "StableSeries", "NewInstance")

    async def story(cluster, _):
        await until(lambda: cluster.body)
        log.write(*["NewInstance"] * 700, "StableSeries", "NewInstance")
        await until(lambda: cluster.seq >= 704)

    assert follow(log, story) == ["series-704"]
    assert ("StableSeries" in log.asked) is filters


@pytest.mark.parametrize("filters", [False, True])
def test_another_log_is_noticed(follow, filters):
    log = Log(filters=filters)
    log.write("NewInstance", "NewInstance", "StableSeries", "NewInstance")

    async def story(cluster, following):
        await until(lambda: cluster.body)
        following._scan_soon.clear()
        log.rows.clear()
        log.write("StableSeries")
        await until(following._scan_soon.is_set)
        await until(lambda: cluster.seq == 1)
        log.write("NewInstance", "StableSeries")
        await until(lambda: cluster.seq >= 3)

    assert follow(log, story) == ["series-3"]


def test_an_orthanc_that_is_away_is_asked_again_what_it_can(follow):
    """It may have been replaced by a newer one meanwhile."""
    log = Log(filters=False)
    log.write("NewInstance")

    async def story(cluster, following):
        await until(lambda: cluster.body)
        asked, log.changes = log.changes, away
        await until(lambda: following.trouble)
        log.filters, log.changes = True, asked
        log.write("StableSeries")
        await until(lambda: cluster.seq == 2)

    async def away(*_):
        raise OrthancUnavailableError("changes", "away")

    assert follow(log, story) == ["series-2"]
    assert "StableSeries" in log.asked
