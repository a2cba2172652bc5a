"""Event to QSMJob, a flood of hints, chaos, fetching -> docs/intake-figures.md (`make bench-intake`).

Needs the real programs of the e2e tests: Orthanc with its Python plug-in, storescu, tests/cluster.
"""

import argparse
import importlib
import statistics
import sys
import time
from typing import Any

from benchmarks import machine, orthanc_fetch, pages
from benchmarks.intake_flood import flood
from benchmarks.intake_site import Watch, from_event, measured_site
from benchmarks.isolated import ROOT


def main() -> None:
    """Measure, and write the page."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--latency", type=int, default=60, help="acquisitions for each way")
    words.add_argument(
        "--chaos", type=int, default=1000, help="acquisitions sent while everything is killed; 0 for none"
    )
    words.add_argument("--kill-seconds", type=float, default=6.0, help="mean time between kills of one program")
    words.add_argument("--flood-seconds", type=float, default=60.0, help="of 10,000 hints a minute; 0 for none")
    words.add_argument("--fetch", type=int, default=3440, help="instances fetched; 0 for none")
    chosen = words.parse_args()
    for folder in ("tests/servers", "tests/cluster"):
        sys.path.insert(0, str(ROOT / folder))
    kubernetes_for_tests = importlib.import_module("kubernetes_for_tests")
    parts = [
        "# Intake: figures",
        (
            f"Written by `make bench-intake` (commit {machine.commit()}). Small acquisitions (3 echoes, 2 slices, two "
            "series); Orthanc, API server, etcd, two replicas of intake, senders: one machine; `poll_seconds` 5."
        ),
    ]
    with kubernetes_for_tests.running_cluster() as kubernetes, kubernetes.custom_resources():
        if chosen.latency:
            _tell("time from event to QSMJob (4 min)")
            parts.append(_latencies(kubernetes, chosen.latency))
        if chosen.flood_seconds:
            _tell(f"a flood of hints ({chosen.flood_seconds:.0f} s, and as long to prepare)")
            parts.append(flood(kubernetes, chosen.flood_seconds))
        if chosen.chaos:
            _tell(f"{chosen.chaos} acquisitions in chaos (5 min for 1,000)")
            parts.append(_chaos(kubernetes, chosen.chaos, chosen.kill_seconds))
    if chosen.fetch:
        _tell(f"fetching {chosen.fetch} images (2 min)")
        parts.append(orthanc_fetch.figures(chosen.fetch))
    print(pages.write_page("intake-figures.md", parts))


def _tell(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what} ...", flush=True)


def _latencies(kubernetes: Any, count: int) -> str:
    rows = [
        _row("webhook", _from_event(kubernetes, count), "0.2 · 1"),
        _row("webhook dead, change log", _from_event(kubernetes, max(10, count // 3), is_dead=True), "15 at most"),
        _row(
            "event and change both lost, scan every 30 s", _from_restart(kubernetes, max(5, count // 12)), "30 at most"
        ),
    ]
    head = ("from the event (or the restart) to the QSMJob, seconds", "n", "median", "99 %", "longest", "wanted")
    return "## Time\n\n" + pages.table(head, rows)


def _row(name: str, seconds: list[float], wanted: str) -> tuple[str, ...]:
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return name, str(len(ordered)), f"{statistics.median(ordered):.2f}", f"{p99:.2f}", f"{ordered[-1]:.2f}", wanted


def _from_event(kubernetes: Any, count: int, *, is_dead: bool = False) -> list[float]:
    with measured_site(kubernetes, poll_seconds=5, scan_seconds=600) as site:
        if is_dead:
            site.orthanc.stop()
            site.orthanc.environment["QSM_HINT_URL"] = "http://127.0.0.1:9/hint"
            site.orthanc.start()
        return from_event(site, count)


def _from_restart(kubernetes: Any, count: int) -> list[float]:
    scans = importlib.import_module("many_scans_for_tests")
    found = []
    with measured_site(kubernetes, poll_seconds=5, scan_seconds=30) as site:
        many = scans.ManyScans(site.folder / "template")
        watch = Watch(site)
        for number in range(1, count + 1):
            site.orthanc.send(many.write(site.folder / "out", number))
            site.orthanc.kill()
            site.orthanc.start()
            back = time.time()
            watch.wait([scans.ManyScans.series(number)[0]], 120)
            found.append(watch.seen.get(scans.ManyScans.series(number)[0], float("inf")) - back)
        watch.close()
    return found


def _chaos(kubernetes: Any, count: int, kill_seconds: float) -> str:
    module = importlib.import_module("intake_chaos")
    with measured_site(kubernetes, poll_seconds=1, scan_seconds=10) as site:
        site.orthanc.stop()
        webhook, operator = site.webhook(), site.operator()
        site.orthanc.start()
        site.patience_seconds = 30.0
        outcome = module.Chaos(site, count, webhook, operator, kill_seconds=kill_seconds).run(settle_seconds=1800)
        kills = ", ".join(f"{name} {number}" for name, number in sorted(outcome.kills.items()))
        rows = [
            ("acquisitions sent by C-STORE", str(outcome.sent)),
            ("lost", str(len(outcome.lost))),
            ("doubled", str(len(outcome.doubled))),
            ("for a part of an acquisition", str(len(outcome.wrong))),
            ("from our own results", str(outcome.from_own_output)),
            ("QSMJobs that the operator did not bring to their end", str(len(outcome.unfinished))),
            ("pods' Jobs it started for them", str(outcome.attempts)),
            ("seconds of sending and killing", f"{outcome.sending_seconds:.0f}"),
            ("seconds until the last QSMJob was done", f"{outcome.seconds:.0f}"),
        ]
    told = (
        f"Killed (`kill -9`), each on its own random clock, {kill_seconds:.0f} s apart on average, and back soon: "
        f"{kills}; {outcome.kills.total()} in all. `webhook`: what brings hints from Orthanc to the replicas; "
        "`intake`: one of the two. The operator's pods run on fake nodes."
    )
    return f"## Chaos\n\n{told}\n\n" + pages.table(("", "number"), rows)


if __name__ == "__main__":
    main()
