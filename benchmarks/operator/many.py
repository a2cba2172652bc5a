"""Ten thousand QSMJobs: memory, processor, and what a restart costs and writes."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from benchmarks.machine import Neighbours
from benchmarks.operator.ground import NAMESPACE, PIPELINE, QSMJOBS, REPORT, Api, pipeline, qsmjob, sweep
from benchmarks.operator.process import Process

_AT_ONCE = 8


@dataclass(frozen=True)
class Many:
    """What came of it."""

    finished: int
    active: int
    memory_mib: float
    peak_memory_mib: float
    settled_cores: float
    """Cores the operator uses while nothing happens but active pods running."""
    caught_up_s: float
    """From its start until it has listed everything and looked at all that is unfinished."""
    restart_cpu_s: float
    restart_writes: int
    changed_by_restart: int
    """QSMJobs whose resourceVersion a restart changed."""
    others_cores: float


async def measure(admin: Api, kubeconfig: str, *, finished: int, active: int) -> Many:
    """Fill the cluster, let the operator settle, restart it."""
    await sweep(admin)
    await asyncio.to_thread(pipeline, "10h", "hang")
    await _each(finished, lambda number: _finished(admin, f"done-{number:05d}"))
    operator = Process(kubeconfig, "many")
    try:
        await operator.ready()
        await _each(active, lambda number: admin.create(QSMJOBS, qsmjob(f"active-{number:05d}")))
        await _until_running(admin, active)
        await _quiet(operator)
        operator.stop()
        before = await _versions(admin)
        neighbours = Neighbours()
        operator.start()
        await operator.ready()
        caught_up = await _quiet(operator)
        cpu = operator.cpu_seconds
        others = neighbours.cores(cpu)
        await asyncio.sleep(30)
        settled = (operator.cpu_seconds - cpu) / 30
        writes = sum((await operator.writes()).values())
        changed = sum(1 for name, version in (await _versions(admin)).items() if before.get(name) != version)
        memory, peak = operator.memory_mib
    finally:
        operator.stop()
    return Many(finished, active, memory, peak, settled, caught_up, cpu, writes, changed, others)


async def _each(count: int, make: Callable[[int], Awaitable[object]]) -> None:
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await make(number)

    await asyncio.gather(*(work() for _ in range(_AT_ONCE)))


async def _finished(admin: Api, name: str) -> None:
    """A QSMJob as it is after its end, with all that a status holds."""
    await admin.create(QSMJOBS, qsmjob(name))
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = {"Complete": "Succeeded", "InputStaged": "Done", "Reconstructed": "Done", "ResultsDelivered": "Done"}
    conditions = [
        {"type": kind, "status": "True", "reason": reason, "message": "Made ChiMap.", "lastTransitionTime": now}
        for kind, reason in said.items()
    ]
    report = json.loads(REPORT)
    attempt = {"index": 1, "jobName": f"{name}-a1", "backend": "CPU", "result": "Succeeded", "nodeName": "fake-cpu-0"}
    status = {
        "observedGeneration": 1,
        "conditions": conditions,
        "pipeline": {"name": PIPELINE, "generation": 1, "hash": "sha256:" + 64 * "0"},
        "backend": "CPU",
        "attemptCount": 1,
        "attempts": [attempt],
        "completionTime": now,
        "outputs": report["outputs"],
        "metrics": [{"name": key, "value": str(value)} for key, value in report["metrics"].items()],
        "stageSeconds": [{"stage": key, "seconds": str(value)} for key, value in report["stageSeconds"].items()],
        "warnings": report["warnings"],
    }
    answer = await admin.ask("PATCH", f"{QSMJOBS}/{name}/status", {"status": status})
    if answer.status >= 300:
        raise SystemExit(f"PATCH {name}: {answer.status} {answer.body[:300]!r}")


async def _until_running(admin: Api, count: int) -> None:
    for _ in range(900):
        pods = await admin.list(f"/api/v1/namespaces/{NAMESPACE}/pods")
        if sum(1 for pod in pods if pod["status"]["phase"] == "Running") >= count:
            return
        await asyncio.sleep(2)
    raise SystemExit(f"fewer than {count} pods run after half an hour")


async def _quiet(operator: Process) -> float:
    """Wait until its queue is empty and stays so; seconds from its start to the moment it became empty."""
    empty_since: float | None = None
    for _ in range(1200):
        is_empty = not await operator.metric("qsm_workqueue_depth") and await operator.metric("qsm_reconcile_total") > 0
        empty_since = (empty_since or time.monotonic()) if is_empty else None
        if empty_since is not None and time.monotonic() - empty_since > 5:
            return empty_since - operator.started_at
        await asyncio.sleep(0.5)
    raise SystemExit("its queue does not become empty")


async def _versions(admin: Api) -> dict[str, str]:
    return {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in await admin.list(QSMJOBS)}
