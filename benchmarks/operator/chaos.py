"""A thousand QSMJobs while the operator is killed every few seconds and the API server is killed twice."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from dataclasses import dataclass

from benchmarks.operator.ground import JOBS, NAMESPACE, QSMJOBS, Api, cluster, complete, pipeline, qsmjob, sweep
from benchmarks.operator.process import Process
from qsm_operator.cluster.transport import Unreachable

_AT_ONCE = 4
_STALL_SECONDS = 60.0
_LAST_SECONDS = 3600.0


@dataclass(frozen=True)
class Chaos:
    """What came of it."""

    count: int
    complete: int
    attempts: dict[int, int]
    """How many QSMJobs had how many attempts."""
    results: dict[str, int]
    jobs: int
    pods: int
    kills: int
    api_kills: int
    ended_by_itself: int
    """How often the operator ended without being killed."""
    seconds: float
    longest_stall_s: float
    """Longest time in which not one more QSMJob finished, the outages of the API server included."""


async def measure(admin: Api, kubeconfig: str, *, count: int, kill_every_s: float, seed: int = 5) -> Chaos:
    """Create them, kill, wait for the last."""
    await asyncio.to_thread(pipeline, "2s")
    await sweep(admin)
    chance = random.Random(seed)  # noqa: S311 - no secret
    operator = Process(kubeconfig, "chaos")
    kills, ended, began = 0, 0, time.monotonic()
    creating = asyncio.create_task(_create(admin, count))
    api_kills = [count // 4, count // 2]
    progress = _Progress(began)
    try:
        while progress.finished < count and time.monotonic() < began + _LAST_SECONDS:
            await asyncio.sleep(kill_every_s * chance.uniform(0.5, 1.5))
            if operator.has_ended():
                ended += 1
            operator.kill()
            kills += 1
            operator.start()
            await progress.look(admin)
            if api_kills and progress.finished >= api_kills[0]:
                api_kills.pop(0)
                await asyncio.to_thread(cluster, "restart-apiserver")
        await creating
        items, jobs = await admin.list(QSMJOBS), await admin.list(JOBS)
        pods = await admin.list(f"/api/v1/namespaces/{NAMESPACE}/pods")
    finally:
        creating.cancel()
        operator.stop()
    attempts = [item.get("status", {}).get("attempts", []) for item in items]
    return Chaos(
        count=count,
        complete=sum(1 for item in items if complete(item) == "True"),
        attempts=dict(Counter(len(each) for each in attempts)),
        results=dict(Counter(str(one.get("result")) for each in attempts for one in each)),
        jobs=len(jobs),
        pods=len(pods),
        kills=kills,
        api_kills=2 - len(api_kills),
        ended_by_itself=ended,
        seconds=time.monotonic() - began,
        longest_stall_s=progress.longest_stall,
    )


class _Progress:
    """How many have finished, and how long nothing moved."""

    def __init__(self, now: float) -> None:
        self.finished, self.longest_stall, self._moved_at = 0, 0.0, now

    async def look(self, admin: Api) -> None:
        with contextlib.suppress(Unreachable, ValueError, KeyError):  # the API server is away just now
            items = await admin.list(QSMJOBS)
            finished = sum(1 for item in items if complete(item) in {"True", "False"})
            now = time.monotonic()
            stall = now - self._moved_at
            self.longest_stall = max(self.longest_stall, stall)
            if stall > _STALL_SECONDS:
                print(f"nothing has finished for {stall:.0f} s; {finished} of {len(items)} have")
            if finished != self.finished:
                self.finished, self._moved_at = finished, now


async def _create(admin: Api, count: int) -> None:
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await _one(admin, f"scan-{number:05d}")

    await asyncio.gather(*(work() for _ in range(_AT_ONCE)))


async def _one(admin: Api, name: str) -> None:
    """Create one, however long it takes: the API server is killed meanwhile."""
    while True:
        with contextlib.suppress(Unreachable):
            answer = await admin.ask("POST", QSMJOBS, qsmjob(name))
            if answer.status in {201, 409}:
                return
        await asyncio.sleep(0.5)
