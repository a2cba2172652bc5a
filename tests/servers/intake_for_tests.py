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
from orthanc_for_tests import PYTHON_PLUGIN, OrthancServer
from ports_for_tests import free_port
from scans_for_tests import write_scan

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "operator/orthanc-plugin/qsm_hint.py"
TOKEN = "a-token-for-tests-only"  # noqa: S105 - it opens nothing
REPORT = '{"version": 1, "outputs": [{"kind": "ChiMap", "seriesInstanceUID": "1.2.3"}]}'
"""What pods on fake nodes say that they made."""
STATE, MARKER, CONTENT = 5600, 5601, 5602


class Killable:
    """A program of our own in a process of its own; `kill` and `start` as often as you like."""

    def __init__(self, program, environment, log_file):
        log_file.parent.mkdir(parents=True, exist_ok=True)
        self.program, self.environment, self.log_file = program, environment, log_file
        self.process = None

    def start(self):
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.program], env=self.environment, stdout=log, stderr=log
            )
        return self

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

    @property
    def most_memory_mib(self):
        """The most it ever had since its start."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024

    @property
    def cpu_seconds(self):
        """CPU seconds it has used since its start."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class IntakeProcess(Killable):
    """One replica. Settings by name."""

    def __init__(self, folder, kubeconfig, namespace, connections, token_file, **settings):
        self.hint_port, self.http_port = free_port(), free_port()
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
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig), **variables}
        super().__init__(["-m", "qsm_operator", "intake"], environment, folder / "intake.log")

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
        self.replicas, self._helpers = [], []
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

    def pipeline(self, name="pretend-v1", **notes):
        """`notes`: how its pods act on fake nodes, such as run_time."""
        document = yaml.safe_load((EXAMPLES / "pipelines/for-fake-nodes.yaml").read_text())
        document["metadata"]["name"] = name
        notes = {"run_time": "500ms", "message": REPORT} | notes
        said = {f"fake.qsm-operator.io/{key.replace('_', '-')}": value for key, value in notes.items()}
        document["spec"]["podMetadata"]["annotations"] |= said
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

    def at_work(self, replicas=1, **settings):
        """A pipeline, a route for everything, so many replicas of intake, then Orthanc."""
        self.pipeline()
        self.route()
        for _ in range(replicas):
            self.intake(**settings).start()
        for one in self.replicas:
            one.wait()
        self.orthanc.start()
        return self

    def scan(self, name="scan", *, send=True, **how):
        """Write a scan (`write_scan`) and send it as a scanner does; its files."""
        paths = write_scan(self.folder / name, **how)
        if send:
            self.orthanc.send(self.folder / name)
        return paths

    def webhook(self):
        """A program between Orthanc and the replicas there are, to be killed. Before Orthanc starts."""
        port = free_port()
        targets = [str(one.hint_port) for one in self.replicas]
        self.orthanc.environment["QSM_HINT_URL"] = f"http://127.0.0.1:{port}/hint"
        program = [str(Path(__file__).with_name("hint_forwarder.py")), str(port), *targets]
        return self._helper(Killable(program, dict(os.environ), self.folder / "webhook.log"))

    def operator(self):
        """The operator, under its own account where the cluster is ours."""
        config = self.kubernetes.kubeconfig
        if self.kubernetes.is_ours:
            self.kubectl("apply", "-f", str(REPOSITORY / "deploy/rbac-namespace.yaml"))
            config = self.kubernetes.cluster("account", self.namespace, "qsm-operator")
        said = {"KUBECONFIG": str(config), "QSM_OPERATOR_NAMESPACES": self.namespace, "QSM_OPERATOR_HTTP_PORT": "0"}
        return self._helper(
            Killable(["-m", "qsm_operator", "run"], {**os.environ, **said}, self.folder / "operator.log")
        )

    def _helper(self, one):
        self._helpers.append(one)
        return one.start()

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
            for one in (*self.replicas, *self._helpers):
                one.kill()
            self.orthanc.kill()
