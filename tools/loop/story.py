"""Follows one examination from the scanner to the PACS and tells what happens, with times."""

import io
import json
import os
import subprocess
import time
import zipfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from tools.loop.running import DemoError
from tools.loop.site import Site

REPORT_ATTACHMENT = 4604
"""Where the reconstruction leaves report and picture beside its map in Orthanc (docs/contract.md)."""
STATE_METADATA = "qsm-state"
"""What intake says of a series (docs/intake.md)."""
WAIT_SECONDS = 1200


def images_in(folder: Path) -> list[Path]:
    """Every DICOM file below a folder; whatever else lies there stays there.

    Raises
    ------
    DemoError
        There is none.
    """
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and _is_dicom(path)]
    if not found:
        raise DemoError(f"no DICOM file is below {folder}")
    return found


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def send(site: Site, images: list[Path]) -> None:
    """What a scanner does: C-STORE of every image.

    Raises
    ------
    DemoError
        The server did not take them.
    """
    port = site.places.port("orthanc-dicom")
    command = ["storescu", "-aet", "SCANNER", "-aec", "ORTHANC", site.cluster.host, str(port), *map(str, images)]
    # Debian's dcmtk sends small images several times faster with this.
    environment = {**os.environ, "TCP_NODELAY": "1"}
    sent = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if sent.returncode != 0:
        raise DemoError(f"storescu: {sent.stderr[-1000:]}")


class Story:
    """What has happened since the last image was sent."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._known_jobs = set(self._jobs())
        self._in_pacs = set(site.pacs.get("/series"))
        self._in_orthanc = set(site.orthanc.get("/series"))
        self._sent_at = time.time()
        self._told: dict[str, float] = {}

    @property
    def times(self) -> dict[str, float]:
        """Each event and the seconds from the last image to it, in the order they were seen."""
        return dict(self._told)

    def sent(self) -> None:
        """The last image is there: from here times count."""
        self._sent_at = time.time()

    def follow(self) -> dict[str, Any]:
        """Tell each event once, as it comes; the finished QSMJob.

        Raises
        ------
        DemoError
            The reconstruction failed, or took too long.
        """
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end:
            new: dict[str, dict[str, Any]] = {
                name: job for name, job in self._jobs().items() if name not in self._known_jobs
            }
            if not new:
                self._tell_states()
            seen = time.time()
            for name, job in new.items():
                for what, at in _events(name, job):
                    # Kubernetes cuts its moments to whole seconds: it was within that second, and before now.
                    self._tell(what, min(seen, at + 1))
            arrived = set(self._site.pacs.get("/series")) - self._in_pacs
            if arrived:
                self._tell("the first result is in the PACS", time.time())
            for job in new.values():
                conditions = {one["type"]: one for one in job.get("status", {}).get("conditions", [])}
                failed = conditions.get("Failed", {})
                if failed.get("status") == "True":
                    raise DemoError(f"{failed['reason']}: {failed['message']}")
                if conditions.get("Complete", {}).get("status") == "True" and arrived:
                    self._tell(f"{len(arrived)} series are in the PACS", time.time())
                    return job
            time.sleep(0.3)
        raise DemoError(
            f"nothing was finished within {WAIT_SECONDS} s; kubectl get qsmjobs,jobs,pods tells where it stands"
        )

    def _jobs(self) -> dict[str, Any]:
        return {
            job["metadata"]["name"]: job
            for job in json.loads(self._site.kubectl("get", "qsmjobs", "-o", "json"))["items"]
        }

    def _tell_states(self) -> None:
        """What intake says of the new series, where a technologist would look.

        Raises
        ------
        DemoError
            None of them can be reconstructed, and why.
        """
        new = set(self._site.orthanc.get("/series")) - self._in_orthanc
        states = {state for one in new if (state := self._site.orthanc.metadata(one, STATE_METADATA))}
        for state in sorted(states):
            self._tell(f"intake says of a series: {state}", time.time())
        if (
            new
            and len(states) > 0
            and all(state.startswith("not suitable") for state in states)
            and self._is_settled(new)
        ):
            raise DemoError("refused, as intake wrote into Orthanc: " + "; ".join(sorted(states)))

    def _is_settled(self, series: set[str]) -> bool:
        return all(self._site.orthanc.metadata(one, STATE_METADATA) for one in series)

    def _tell(self, what: str, at: float) -> None:
        if what not in self._told:
            self._told[what] = at - self._sent_at
            print(f"   {at - self._sent_at:6.1f} s  {what}", flush=True)


def _events(name: str, job: dict[str, Any]) -> Iterator[tuple[str, float]]:
    status = job.get("status", {})
    yield f"intake made the QSMJob {name}", _seconds(job["metadata"]["creationTimestamp"])
    for attempt in status.get("attempts", []):
        why = attempt.get("backendReason", "")
        started = f"the operator started attempt {attempt['index']} on {attempt['backend']} ({why})"
        yield started, _seconds(attempt["startTime"])
        if "runTime" in attempt:
            yield f"attempt {attempt['index']} runs", _seconds(attempt["runTime"])
    if status.get("progress", {}).get("stage"):
        yield f"stage {status['progress']['stage']}", time.time()
    told = {"ResultsStored": "results are stored", "ResultsDelivered": "results are delivered", "Complete": "complete"}
    for condition in status.get("conditions", []):
        if condition["status"] == "True" and condition["type"] in told:
            yield told[condition["type"]], _seconds(condition["lastTransitionTime"])


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def picture(site: Site, job: dict[str, Any], into: Path) -> Path | None:
    """The report's picture, from beside the map in Orthanc."""
    uid = next((out["seriesInstanceUID"] for out in job["status"].get("outputs", []) if out["kind"] == "ChiMap"), "")
    for series in site.orthanc.get("/series?expand"):
        if series["MainDicomTags"].get("SeriesInstanceUID") != uid:
            continue
        packed = site.orthanc.read(f"/series/{series['ID']}/attachments/{REPORT_ATTACHMENT}/data")
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            archive.extractall(into)
        return into / "preview.png"
    return None
