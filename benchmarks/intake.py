"""How long from Orthanc's event to the QSMJob, and what chaos does -> docs/intake-figures.md (`make bench-intake`).

Needs the real programs of the e2e tests: Orthanc with its Python plug-in, storescu, tests/cluster.
"""

import argparse
import importlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import machine, pages
from benchmarks.isolated import ROOT

_EVENT_SCRIPT = """
import time
import orthanc
import qsm_hint

def told(change, level, resource):
    if change == orthanc.ChangeType.STABLE_SERIES:
        with open("events", "a") as out:
            out.write(f"{time.time()} {resource}\\n")
    qsm_hint.on_change(change, level, resource)

orthanc.RegisterOnChangeCallback(told)
"""


def main() -> None:
    """Measure, and write the page."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--latency", type=int, default=60, help="acquisitions for each way")
    words.add_argument(
        "--chaos", type=int, default=1000, help="acquisitions sent while everything is killed; 0 for none"
    )
    words.add_argument("--kill-seconds", type=float, default=10.0)
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
            parts.append(_latencies(kubernetes, chosen.latency))
        if chosen.chaos:
            parts.append(_chaos(kubernetes, chosen.chaos, chosen.kill_seconds))
    print(pages.write_page("intake-figures.md", parts))


@contextmanager
def _site(kubernetes: Any, *, with_hints: bool = True, **settings: Any) -> Iterator[Any]:
    module = importlib.import_module("intake_for_tests")
    with tempfile.TemporaryDirectory() as folder, kubernetes.namespace("qsm-bench") as namespace:
        site = module.IntakeSite(kubernetes, namespace, Path(folder), hints=with_hints, stable_age=2)
        site.pipeline()
        site.route()
        if with_hints:
            script = site.orthanc.folder / "measured.py"
            script.write_text(_EVENT_SCRIPT)
            (site.orthanc.folder / "qsm_hint.py").write_text(module.SCRIPT.read_text())
            site.orthanc.settings["PythonScript"] = str(script)
            site.orthanc.environment |= {"QSM_HINT_REGISTER": "no", "PYTHONPATH": str(site.orthanc.folder)}
        for _ in range(2):
            site.intake(**settings).start()
        for one in site.replicas:
            one.wait()
        try:
            site.orthanc.start()
            yield site
        finally:
            site.close()


class _Watch:
    """When each QSMJob was seen first, by a watch."""

    def __init__(self, site: Any) -> None:
        self.seen: dict[str, float] = {}
        arguments = ["-n", site.namespace, "get", "qsmjobs", "-w", "-o"]
        path = "jsonpath={.spec.source.orthanc.seriesInstanceUIDs[0]}{'\\n'}"
        program = [site.kubernetes.kubectl_program, f"--kubeconfig={site.kubernetes.kubeconfig}"]
        self._process = subprocess.Popen([*program, *arguments, path], stdout=subprocess.PIPE, text=True)  # noqa: S603
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        if self._process.stdout is not None:
            for line in self._process.stdout:
                self.seen.setdefault(line.strip(), time.time())

    def wait(self, uids: Sequence[str], seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not set(uids) <= self.seen.keys():
            time.sleep(0.05)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


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
    scans = importlib.import_module("many_scans_for_tests")
    with _site(kubernetes, poll_seconds=5, scan_seconds=600) as site:
        if is_dead:
            site.orthanc.stop()
            site.orthanc.environment["QSM_HINT_URL"] = "http://127.0.0.1:9/hint"
            site.orthanc.start()
        many = scans.ManyScans(site.folder / "template")
        watch = _Watch(site)
        for number in range(1, count + 1):
            site.orthanc.send(many.write(site.folder / "out", number))
            time.sleep(0.5)
        watch.wait([scans.ManyScans.series(number)[0] for number in range(1, count + 1)], 60)
        time.sleep(1)
        events: dict[str, float] = {}
        uid_of = {one["ID"]: one["MainDicomTags"]["SeriesInstanceUID"] for one in site.orthanc.get("/series?expand")}
        for line in (site.orthanc.folder / "events").read_text().splitlines():
            moment, series = line.split()
            events[uid_of[series]] = float(moment)
        watch.close()
        found = []
        for number in range(1, count + 1):
            series = scans.ManyScans.series(number)
            found.append(watch.seen[series[0]] - max(events[one] for one in series))
        return found


def _from_restart(kubernetes: Any, count: int) -> list[float]:
    scans = importlib.import_module("many_scans_for_tests")
    found = []
    with _site(kubernetes, poll_seconds=5, scan_seconds=30) as site:
        many = scans.ManyScans(site.folder / "template")
        watch = _Watch(site)
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
    with _site(kubernetes, poll_seconds=1, scan_seconds=10) as site:
        site.patience_seconds = 30.0
        outcome = module.Chaos(site, count, kill_seconds=kill_seconds).run(settle_seconds=600)
        kills = ", ".join(f"{name} {number}" for name, number in sorted(outcome.kills.items()))
        rows = [
            ("acquisitions sent by C-STORE", str(outcome.sent)),
            ("lost", str(len(outcome.lost))),
            ("doubled", str(len(outcome.doubled))),
            ("for a part of an acquisition", str(len(outcome.wrong))),
            ("from our own results", str(outcome.from_own_output)),
            ("seconds", f"{outcome.seconds:.0f}"),
        ]
    told = (
        f"Killed (`kill -9`) at random, each {kill_seconds:.0f} s or so: {kills}. `webhook`: Orthanc came back without."
    )
    return f"## Chaos\n\n{told}\n\n" + pages.table(("", "number"), rows)


if __name__ == "__main__":
    main()
