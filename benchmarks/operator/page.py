"""docs/operator-performance.md: what was measured, beside what was wanted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.pages import table, write_page

_HEAD = """# How fast and how frugal the operator is

Written by `make bench-operator`: the operator as a process under its own account's token, a real control plane (etcd,
API server, controllers, scheduler) and fake nodes (kwok), all on one machine. Where the control plane needs more than
the machine has, every request waits for it, and so does what is measured here; so the load stands beside each figure.
"""


def write(found: Mapping[str, Mapping[str, Any]]) -> Path:
    """The page, of what has been measured so far."""
    parts = [_HEAD]
    told = {"unhurried": _latency, "latency": _latency, "many": _many, "chaos": _chaos}
    titles = {
        "unhurried": "From QSMJob to Job, two new ones a second",
        "latency": "From QSMJob to Job, twenty new ones a second",
        "many": "Ten thousand QSMJobs",
        "chaos": "The operator killed every few seconds, the API server twice",
    }
    for part, measured in found.items():
        where = f"{measured['machine']}; load {measured['load_before']} before, {measured['load_after']} after."
        parts += [f"## {titles[part]}", told[part](measured), where]
    return write_page("operator-performance.md", parts)


def _latency(found: Mapping[str, Any]) -> str:
    count = found["count"]
    writes = ", ".join(f"{number / count:.2f} {what}" for what, number in sorted(found["writes"].items()))
    rows = [
        ["QSMJobs", str(count), ""],
        ["median", f"{found['median_s']:.2f} s", "0.25 s"],
        ["99 %", f"{found['p99_s']:.2f} s", "1 s"],
        ["longest", f"{found['longest_s']:.2f} s", ""],
        [
            "operator's CPU time per QSMJob until its Job is there",
            f"{1000 * found['operator_cpu_s'] / count:.1f} ms",
            "",
        ],
        ["cores used by all others meanwhile", f"{found['others_cores']:.1f}", ""],
        ["writes per QSMJob's life", f"{found['writes_per_job']:.2f}", "12"],
    ]
    return table(["", "measured", "wanted at most"], rows) + f"\n\nWrites: {writes}."


def _many(found: Mapping[str, Any]) -> str:
    rows = [
        ["QSMJobs finished, active", f"{found['finished']}, {found['active']}", ""],
        [
            "memory after a restart (peak)",
            f"{found['memory_mib']:.0f} MiB ({found['peak_memory_mib']:.0f} MiB)",
            "256 MiB",
        ],
        ["cores used while nothing changes", f"{found['settled_cores']:.2f}", "1"],
        ["restart: caught up after", f"{found['caught_up_s']:.1f} s", "60 s"],
        ["restart: CPU time", f"{found['restart_cpu_s']:.1f} s", ""],
        ["restart: writes", str(found["restart_writes"]), "0"],
        ["restart: QSMJobs changed", str(found["changed_by_restart"]), "0"],
        ["cores used by all others meanwhile", f"{found['others_cores']:.1f}", ""],
    ]
    return table(["", "measured", "wanted at most"], rows)


def _chaos(found: Mapping[str, Any]) -> str:
    def told(counts: Mapping[Any, int]) -> str:
        return ", ".join(f"{number} × {what}" for what, number in sorted(counts.items()))

    rows = [
        ["QSMJobs", str(found["count"]), ""],
        ["complete", str(found["complete"]), "all"],
        ["attempts of each", told(found["attempts"]), "1"],
        ["results of attempts", told(found["results"]), "Succeeded"],
        ["Jobs, pods", f"{found['jobs']}, {found['pods']}", "one each"],
        ["operator killed, API server killed", f"{found['kills']}, {found['api_kills']}", ""],
        ["operator ended by itself", str(found["ended_by_itself"]), "0"],
        ["longest time without one more finished", f"{found['longest_stall_s']:.0f} s", ""],
        ["whole time", f"{found['seconds']:.0f} s", ""],
    ]
    return table(["", "measured", "wanted"], rows)
