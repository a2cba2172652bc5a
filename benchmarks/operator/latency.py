"""From QSMJob to Job: so many new ones a second, and how long each waits for its Kubernetes Job."""

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.machine import Neighbours
from benchmarks.operator.ground import JOBS, QSMJOBS, Api, complete, pipeline, qsmjob, sweep
from benchmarks.operator.process import Process


@dataclass(frozen=True)
class Latency:
    """What came of it."""

    count: int
    per_second: float
    median_s: float
    p99_s: float
    longest_s: float
    operator_cpu_s: float
    others_cores: float
    writes_per_job: float
    writes: dict[str, int]


async def measure(admin: Api, kubeconfig: str, *, seconds: float, per_second: float) -> Latency:
    """Create QSMJobs at a steady rate and watch for their Jobs; then let all of them end."""
    # Real reconstructions take minutes: none ends while new ones still come.
    await asyncio.to_thread(pipeline, f"{seconds + 30:.0f}s")
    await sweep(admin)
    operator = Process(kubeconfig, "latency")
    try:
        await operator.ready()
        await asyncio.sleep(3)
        appeared: dict[str, float] = {}
        watching = asyncio.create_task(_watch(admin, appeared))
        await asyncio.sleep(1)
        neighbours, cpu = Neighbours(), operator.cpu_seconds
        made: dict[str, float] = {}
        count, began = int(seconds * per_second), time.monotonic()
        posts = []
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
            posts.append(asyncio.create_task(_make(admin, f"scan-{number:05d}", made)))
        await asyncio.gather(*posts)
        await _until(lambda: len(appeared) >= count, 120)
        used = operator.cpu_seconds - cpu
        others = neighbours.cores(used)
        watching.cancel()
        await _finished(admin, count)
        await asyncio.sleep(3)
        writes = await operator.writes()
        waits = sorted(appeared[f"{name}-a1"] - moment for name, moment in made.items())
    finally:
        operator.stop()
    return Latency(
        count,
        per_second,
        statistics.median(waits),
        waits[min(len(waits) - 1, int(0.99 * len(waits)))],
        waits[-1],
        used,
        others,
        sum(writes.values()) / count,
        writes,
    )


async def _make(admin: Api, name: str, made: dict[str, float]) -> None:
    await admin.create(QSMJOBS, qsmjob(name))
    made[name] = time.monotonic()


async def _watch(admin: Api, appeared: dict[str, float]) -> None:
    async for event in admin.watch(JOBS):
        if event["type"] == "ADDED":
            appeared.setdefault(event["object"]["metadata"]["name"], time.monotonic())


async def _until(check: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            raise SystemExit(f"not within {seconds:g} s")
        await asyncio.sleep(0.1)


async def _finished(admin: Api, count: int) -> None:
    states: list[str] = []
    for _ in range(600):
        states = [complete(item) for item in await admin.list(QSMJOBS)]
        if states.count("True") == count:
            return
        await asyncio.sleep(1)
    raise SystemExit(f"only {states.count('True')} of {count} completed")
