"""The operator as a process of its own, under its own account's token, on a real control plane with fake nodes."""

import copy
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from kubernetes_for_tests import EXAMPLES, running_cluster

REPOSITORY = Path(__file__).resolve().parents[2]
REPORT = '{"version": 1, "outputs": [{"kind": "ChiMap", "seriesInstanceUID": "1.2.3"}]}'


@pytest.fixture(scope="session")
def kubernetes():
    with running_cluster() as cluster, cluster.custom_resources():
        if not cluster.is_ours and os.environ.get("QSM_FAKE_NODES") != "1":
            pytest.skip(
                "these tests need the fake nodes of tests/cluster (QSM_FAKE_NODES=1 says your cluster has them)"
            )
        yield cluster


class Site:
    """One namespace with a pipeline for fake nodes, and the verbs a user has."""

    def __init__(self, kubernetes, namespace):
        self.kubernetes, self.namespace = kubernetes, namespace

    def kubectl(self, *arguments, **how):
        return self.kubernetes.kubectl("-n", self.namespace, *arguments, **how)

    def pipeline(self, name="pretend-v1", notes=None, **spec):
        document = yaml.safe_load((EXAMPLES / "pipelines/for-fake-nodes.yaml").read_text())
        document["metadata"]["name"] = name
        document["spec"] |= copy.deepcopy(spec)
        said = {"exit-code": "0", "run-time": "500ms", "message": REPORT} | (notes or {})
        annotations = {f"fake.qsm-operator.io/{key}": value for key, value in said.items()}
        document["spec"]["podMetadata"] = {"annotations": annotations}
        self.kubectl("create", "-f", "-", document=document)

    def submit(self, name="scan", pipeline="pretend-v1", **spec):
        source = {"orthanc": {"connectionRef": {"name": "main"}, "seriesInstanceUIDs": ["1.2.840.99.1.2.3.4"]}}
        document = {
            "apiVersion": "qsm-operator.io/v1alpha1",
            "kind": "QSMJob",
            "metadata": {"name": name},
            "spec": {"source": source, "pipelineRef": {"name": pipeline}} | spec,
        }
        self.kubectl("create", "-f", "-", document=document)

    def get(self, *what):
        return self.kubernetes.get("-n", self.namespace, *what)

    def state(self, name="scan"):
        conditions = self.get("qsmjob", name).get("status", {}).get("conditions", [])
        return next(((c["status"], c["reason"]) for c in conditions if c["type"] == "Complete"), None)

    def message(self, name="scan"):
        conditions = self.get("qsmjob", name)["status"]["conditions"]
        return next(c["message"] for c in conditions if c["type"] == "Complete")

    def until(self, check, seconds=30):
        """Wait for `check()` to be true, and give back what it gave."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = check()
            if found:
                return found
            time.sleep(0.2)
        raise AssertionError(f"not within {seconds} s; QSMJobs are {self.kubectl('get', 'qsmjobs', '-o', 'wide')}")

    def reaches(self, state, name="scan", seconds=30):
        return self.until(lambda: self.state(name) == state, seconds)

    def names(self, kind):
        return [item["metadata"]["name"] for item in self.get(kind)["items"]]


class Running:
    """The operator's process."""

    def __init__(self, environment, log):
        self._environment, self._log = environment, log
        self.process = None
        self.start()

    def start(self):
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "qsm_operator", "run"], env=self._environment, stdout=log, stderr=log
            )

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def stop(self):
        """Ask it to end, as Kubernetes does; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    @property
    def log(self):
        return self._log.read_text()


@pytest.fixture
def site(kubernetes) -> Iterator[Site]:
    with kubernetes.namespace("qsm-op") as namespace:
        yield Site(kubernetes, namespace)


@pytest.fixture
def operating(kubernetes, tmp_path):
    """Run an operator for a site: with its own account where the cluster is ours."""

    @contextmanager
    def run(site, log="operator.log", change_config=str, **settings):
        config = kubernetes.kubeconfig
        if kubernetes.is_ours:
            site.kubectl("apply", "-f", str(REPOSITORY / "deploy/rbac-namespace.yaml"))
            # Nodes are seen with a right of their own, as in deploy/rbac-cluster.yaml.
            if settings.pop("sees_nodes", True):
                account = f"{site.namespace}:qsm-operator"
                rule = [f"--clusterrole={_nodes_role(kubernetes)}", f"--serviceaccount={account}"]
                kubernetes.try_kubectl("create", "clusterrolebinding", f"nodes-{site.namespace}", *rule)
            config = kubernetes.cluster("account", site.namespace, "qsm-operator")
        config = change_config(config)
        environment = os.environ | {
            "KUBECONFIG": config,
            "QSM_OPERATOR_NAMESPACES": site.namespace,
            "QSM_OPERATOR_HTTP_PORT": "0",
            **{f"QSM_OPERATOR_{name.upper()}": str(value) for name, value in settings.items()},
        }
        running = Running(environment, tmp_path / log)
        try:
            yield running
        finally:
            if running.process.poll() is None:
                running.stop()
            kubernetes.try_kubectl("delete", "clusterrolebinding", f"nodes-{site.namespace}")
        assert "defect" not in running.log, running.log
        assert "Traceback" not in running.log, running.log
        assert "1.2.840.99" not in running.log

    return run


@pytest.fixture
def operating_everywhere(kubernetes, tmp_path):
    """Run one for the whole cluster, under the account and the role of deploy/rbac-cluster.yaml."""

    @contextmanager
    def run(**settings):
        config = kubernetes.kubeconfig
        if kubernetes.is_ours:
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "qsm-operator"}}
            kubernetes.kubectl("apply", "-f", "-", document=namespace)
            kubernetes.kubectl("apply", "-f", str(REPOSITORY / "deploy/rbac-cluster.yaml"))
            config = kubernetes.cluster("account", "qsm-operator", "qsm-operator")
        environment = os.environ | {
            "KUBECONFIG": config,
            "QSM_OPERATOR_NAMESPACES": "",
            "QSM_OPERATOR_HTTP_PORT": "0",
            **{f"QSM_OPERATOR_{name.upper()}": str(value) for name, value in settings.items()},
        }
        running = Running(environment, tmp_path / "everywhere.log")
        try:
            yield running
        finally:
            if running.process.poll() is None:
                running.stop()
            kubernetes.try_kubectl("delete", "-f", str(REPOSITORY / "deploy/rbac-cluster.yaml"))
        assert "Forbidden" not in running.log

    return run


def _nodes_role(kubernetes):
    kubernetes.try_kubectl("create", "clusterrole", "qsm-test-nodes", "--verb=list", "--resource=nodes")
    return "qsm-test-nodes"
