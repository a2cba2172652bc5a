"""Logs of running pods: how far they are, whatever they print."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsm_operator.cluster.asking import ApiError
from qsm_operator.cluster.door import Cluster
from qsm_operator.cluster.transport import Response
from qsm_operator.controller.log_reading import EVERY_SECONDS, LogReading
from qsm_operator.controller.store import Store
from qsm_operator.resources.progress import Progress, read_progress
from qsm_operator.workqueue import WorkQueue


def line(stage="inversion", percent=60, step="reconstruct"):
    return json.dumps({"progress": {"step": step, "stage": stage, "percent": percent}}).encode()


def test_the_newest_line_counts():
    tail = b"\n".join([b"Reading images   1.2 s", line(percent=40), b"warning: something", line(percent=60), b"noise"])
    assert read_progress(tail) == Progress("inversion", 60, "reconstruct")


@pytest.mark.parametrize(
    "tail",
    [
        b"",
        b"\n\n\n",
        b"no json at all",
        b"\xff\xfe\x00" * 1000,
        b"[" * 500,
        b'{"progress": 3}',
        b'{"progress": {"stage": "x"}}',
        line(percent=101),
        line(percent=-1),
        line(percent=True),
        line(percent=5.5),
        line(stage="x" * 65),
        line(stage="John Doe"),
        line(stage=None),
        line() + b" " * 600,
        b"x" * 10_000_000,
        b"x" * 10_000_000 + b"\n" + line(),
    ],
    ids=range(17),
)
def test_garbage_says_nothing(tail):
    assert read_progress(tail) is None


def test_an_unknown_step_is_left_out():
    assert read_progress(line(step="teatime")) == Progress("inversion", 60, "")


@given(st.binary(max_size=3000))
def test_whatever_a_pod_prints_does_no_harm(tail):
    read_progress(tail)
    found = read_progress(tail + b"\n" + line(percent=7))
    assert found == Progress("inversion", 7, "reconstruct")


class Kubelet:
    """Answers log requests, and counts how many are open at once."""

    def __init__(self, answer=None):
        self.answer, self.asked, self.open, self.most_open = answer or Response(200, line()), [], 0, 0

    async def send(self, method, path, query, *_):
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        await asyncio.sleep(0)
        self.open -= 1
        self.asked.append((method, path, dict(query)))
        return self.answer


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def pod(number, running=True):
    state = {"running": {"startedAt": "2026-03-02T12:00:00Z"}} if running else {"waiting": {}}
    return {
        "metadata": {
            "name": f"scan-{number}-a1-x",
            "namespace": "mri",
            "uid": f"u-{number}",
            "resourceVersion": str(100 + number),
            "labels": {"qsm-operator.io/job": f"scan-{number}"},
        },
        "status": {"phase": "Running", "containerStatuses": [{"name": "recon", "state": state}]},
    }


def logs(kubelet, pods):
    store, clock = Store(), Clock()
    for body in pods:
        store.put("pods", body)
    queue = WorkQueue(clock)
    return LogReading(Cluster(kubelet, longest_pause_seconds=0.001), store, queue, clock), store, queue, clock


def test_a_running_pod_is_read_once_in_a_while_and_its_job_looked_at_when_it_says_something_new():
    kubelet = Kubelet()
    follow, store, queue, clock = logs(kubelet, [pod(1), pod(2, running=False)])

    async def story():
        assert follow.due() == []
        clock.now += EVERY_SECONDS
        ((key, seen),) = follow.due()
        await follow.read(key, seen)
        assert follow.due() == []
        assert queue.depth == 1
        queue.done(await queue.get())
        clock.now += EVERY_SECONDS
        await follow.read(*follow.due()[0])
        assert queue.depth == 0, "it said nothing new"
        assert follow.progress_of(store.pods_of(("mri", "scan-1"))) == Progress("inversion", 60, "reconstruct")
        store.drop("pods", ("mri", "scan-1-a1-x"))
        follow.due()
        assert follow._said == {}

    asyncio.run(story())
    method, path, query = kubelet.asked[0]
    assert (method, path) == ("GET", "/api/v1/namespaces/mri/pods/scan-1-a1-x/log")
    assert query == {"container": "recon", "tailLines": "20", "limitBytes": "8192"}


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_a_log_that_cannot_be_read_costs_nothing(status):
    follow, _, queue, clock = logs(Kubelet(Response(status, b"{}")), [pod(1)])

    async def story():
        follow.due()
        clock.now += EVERY_SECONDS
        await follow.read(*follow.due()[0])
        assert queue.depth == 0
        assert follow.due() == []

    asyncio.run(story())


def test_many_pods_are_read_few_at_a_time_and_those_longest_ago_first():
    kubelet = Kubelet()
    follow, _, _, clock = logs(kubelet, [pod(number) for number in range(40)])

    async def story():
        follow.due()
        clock.now += EVERY_SECONDS
        task = asyncio.create_task(follow.run())
        await asyncio.sleep(1.3)
        task.cancel()

    asyncio.run(story())
    assert kubelet.most_open <= 4
    assert len(kubelet.asked) <= 20, "ten a second"
    assert len({path for _, path, _ in kubelet.asked}) == len(kubelet.asked), "none twice before all once"


def test_an_outage_is_no_defect():
    class Away:
        async def send(self, *_):
            raise ApiError(0, "Unreachable", "away")

    follow, _, _, clock = logs(Away(), [pod(1)])

    async def story():
        follow.due()
        clock.now += EVERY_SECONDS
        await follow.read(*follow.due()[0])

    asyncio.run(story())


def test_progress_is_written_seldom(world):
    w = world().settle()
    w.pod_runs()
    w.settle()
    before = w.writes
    for percent in range(100):
        w.progress = Progress("inversion", percent, "reconstruct")
        w.later(3).settle(1)
    assert w.writes - before <= 6
    assert w.status["progress"]["stage"] == "inversion"
    assert w.status["progress"]["percent"] >= 80
    w.pod_ends(0)
    w.progress = None
    assert w.settle().status["progress"]["percent"] == 100


def test_a_slow_job_is_told_of_every_few_minutes(world):
    w = world().settle()
    w.pod_runs()
    w.progress = Progress("inversion", 10, "reconstruct")
    w.settle().later(290)
    w.progress = Progress("inversion", 12, "reconstruct")
    assert w.settle().status["progress"]["percent"] == 10
    assert w.later(10).settle().status["progress"]["percent"] == 12


def test_delivering_is_told(world):
    w = world().settle()
    w.pod_runs()
    w.progress = Progress("deliver", 98, "deliver")
    assert w.settle().state == ("Unknown", "Delivering")
    w.progress = Progress("fetch", 1, "fetch")
    assert w.settle().state == ("Unknown", "Running")
