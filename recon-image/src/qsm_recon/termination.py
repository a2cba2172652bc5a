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


def of_success(reports: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """The short report of what was made.

    Parameters
    ----------
    reports
        Destination and full report (`report.json`), one for each place where results lie.
    """
    _, first = reports[0]
    outputs = []
    for destination, report in reports:
        for kind, quantity in (("ChiMap", "susceptibility"), ("R2StarMap", "R2*")):
            files = [f for f in report["outputs"] if f["quantity"] == quantity and f["series_instance_uid"]]
            if files:
                uid = files[0]["series_instance_uid"]
                outputs.append(
                    {"kind": kind, "destination": destination, "seriesInstanceUID": uid, "instances": len(files)}
                )
    quality = {name: value for name, value in first["quality"].items() if isinstance(value, int | float)}
    return {
        "outputs": outputs,
        "metrics": {name: round(float(value), 6) for name, value in quality.items()},
        "stageSeconds": {stage["stage"]: round(stage["seconds"], 3) for stage in first["stages"]},
        "warnings": [f"{w['code']}: {w['message']}" for w in first["warnings"]],
    }


def of_failure(error: ReconError, step: str) -> dict[str, Any]:
    """The short report of a failure at `step` (fetch, read, reconstruct, write, deliver)."""
    return {"reason": error.reason, "message": error.message[:1024], "step": step}


def encoded(report: dict[str, Any]) -> bytes:
    """At most `MAX_BYTES` of JSON: warnings go first, then stage times, then metrics; outputs and reasons stay."""
    report = dict(report)
    for victim in ("warnings", "stageSeconds", "metrics"):
        while len(text := _dump(report)) > MAX_BYTES and report.get(victim):
            if isinstance(report[victim], list) and len(report[victim]) > 1:
                report[victim] = report[victim][:-1]
            else:
                del report[victim]
    return text if len(text) <= MAX_BYTES else _dump(report)[:MAX_BYTES]


def leave(report: dict[str, Any]) -> None:
    """Write the report where Kubernetes looks for it; outside a container there is no such file, and none is made."""
    path = Path(os.environ.get(_LOG, _DEFAULT_LOG))
    if path.exists():
        path.write_bytes(encoded(report))


def _dump(report: dict[str, Any]) -> bytes:
    return json.dumps(report, separators=(",", ":"), ensure_ascii=True).encode("ascii")
