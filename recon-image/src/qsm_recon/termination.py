"""What a pod leaves behind: a report of at most 4096 bytes in its termination message (docs/contract.md)."""

import json
import os
from pathlib import Path
from typing import Any

from qsm_recon.errors import ReconError

MAX_BYTES = 4096
"""Kubernetes keeps no more of one container's termination message."""

_LOG = "QSM_TERMINATION_LOG"
_DEFAULT_LOG = "/dev/termination-log"


def of_success(report: dict[str, Any], destinations: tuple[str, ...]) -> dict[str, Any]:
    """The short report of what was made.

    Parameters
    ----------
    report
        The full one (`report.json`).
    destinations
        Names of the places where all of it lies.
    """
    made = []
    for kind, quantity in (("ChiMap", "susceptibility"), ("R2StarMap", "R2*")):
        files = [f for f in report["outputs"] if f["quantity"] == quantity and f["series_instance_uid"]]
        if files:
            uid = files[0]["series_instance_uid"]
            made.append({"kind": kind, "seriesInstanceUID": uid, "instances": len(files)})
    quality = {name: value for name, value in report["quality"].items() if isinstance(value, int | float)}
    return {
        **({"scanner": report["scan"]["device"]} if report["scan"].get("device") else {}),
        "outputs": [{**output, "destination": name} for name in destinations for output in made],
        "metrics": {name: round(float(value), 6) for name, value in quality.items()},
        "stageSeconds": {stage["stage"]: round(stage["seconds"], 3) for stage in report["stages"]},
        "warnings": [f"{w['code']}: {w['message']}" for w in report["warnings"]],
    }


def of_failure(error: ReconError, step: str) -> dict[str, Any]:
    """The short report of a failure at `step` (fetch, read, reconstruct, write, deliver)."""
    return {"reason": error.reason, "message": error.message[:1024], "step": step}


def encoded(report: dict[str, Any]) -> bytes:
    """At most `MAX_BYTES` of whole JSON.

    Warnings go first, then stage times, then metrics; outputs and the message are only shortened; the reason stays.
    """
    report = dict(report)
    for victim in ("warnings", "stageSeconds", "metrics", "outputs", "message"):
        while len(_dump(report)) > MAX_BYTES and report.get(victim):
            kept = report[victim]
            if isinstance(kept, list | str) and len(kept) > 1:
                report[victim] = kept[:-1]
            else:
                del report[victim]
    return _dump(report)


def leave(report: dict[str, Any]) -> None:
    """Write the report where Kubernetes looks for it; outside a container there is no such file, and none is made."""
    path = Path(os.environ.get(_LOG, _DEFAULT_LOG))
    if path.exists():
        path.write_bytes(encoded(report))


def _dump(report: dict[str, Any]) -> bytes:
    return json.dumps(report, separators=(",", ":"), ensure_ascii=True).encode("ascii")
