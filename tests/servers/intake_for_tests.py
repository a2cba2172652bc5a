"""Where intake runs: a namespace of a real Kubernetes, a real Orthanc with the hint script, intake processes."""

import contextlib
import copy
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import yaml
from canaries_for_tests import check
from kubernetes_for_tests import EXAMPLES
from orthanc_for_tests import PYTHON_PLUGIN, OrthancServer, free_port

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "operator/orthanc-plugin/qsm_hint.py"
TOKEN = "a-token-for-tests-only"  # noqa: S105 - it opens nothing
STATE, MARKER, CONTENT = 5600, 5601, 5602


class IntakeProcess:
    """One replica. Settings by name; `kill` and `start` as often as you like."""

    def __init__(self, folder, kubeconfig, namespace, connections, token_file, **settings):
        self.folder, self.hint_port, self.http_port = folder, free_port(), free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self.log_file = folder / "intake.log"
        said = {
            "namespace": namespace,
            "connections_dir": connections,
            "hint_host": "127.0.0.1",
            "hint_port": self.hint_port,
            "http_host": "127.0.0.1",
            "http_port": self.http_port,
            "token_file": token_file,
            "poll_seconds": 1,
            "scan_seconds": 5,
        } | settings
        variables = {f"QSM_INTAKE_{name.upper()}": str(value) for name, value in said.items()}
        self.environment = {**os.environ, "KUBECONFIG": str(kubeconfig), **variables}
        self.process = None

    def start(self):
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "qsm_operator", "intake"], env=self.environment, stdout=log, stderr=log
            )
        return self

    def wait(self, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log[-2000:]
            try:
                if self.ask("/readyz") == "ok":
                    return self
            except OSError:
                time.sleep(0.1)
        raise AssertionError(f"intake is not ready: {self.log[-2000:]}")

    def ask(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=5) as answer:
            return answer.read().decode()

    def metric(self, name, **labels):
        """Sum of the samples of a metric that have these labels."""
        total = 0.0
        for line in self.ask("/metrics").splitlines():
            found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? ([-+.e0-9]+)", line)
            if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
                total += float(found[2])
        return total

    def check_metrics(self):
        """Nobody's name is in what Prometheus would read; a replica that is down has nothing to read."""
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(OSError):
                check(self.ask("/metrics"), "metrics of intake")

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def stop(self):
        """As Kubernetes does; the exit code."""
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(40)
        self.process = None
        return code

    @property
    def log(self):
        return self.log_file.read_text()


class IntakeSite:
    """Everything for one test, in a folder and a namespace of its own."""

    def __init__(self, kubernetes, namespace, folder, *, hints=True, **orthanc_settings):
        self.kubernetes, self.namespace, self.folder = kubernetes, namespace, folder
        self.kubectl("apply", "-f", str(REPOSITORY / "deploy/rbac-intake.yaml"))
        self.kubeconfig = (
            kubernetes.cluster("account", namespace, "qsm-intake") if kubernetes.is_ours else kubernetes.kubeconfig
        )
        self.token_file = folder / "token"
        self.token_file.write_text(TOKEN)
        self.replicas = []
        self.patience_seconds = 8.0
        """How long a scan and what follows take, with room."""
        self.orthanc = OrthancServer(
            folder / "orthanc",
            plugins=(PYTHON_PLUGIN,) if hints else (),
            **({"PythonScript": str(SCRIPT)} if hints else {}),
            **orthanc_settings,
        )
        self.connections = folder / "connections"
        self.orthanc.connection(self.connections / "main")

    def kubectl(self, *arguments, **how):
        return self.kubernetes.kubectl("-n", self.namespace, *arguments, **how)

    def route(self, name="brains", pipelines=("pretend-v1",), **spec):
        document = {
            "apiVersion": "qsm-operator.io/v1alpha1",
            "kind": "QSMRoute",
            "metadata": {"name": name},
            "spec": {
                "source": {"orthanc": {"connectionRef": {"name": "main"}}},
                "match": {"everything": True},
                "pipelines": [{"name": pipeline} for pipeline in pipelines],
            }
            | spec,
        }
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", document=document)

    def pipeline(self, name="pretend-v1"):
        document = yaml.safe_load((EXAMPLES / "pipelines/for-fake-nodes.yaml").read_text())
        document["metadata"]["name"] = name
        self.kubectl("create", "-f", "-", document=copy.deepcopy(document))

    def intake(self, **settings):
        """A new replica; the first one gets the hints."""
        folder = self.folder / f"intake-{len(self.replicas)}"
        one = IntakeProcess(folder, self.kubeconfig, self.namespace, self.connections, self.token_file, **settings)
        if not self.replicas:
            self.orthanc.environment |= {
                "QSM_HINT_URL": f"http://127.0.0.1:{one.hint_port}/hint",
                "QSM_HINT_TOKEN_FILE": str(self.token_file),
            }
        self.replicas.append(one)
        return one

    def jobs(self):
        found = self.kubernetes.get("-n", self.namespace, "qsmjobs")["items"]
        return {item["metadata"]["name"]: item for item in found}

    def until(self, check, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = check()
            if found:
                return found
            time.sleep(0.1)
        logs = "\n".join(one.log[-3000:] for one in self.replicas)
        raise AssertionError(f"not within {seconds} s; {list(self.jobs())}; {self.states()}\n{logs}")

    def until_jobs(self, count, seconds=30):
        found = self.until(lambda: len(self.jobs()) >= count and self.jobs(), seconds)
        assert len(found) == count, list(found)
        return found

    def metadata(self, series_id, number):
        try:
            return self.orthanc.request("GET", f"/series/{series_id}/metadata/{number}").decode()
        except Exception:  # noqa: BLE001 - whatever keeps us from reading it, it is not there for us
            return None

    def states(self):
        """What a technologist sees, by number of the series."""
        try:
            series = self.orthanc.get("/series?expand")
        except OSError:
            return {}
        return {
            one["MainDicomTags"].get("SeriesInstanceUID", "").rsplit(".", 1)[-1]: self.metadata(one["ID"], STATE)
            for one in series
        }

    def close(self):
        try:
            for one in self.replicas:
                one.check_metrics()
        finally:
            for one in self.replicas:
                one.kill()
            self.orthanc.kill()
