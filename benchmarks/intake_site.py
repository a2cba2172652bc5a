"""Where intake is measured: Orthanc, two replicas, and when each QSMJob was seen."""

import importlib
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


@contextmanager
def measured_site(kubernetes: Any, **settings: Any) -> Iterator[Any]:
    """A site with two replicas at work and an Orthanc that notes its events; settings of intake by name."""
    module = importlib.import_module("intake_for_tests")
    with tempfile.TemporaryDirectory() as folder, kubernetes.namespace("qsm-bench") as namespace:
        site = module.IntakeSite(kubernetes, namespace, Path(folder), stable_age=2)
        script = site.orthanc.folder / "measured.py"
        script.write_text(_EVENT_SCRIPT)
        (site.orthanc.folder / "qsm_hint.py").write_text(module.SCRIPT.read_text())
        site.orthanc.settings["PythonScript"] = str(script)
        site.orthanc.environment |= {"QSM_HINT_REGISTER": "no", "PYTHONPATH": str(site.orthanc.folder)}
        try:
            site.pipeline()
            site.route()
            for _ in range(2):
                site.intake(**settings).start()
            for one in site.replicas:
                one.wait()
            site.orthanc.start()
            yield site
        finally:
            site.close()


class Watch:
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
        """Until QSMJobs for all of these series were seen, or time is over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not set(uids) <= self.seen.keys():
            time.sleep(0.05)

    def close(self) -> None:
        """Look no more."""
        self._process.kill()
        self._process.wait()


def from_event(site: Any, count: int, *, pause_seconds: float = 0.5, first: int = 1) -> list[float]:
    """Send so many acquisitions, numbered from `first` on; seconds from each one's last event to its QSMJob."""
    scans = importlib.import_module("many_scans_for_tests")
    many, numbers = scans.ManyScans(site.folder / "template"), range(first, first + count)
    watch = Watch(site)
    try:
        for number in numbers:
            site.orthanc.send(many.write(site.folder / "out", number))
            time.sleep(pause_seconds)
        watch.wait([scans.ManyScans.series(number)[0] for number in numbers], 60)
        time.sleep(1)
    finally:
        watch.close()
    events: dict[str, float] = {}
    uid_of = {one["ID"]: one["MainDicomTags"]["SeriesInstanceUID"] for one in site.orthanc.get("/series?expand")}
    for line in (site.orthanc.folder / "events").read_text().splitlines():
        moment, series = line.split()
        events[uid_of[series]] = float(moment)
    series_of = [scans.ManyScans.series(number) for number in numbers]
    return [watch.seen.get(one[0], float("inf")) - max(events[uid] for uid in one) for one in series_of]
