"""Acquisitions are sent by C-STORE while everything is killed at random; then they are counted."""

import random
import shutil
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from many_scans_for_tests import ManyScans


@dataclass
class Outcome:
    """What came of it."""

    sent: int
    seconds: float = 0.0
    kills: Counter[str] = field(default_factory=Counter)
    lost: list[int] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    from_own_output: int = 0
    wrong: list[str] = field(default_factory=list)
    """Jobs for fewer instances than the acquisition has, or of nothing that was sent."""
    found_by: dict[str, int] = field(default_factory=dict)


class Chaos:
    """`kill_seconds`: something is killed about so often. `pause_seconds`: of a sender after each.

    Each tenth study also has a result of our own in it.
    """

    def __init__(
        self,
        site: Any,
        count: int,
        *,
        kill_seconds: float,
        seed: int = 1,
        senders: int = 2,
        pause_seconds: float = 0.0,
    ) -> None:
        self.pause_seconds = pause_seconds
        self.site, self.count, self.kill_seconds, self.senders = site, count, kill_seconds, senders
        self.random = random.Random(seed)  # noqa: S311 - chaos that can be repeated
        self.outcome = Outcome(count)
        self._scans = ManyScans(site.folder / "template")
        self._own = ManyScans(site.folder / "own", ImageType=["DERIVED", "PRIMARY", "QSM"])
        self._next = 0
        self._lock = threading.Lock()
        self._is_over = threading.Event()

    def run(self, settle_seconds: float = 120.0) -> Outcome:
        """Send all of them, then wait until nothing changes any more."""
        began = time.monotonic()
        senders = [threading.Thread(target=self._send_all) for _ in range(self.senders)]
        killer = threading.Thread(target=self._kill_all)
        for thread in (*senders, killer):
            thread.start()
        for thread in senders:
            thread.join()
        self._is_over.set()
        killer.join()
        self._heal()
        end = time.monotonic() + settle_seconds
        while time.monotonic() < end and len(self._jobs_by_series()) < self.count:
            time.sleep(1)
        time.sleep(self.site.patience_seconds)
        self.outcome.seconds = time.monotonic() - began
        self._count()
        return self.outcome

    def _take(self) -> int | None:
        with self._lock:
            self._next += 1
            return self._next if self._next <= self.count else None

    def _send_all(self) -> None:
        while (number := self._take()) is not None:
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
        while True:
            try:
                self.site.orthanc.send(folder)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
                time.sleep(0.5)
            else:
                return

    def _kill_all(self) -> None:
        while not self._is_over.wait(self.random.uniform(0.5, 1.5) * self.kill_seconds):
            victim = self.random.choice(["orthanc", "intake", "both", "webhook"])
            self.outcome.kills[victim] += 1
            orthanc, replicas = self.site.orthanc, self.site.replicas
            if victim in {"intake", "both"}:
                self.random.choice(replicas).kill()
            if victim in {"orthanc", "both", "webhook"}:
                orthanc.kill()
                # A webhook that is dead: Orthanc comes back without one, or finds it again.
                dead = victim == "webhook" and "QSM_HINT_URL" in orthanc.environment
                if dead:
                    self._url = orthanc.environment.pop("QSM_HINT_URL")
                elif "QSM_HINT_URL" not in orthanc.environment:
                    orthanc.environment["QSM_HINT_URL"] = self._url
            time.sleep(self.random.uniform(0, 2))
            self._heal()

    def _heal(self) -> None:
        if self.site.orthanc._process is None:
            self.site.orthanc.start()
        for one in self.site.replicas:
            if one.process is None:
                one.start()

    def _jobs_by_series(self) -> dict[tuple[str, ...], list[dict[str, Any]]]:
        found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for job in self.site.jobs().values():
            source = job["spec"]["source"]["orthanc"]
            found.setdefault(tuple(sorted(source["seriesInstanceUIDs"])), []).append(job)
        return found

    def _count(self) -> None:
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
