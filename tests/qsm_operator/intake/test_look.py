"""Laws of the step: however often, whenever and by whomever an examination is looked at."""

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orthanc_in_memory import MemoryCluster, MemoryOrthanc

from qsm_operator.cluster.door import ApiError
from qsm_operator.intake.look import Intake
from qsm_operator.intake.route_book import RouteBook
from qsm_operator.intake.settings import IntakeSettings
from qsm_operator.metrics import IntakeMetrics
from qsm_operator.orthanc.door import OrthancError

ECHOES, SLICES = 2, 3
IMAGES = [
    (1, series, 1 + echo * SLICES + position, letter, 4.0 + 5 * echo, 2.0 * position)
    for series, letter in ((1, "M"), (2, "P"))
    for echo in range(ECHOES)
    for position in range(SLICES)
]


def route(**spec):
    whole = {
        "source": {"orthanc": {"connectionRef": {"name": "main"}}},
        "match": {"everything": True},
        "pipelines": [{"name": "medi0-v1"}],
    }
    return {"metadata": {"name": "brains", "namespace": "mri"}, "spec": whole | spec}


class World:
    """One Orthanc, one cluster, and as many replicas as asked for."""

    def __init__(self, *routes, replicas=1, **said):
        self.orthanc, self.cluster = MemoryOrthanc(), MemoryCluster(list(routes) or [route()])
        self.settings = IntakeSettings(namespace="mri", **said)
        self.replicas = [self._replica() for _ in range(replicas)]

    def _replica(self):
        book = RouteBook(self.cluster, "mri", lambda: 0.0)
        asyncio.run(book.refresh())
        metrics = IntakeMetrics()
        wall = lambda: datetime(2026, 3, 2, 12, 0, tzinfo=UTC)  # noqa: E731
        one = Intake(self.orthanc, self.cluster, book, self.settings, metrics, wall)
        one.metrics, one.book = metrics, book
        return one

    def restart(self, number=0):
        self.replicas[number] = self._replica()

    def look(self, series_id, found_by="hint", replica=0):
        return asyncio.run(self.replicas[replica].look_at_series(series_id, found_by))

    def send(self, images=IMAGES, **more):
        return {self.orthanc.store(*one, **more) for one in images}

    def refresh(self):
        for one in self.replicas:
            asyncio.run(one.book.refresh())

    @property
    def states(self):
        return [own["metadata"].get("5600") for own in self.orthanc.series_by_id.values()]


def test_one_look_makes_the_job_and_a_second_asks_for_little():
    world = World()
    series = sorted(world.send())
    world.orthanc.settle()
    for one in series:
        world.look(one)
    assert len(world.cluster.jobs) == 1
    assert all(state.startswith("queued (qsm-") for state in world.states)
    before = world.orthanc.requests
    world.look(series[0])
    assert world.orthanc.requests - before <= 3


@settings(max_examples=25)
@given(st.permutations(range(len(IMAGES))), st.lists(st.integers(0, 11), max_size=6), st.randoms(use_true_random=False))
def test_in_whatever_order_and_pieces_images_come(order, pauses, random):
    """Stable too early, again and again, looked at by two replicas, with answers that fail: one job, the right one."""
    world = World(replicas=2)
    shapes = set()
    for index, number in enumerate(order):
        world.send([IMAGES[number]])
        if index in pauses and index < len(order) - 1:
            for one in world.orthanc.settle():
                world.orthanc.fails = random.choice([0, 0, 1, 3])
                try:
                    world.look(one, replica=random.randrange(2))
                except OrthancError:
                    continue
            world.orthanc.fails = 0
            if random.random() < 0.3:
                world.restart(random.randrange(2))
            shapes.add(len(world.cluster.jobs))
    last = world.orthanc.settle()
    for one in (*last, *world.orthanc.series_by_id, *world.orthanc.series_by_id):
        world.look(one, replica=random.randrange(2))
    whole = [job for job in world.cluster.jobs.values() if job["spec"]["source"]["orthanc"]["instances"]["count"] == 12]
    assert len(whole) == 1
    # A pause at a smaller full matrix makes a job of its own: nobody could know. All are linked, oldest to newest.
    others = [job for job in world.cluster.jobs.values() if job not in whole]
    assert all(job["spec"]["source"]["orthanc"]["instances"]["count"] < 12 for job in others)
    if others:
        assert "qsm-operator.io/supersedes" in whole[0]["metadata"]["annotations"]


def test_an_api_server_that_is_away_loses_nothing():
    world = World()
    series = sorted(world.send())
    world.orthanc.settle()
    world.cluster.fails = 1
    with pytest.raises(ApiError):
        world.look(series[0])
    assert not any((state or "").startswith("queued") for state in world.states)
    world.look(series[0])
    assert len(world.cluster.jobs) == 1


@pytest.mark.parametrize("fails_at", range(12))
def test_whatever_request_fails_the_next_look_ends_it(fails_at):
    world = World()
    series = sorted(world.send())
    world.orthanc.settle()
    asked, original = 0, world.orthanc._asked

    def fail_once():
        nonlocal asked
        asked += 1
        if asked == fails_at + 1:
            world.orthanc.fails = 1
        original()

    world.orthanc._asked = fail_once
    for _ in range(3):
        for one in series:
            try:
                world.look(one)
            except OrthancError:
                world.restart()
    assert world.cluster.creations == 1
    assert all(state.startswith("queued (qsm-") for state in world.states)


def test_unstable_series_wait_for_their_event():
    world = World()
    series = sorted(world.send())
    for one in series:
        world.look(one)
    assert not world.cluster.jobs
    assert world.states == ["received", "received"]


def test_stable_without_event_only_time_tells():
    """After a restart Orthanc calls everything stable. Its clock is days away from ours, and that does not matter."""
    world = World(settle_seconds=30)
    series = sorted(world.send())
    world.orthanc.settle()
    look = world.look(series[0], found_by="scan")
    assert not world.cluster.jobs
    assert look.again_after_seconds == pytest.approx(30)
    world.orthanc.pass_seconds(31)
    world.look(series[0], found_by="scan")
    assert len(world.cluster.jobs) == 1


@pytest.mark.parametrize("jump_seconds", [-86400, 0])
def test_a_clock_that_was_set_back_makes_nothing_refused(jump_seconds):
    world = World(incomplete_deadline_seconds=100)
    (series,) = world.send([one for one in IMAGES if one[3] == "M"])
    world.orthanc.settle()
    world.orthanc.pass_seconds(jump_seconds)
    look = world.look(series)
    assert world.states == ["waiting for phase series"]
    assert look.again_after_seconds == pytest.approx(101)


def test_the_deadline_counts_from_the_last_image_of_the_examination():
    world = World(incomplete_deadline_seconds=100)
    (magnitude,) = world.send([one for one in IMAGES if one[3] == "M"])
    world.orthanc.settle()
    world.look(magnitude)
    world.orthanc.pass_seconds(90)
    world.send([IMAGES[6]])
    world.orthanc.settle()
    world.orthanc.pass_seconds(61)
    world.look(magnitude)
    assert all(state.startswith("incomplete (") for state in world.states)
    world.orthanc.pass_seconds(40)
    world.look(magnitude)
    assert all(state.startswith("not suitable (Incomplete: ") for state in world.states)
    world.send()
    for one in world.orthanc.settle():
        world.look(one)
    assert len(world.cluster.jobs) == 1


def test_fewer_images_than_the_scanner_states():
    world = World(incomplete_deadline_seconds=100)
    first = [one for one in IMAGES if one[5] < 4]
    series = sorted(world.send(first, ImagesInAcquisition=12))
    world.orthanc.settle()
    for one in series:
        world.look(one)
    assert set(world.states) == {"incomplete (8 of 12 images that the scanner states)"}
    world.send(ImagesInAcquisition=12)
    for one in world.orthanc.settle():
        world.look(one)
    (job,) = world.cluster.jobs.values()
    assert job["spec"]["source"]["orthanc"]["instances"]["count"] == 12


def test_a_scanner_that_counts_otherwise_only_makes_us_wait():
    world = World(incomplete_deadline_seconds=100)
    series = sorted(world.send(ImagesInAcquisition=5000))
    world.orthanc.settle()
    world.look(series[0])
    assert not world.cluster.jobs
    world.orthanc.pass_seconds(101)
    world.look(series[0])
    assert len(world.cluster.jobs) == 1


def test_old_series_are_left_to_backfill():
    world = World(look_back_seconds=1000)
    series = sorted(world.send())
    world.orthanc.settle()
    world.orthanc.pass_seconds(1001)
    world.look(series[0])
    assert not world.cluster.jobs
    assert world.states == [None, None]


def test_lost_markers_lead_to_the_same_names():
    world = World()
    series = sorted(world.send())
    world.orthanc.settle()
    world.look(series[0])
    for own in world.orthanc.series_by_id.values():
        own["metadata"].clear()
    world.restart()
    world.look(series[0])
    assert world.cluster.creations == 1
    assert all(state.startswith("queued (qsm-") for state in world.states)


def test_nothing_written_tells_who():
    world = World()
    series = sorted(world.send())
    world.send([(1, 3, 1, "M", 4.0, 0.0)], ScanningSequence="EP")
    world.orthanc.settle()
    for one in series:
        world.look(one)
    written = str([own["metadata"] for own in world.orthanc.series_by_id.values()])
    assert "CANARY" not in written
    assert "1.2.826" not in written
    assert "CANARY" not in str(world.cluster.jobs)
