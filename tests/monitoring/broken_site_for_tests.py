"""A site of real programs that something is done to, and what Prometheus would have read of it meanwhile.

Alerts wait for minutes and hours. Here a second stands for a minute: what the programs said in real seconds is
stretched, samples, moments and ages alike, and handed to Prometheus' own rule tester.
"""

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

from canaries_for_tests import check
from intake_for_tests import REPOSITORY, IntakeSite
from ports_for_tests import free_port
from prometheus_client.parser import text_string_to_metric_families
from site_for_tests import Sample

MINUTE = 60
"""So many seconds are made of each real one."""


class OperatorProcess:
    """The operator, as the chart would start it."""

    def __init__(self, site: IntakeSite, folder: Path) -> None:
        self.port = free_port()
        site.kubectl("apply", "-f", str(REPOSITORY / "deploy/rbac-namespace.yaml"))
        config = site.kubernetes.kubeconfig
        if site.kubernetes.is_ours:
            config = site.kubernetes.cluster("account", site.namespace, "qsm-operator")
        environment = os.environ | {
            "KUBECONFIG": config,
            "QSM_OPERATOR_NAMESPACES": site.namespace,
            "QSM_OPERATOR_HTTP_HOST": "127.0.0.1",
            "QSM_OPERATOR_HTTP_PORT": str(self.port),
            "QSM_OPERATOR_RESYNC_SECONDS": "5",  # so that a stretched one is the usual 300
        }
        with (folder / "operator.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "qsm_operator", "run"], env=environment, stdout=log, stderr=log
            )

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(40)


class Watching:
    """Reads metrics of programs every second, in a thread, until the end of the block."""

    def __init__(self, ports: dict[str, int]) -> None:
        self._ports = ports
        self._readings: list[dict[Sample, float]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._trouble: list[BaseException] = []

    def __enter__(self) -> Self:
        self._began = time.time()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)
        assert not self._trouble, self._trouble

    def _read(self) -> None:
        try:
            while not self._ended.wait(max(0.0, self._began + len(self._readings) - time.time())):
                found: dict[Sample, float] = {}
                for job, port in self._ports.items():
                    found |= _reading(job, port)
                self._readings.append(found)
        except BaseException as error:
            self._trouble.append(error)
            raise

    @property
    def minutes(self) -> int:
        return len(self._readings)

    def stretched(self) -> dict[Sample, list[float | None]]:
        """Every series, one value for each stretched minute."""
        names = sorted(set().union(*self._readings))
        return {
            name: [self._stretch(name[0], one[name]) if name in one else None for one in self._readings]
            for name in names
        }

    def _stretch(self, name: str, value: float) -> float:
        if name == "qsm_credential_expiry_timestamp_seconds":
            return value - self._began  # days away; stretched they would be years
        if name.endswith("_timestamp_seconds"):
            return (value - self._began) * MINUTE if value else 0.0
        return value * MINUTE if name.endswith("_oldest_seconds") else value


def _reading(job: str, port: int) -> dict[Sample, float]:
    """What a program says now; nothing where it does not run."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, OSError):
        return {}
    check(text, f"metrics of {job}")
    found: dict[Sample, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.name.startswith("process_"):
                labels: dict[str, Any] = {**sample.labels, "job": job, "instance": f"{job}-0"}
                found[sample.name, tuple(sorted(labels.items()))] = sample.value
    return found
