"""The operator as a process of its own, and what it costs."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from benchmarks.isolated import ROOT
from benchmarks.operator.ground import log_file

PORT = 26499
_TICKS = os.sysconf("SC_CLK_TCK")
_WRITE = re.compile(r'qsm_kube_requests_total\{code="(\w+)",resource="(\w+)",verb="(PATCH|POST|DELETE)"\} ([0-9.e+]+)')


class Process:
    """One operator."""

    def __init__(self, kubeconfig: str, log: str, **settings: object) -> None:
        self._environment = os.environ | {
            "KUBECONFIG": kubeconfig,
            "QSM_OPERATOR_HTTP_PORT": str(PORT),
            "QSM_OPERATOR_HTTP_HOST": "127.0.0.1",
            "PYTHONPATH": f"{ROOT}/operator/src:{ROOT}/acquisition/src",
            **{f"QSM_OPERATOR_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.log = log_file(log)
        self.log.write_text("", encoding="utf-8")
        self.started_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it (again)."""
        self.started_at = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "qsm_operator", "run"], env=self._environment, stdout=log, stderr=log
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        if self._process is None:
            raise SystemExit("the operator was not started")
        return self._process.pid

    def has_ended(self) -> bool:
        """Whether it ended by itself."""
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(40)

    async def ready(self, seconds: float = 180) -> float:
        """Wait until it is ready; seconds since its start."""
        while time.monotonic() < self.started_at + seconds:
            if self.has_ended():
                raise SystemExit(f"the operator ended; see {self.log}")
            try:
                await asyncio.to_thread(_fetch, "readyz")
            except OSError:
                await asyncio.sleep(0.1)
            else:
                return time.monotonic() - self.started_at
        raise SystemExit(f"the operator does not become ready; see {self.log}")

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    @property
    def memory_mib(self) -> tuple[float, float]:
        """Resident memory now, and the most so far, in MiB."""
        text = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        now, most = (int(re.search(rf"{name}:\s+(\d+)", text)[1]) for name in ("VmRSS", "VmHWM"))  # type: ignore[index]
        return now / 1024, most / 1024

    async def writes(self) -> dict[str, int]:
        """Writes it has sent to the API server, refused ones too, by verb and resource."""
        text = (await asyncio.to_thread(_fetch, "metrics")).decode()
        found: dict[str, int] = {}
        for _code, resource, verb, count in _WRITE.findall(text):
            name = f"{verb} {resource}"
            found[name] = found.get(name, 0) + int(float(count))
        if not found and await self.metric("qsm_kube_requests_total") == 0:
            raise SystemExit("the operator tells of no request at all: has the metric another name?")
        return found

    async def metric(self, name: str) -> float:
        """Sum over all lines of a metric."""
        text = (await asyncio.to_thread(_fetch, "metrics")).decode()
        pattern = re.compile(rf"^{name}(?:\{{[^}}]*\}})? ([0-9.e+-]+)$", re.MULTILINE)
        return sum(float(value) for value in pattern.findall(text))


def _fetch(page: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/{page}", timeout=10) as answer:
        return bytes(answer.read())
