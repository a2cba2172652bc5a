"""Acquisitions are sent by C-STORE while everything is killed at random; then they are counted."""

import random
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from many_scans_for_tests import ManyScans


@dataclass
class Outcome:
    """What came of it."""

    sent: int
    seconds: float = 0.0
    sending_seconds: float = 0.0
    """Of these, how long was sent and killed."""
    kills: Counter[str] = field(default_factory=Counter)
    lost: list[int] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    from_own_output: int = 0
    wrong: list[str] = field(default_factory=list)
    """Jobs for fewer instances than the acquisition has, or of nothing that was sent."""
    unfinished: list[str] = field(default_factory=list)
    """QSMJobs that the operator did not bring to their end."""
    attempts: int = 0
    """Pods' Jobs in all: one for each QSMJob where nothing was started twice."""


class Chaos:
    """`kill_seconds`: each kind of program is killed about so often. `pause_seconds`: of a sender after each.

    Killed are Orthanc, one replica of intake or another, what brings hints to them, and the operator that makes pods of
    the QSMJobs. Each tenth study also has a result of our own in it.
    """

    def __init__(
        self,
        site: Any,
        count: int,
        webhook: Any,
        operator: Any,
        *,
        kill_seconds: float,
        seed: int = 1,
        senders: int = 2,
        pause_seconds: float = 0.0,
    ) -> None:
        self.pause_seconds = pause_seconds
        self.site, self.count, self.kill_seconds, self.senders = site, count, kill_seconds, senders
        self.seed, self.outcome = seed, Outcome(count)
        self._victims = {
            "orthanc": [site.orthanc],
            "intake": site.replicas,
            "webhook": [webhook],
            "operator": [operator],
        }
        self._trouble: list[BaseException] = []
        self._scans = ManyScans(site.folder / "template")
        self._own = ManyScans(site.folder / "own", ImageType=["DERIVED", "PRIMARY", "QSM"])
        self._next = 0
        self._lock = threading.Lock()
        self._is_over = threading.Event()

    def run(self, settle_seconds: float = 120.0) -> Outcome:
        """Send all of them, then wait until nothing changes any more."""
        began = time.monotonic()
        senders = [threading.Thread(target=self._send_all) for _ in range(self.senders)]
        killers = [
            threading.Thread(target=self._kill_again_and_again, args=victims) for victims in self._victims.items()
        ]
        for thread in (*senders, *killers):
            thread.start()
        for thread in senders:
            thread.join()
        self.outcome.sending_seconds = time.monotonic() - began
        self._is_over.set()
        for thread in killers:
            thread.join()
        if self._trouble:
            raise self._trouble[0]
        end = time.monotonic() + settle_seconds
        while time.monotonic() < end and not self._is_settled():
            time.sleep(1)
        time.sleep(self.site.patience_seconds)
        self.outcome.seconds = time.monotonic() - began
        self._count()
        return self.outcome

    def _is_settled(self) -> bool:
        jobs = self.site.jobs().values()
        return len(jobs) >= self.count and all(_is_finished(job) for job in jobs)

    def _take(self) -> int | None:
        with self._lock:
            self._next += 1
            return self._next if self._next <= self.count else None

    def _send_all(self) -> None:
        while (number := self._take()) is not None and not self._trouble:
            folder = self._scans.write(self.site.folder / "out", number)
            self._send(folder)
            if number % 10 == 0:
                own = self._own.write(self.site.folder / "own-out", number + self.count)
                self._send(own)
                shutil.rmtree(own)
            shutil.rmtree(folder)
            time.sleep(self.pause_seconds)

    def _send(self, folder: Path) -> None:
        """What a scanner does: again and again until Orthanc has taken everything."""
        while not self._trouble:
            try:
                self.site.orthanc.send(folder)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
                time.sleep(0.5)
            else:
                return

    def _kill_again_and_again(self, name: str, victims: Sequence[Any]) -> None:
        """One kind of program, on its own clock: what is killed while another is down is left to chance."""
        chance = random.Random(f"{self.seed}/{name}")  # noqa: S311 - chaos that can be repeated
        try:
            while not self._is_over.wait(chance.uniform(0.5, 1.5) * self.kill_seconds):
                victim = chance.choice(victims)
                victim.kill()
                self.outcome.kills[name] += 1
                time.sleep(chance.uniform(0.0, 2.0))
                victim.start()
        except BaseException as error:
            self._trouble.append(error)
            raise

    def _jobs_by_series(self) -> dict[tuple[str, ...], list[dict[str, Any]]]:
        found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for job in self.site.jobs().values():
            source = job["spec"]["source"]["orthanc"]
            found.setdefault(tuple(sorted(source["seriesInstanceUIDs"])), []).append(job)
        return found

    def _count(self) -> None:
        self.outcome.unfinished = [name for name, job in self.site.jobs().items() if not _is_finished(job)]
        self.outcome.attempts = len(self.site.kubernetes.get("-n", self.site.namespace, "jobs")["items"])
        found = self._jobs_by_series()
        for number in range(1, self.count + 1):
            jobs = found.pop(ManyScans.series(number), [])
            whole = [job for job in jobs if job["spec"]["source"]["orthanc"]["instances"]["count"] == 12]
            if not whole:
                self.outcome.lost.append(number)
            self.outcome.doubled += [job["metadata"]["name"] for job in whole[1:]]
            self.outcome.wrong += [job["metadata"]["name"] for job in jobs if job not in whole]
        own = {ManyScans.series(number + self.count) for number in range(1, self.count + 1)}
        for series, jobs in found.items():
            if series in own:
                self.outcome.from_own_output += len(jobs)
            else:
                self.outcome.wrong += [job["metadata"]["name"] for job in jobs]


def _is_finished(job: dict[str, Any]) -> bool:
    conditions = job.get("status", {}).get("conditions", [])
    return any(one["type"] == "Complete" and one["status"] == "True" for one in conditions)
