"""`python -m benchmarks.operator`: measures the operator, writes docs/operator-performance.md.

Each part can be measured alone (`--only`); the others keep what was measured before (build/bench-operator/*.json). The
cluster is that of tests/cluster; it is started where none runs, and stopped again then.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import subprocess
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.machine import described
from benchmarks.operator import chaos, latency, many
from benchmarks.operator.ground import CLUSTER, api, cluster, log_file, prepare, sweep
from benchmarks.operator.page import write

PARTS = ("unhurried", "latency", "many", "chaos")


def main() -> None:
    """Measure, keep, write the page."""
    parser = argparse.ArgumentParser(prog="benchmarks.operator", description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="measure only this (may be said several times)")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, to try it out; writes no page")
    options = parser.parse_args()
    was_running = subprocess.run([str(CLUSTER), "status"], capture_output=True, check=False).returncode == 0  # noqa: S603
    if not was_running:
        cluster("up")
    try:
        asyncio.run(_measure(options.only or list(PARTS), scale=10 if options.quick else 1))
    finally:
        if not was_running:
            cluster("down")
    if not options.quick:
        found = {part: json.loads(_kept(part).read_text(encoding="utf-8")) for part in PARTS if _kept(part).exists()}
        print(write(found))


async def _measure(parts: list[str], *, scale: int) -> None:
    config = prepare()
    async with api() as admin:
        plans: dict[str, Callable[[], Awaitable[Any]]] = {
            "unhurried": lambda: latency.measure(admin, config, seconds=60 / scale, per_second=2),
            "latency": lambda: latency.measure(admin, config, seconds=30 / scale, per_second=20),
            "many": lambda: many.measure(admin, config, finished=9000 // scale, active=1000 // scale),
            "chaos": lambda: chaos.measure(admin, config, count=1000 // scale, kill_every_s=5),
        }
        for part in parts:
            await _one(part, plans[part], keep=scale == 1)
        await sweep(admin)


async def _one(part: str, plan: Callable[[], Awaitable[Any]], *, keep: bool) -> None:
    before = os.getloadavg()
    found = dataclasses.asdict(await plan()) | {
        "machine": described(),
        "load_before": round(before[1], 1),
        "load_after": round(os.getloadavg()[0], 1),
    }
    print(part, json.dumps(found, indent=1))
    if keep:
        _kept(part).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _kept(part: str) -> Any:
    return log_file(part).with_suffix(".json")


if __name__ == "__main__":
    main()
