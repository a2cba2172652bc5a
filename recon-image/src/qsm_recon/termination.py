"""What a pod leaves behind: a report of at most 4096 bytes in its termination message (docs/contract.md)."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qsm_recon.errors import ReconError

MAX_BYTES = 4096
"""Kubernetes keeps no more of one container's termination message."""

_LOG = "QSM_TERMINATION_LOG"
_DEFAULT_LOG = "/dev/termination-log"


def short(report: Mapping[str, Any]) -> dict[str, Any]:
    """What of `report.json` the operator keeps: figures of quality, times, warnings."""
    quality = {name: value for name, value in report["quality"].items() if isinstance(value, int | float)}
    return {
        **({"scanner": report["scan"]["device"]} if report["scan"].get("device") else {}),
        "metrics": {name: round(float(value), 6) for name, value in quality.items()},
        "stageSeconds": {stage["stage"]: round(stage["seconds"], 3) for stage in report["stages"]},
        "cached": list(report["cached"]),
        "warnings": [f"{w['code']}: {w['message']}" for w in report["warnings"]],
    }


def of_failure(error: ReconError, step: str) -> dict[str, Any]:
    """The report of a failure at `step` (fetch, read, reconstruct, write, deliver); with what exists all the same."""
    told: dict[str, Any] = {
        name: error.details[name] for name in ("outputs", "deliveries", "store") if name in error.details
    }
    return {"reason": error.reason, "message": error.message[:1024], "step": step, **told}


def encoded(report: dict[str, Any]) -> bytes:
    """At most `MAX_BYTES` of whole JSON.

    Warnings go first, then stage times, then metrics, then the sentences about deliveries; outputs and the message are
    only shortened; the reason stays.
    """
    report = dict(report)
    for victim in ("warnings", "stageSeconds", "metrics"):
        _shorten(report, victim)
    if len(_dump(report)) > MAX_BYTES and "deliveries" in report:
        report["deliveries"] = [{k: v for k, v in one.items() if k != "message"} for one in report["deliveries"]]
    for victim in ("outputs", "message", "deliveries"):
        _shorten(report, victim)
    return _dump(report)


def _shorten(report: dict[str, Any], victim: str) -> None:
    """Take from one part until the whole fits, or the part is gone."""
    while len(_dump(report)) > MAX_BYTES and report.get(victim):
        kept = report[victim]
        if isinstance(kept, list | str) and len(kept) > 1:
            report[victim] = kept[:-1]
        else:
            del report[victim]


def leave(report: dict[str, Any]) -> None:
    """Write the report where Kubernetes looks for it; outside a container there is no such file, and none is made."""
    path = Path(os.environ.get(_LOG, _DEFAULT_LOG))
    if path.exists():
        path.write_bytes(encoded(report))


def _dump(report: dict[str, Any]) -> bytes:
    return json.dumps(report, separators=(",", ":"), ensure_ascii=True).encode("ascii")
