"""A Kubernetes to test on: the one KUBECONFIG names, or our own, started for the session and stopped after it.

Our own needs Go (to build it once) and takes its state from QSM_CLUSTER_DIR; where it cannot be had, tests skip and say
what is missing, unless QSM_E2E_REQUIRED=1, which makes that a failure.
"""

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from canaries_for_tests import check

_HERE = Path(__file__).resolve().parent
_CLUSTER = _HERE / "cluster"
CRDS = _HERE.parents[1] / "crds"
EXAMPLES = _HERE.parents[1] / "examples"

_MISSING_PREREQUISITE = 69
"""Exit code of build and cluster where something is not installed."""


@dataclass(frozen=True)
class Kubernetes:
    """One cluster, as its administrator (or another user, see `acting_as`) sees it through kubectl."""

    kubectl_program: str
    kubeconfig: str
    is_ours: bool
    """Whether it was started from tests/cluster, so that its parts may be killed and its nodes are fake."""

    def kubectl(self, *arguments: str, document: str | dict[str, Any] | None = None, check: bool = True) -> str:
        """Standard output of kubectl; with `document` on its standard input. `check` raises with what it said."""
        result = self.try_kubectl(*arguments, document=document)
        if check and result.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {result.stderr.strip()}")
        return result.stdout

    def try_kubectl(
        self, *arguments: str, document: str | dict[str, Any] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The same, whatever comes of it."""
        # JSON, not YAML: what PyYAML writes as the bare word 3e2, a string to it, is a number to Kubernetes.
        text = document if isinstance(document, str) or document is None else json.dumps(document)
        return subprocess.run(
            [self.kubectl_program, f"--kubeconfig={self.kubeconfig}", *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def get(self, *arguments: str) -> Any:
        """What `kubectl get ... -o json` says, parsed."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def cluster(self, *arguments: str) -> str:
        """One verb of tests/cluster/cluster; only for a cluster that is ours."""
        return _cluster(*arguments).stdout.strip()

    @contextmanager
    def namespace(self, prefix: str = "qsm-test") -> Iterator[str]:
        """A new namespace under PodSecurity "restricted", deleted at the end (in the background)."""
        name = f"{prefix}-{uuid.uuid4().hex[:8]}"
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        self.kubectl("create", "-f", "-", document=namespace)
        try:
            yield name
            self.check_for_canaries(name)
        finally:
            self.try_kubectl("delete", "namespace", name, "--wait=false")

    def check_for_canaries(self, namespace: str) -> None:
        """Nothing that a test leaves in a namespace has patient data in it: no object, no Event, no log of a pod."""
        # Secrets are what tests put there themselves; nobody else writes any.
        kinds = "qsmjobs,qsmroutes,qsmpipelines,jobs,pods,events,configmaps,leases,services,deployments"
        found = self.try_kubectl("-n", namespace, "get", kinds, "-o", "json")
        check(found.stdout, f"objects in {namespace}")
        for pod in self.try_kubectl("-n", namespace, "get", "pods", "-o", "name").stdout.split():
            logs = self.try_kubectl("-n", namespace, "logs", pod, "--all-containers", "--tail=-1")
            check(logs.stdout, f"log of {pod} in {namespace}")

    @contextmanager
    def custom_resources(self) -> Iterator[None]:
        """Our CRDs as they are in crds/; those that were not there before are removed at the end."""
        before = set(self.kubectl("get", "crds", "-o", "name").split())
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
        self.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(CRDS))
        try:
            yield
        finally:
            for crd in CRDS.glob("*.yaml"):
                name = yaml.safe_load(crd.read_text())["metadata"]["name"]
                if f"customresourcedefinition.apiextensions.k8s.io/{name}" not in before:
                    self.try_kubectl("delete", "crd", name)


@contextmanager
def running_cluster(*options: str) -> Iterator[Kubernetes]:
    """A cluster to test on. `options` go to `cluster up` where it is ours (for example --node)."""
    named = os.environ.get("KUBECONFIG")
    if named:
        program = shutil.which("kubectl") or _built_kubectl()
        if program is None:
            _cannot(f"KUBECONFIG is {named}, but kubectl is not on the PATH")
        yield Kubernetes(program, named, is_ours=False)
        return
    was_running = _cluster("status").returncode == 0
    result = _cluster("up", *options)
    if result.returncode == _MISSING_PREREQUISITE:
        _cannot(result.stderr.strip())
    if result.returncode != 0:
        raise RuntimeError(f"the test cluster does not start:\n{result.stderr}")
    try:
        yield Kubernetes(str(_built_kubectl()), result.stdout.strip().splitlines()[-1], is_ours=True)
    finally:
        if not was_running:
            stopped = _cluster("down")
            if stopped.returncode != 0:
                raise RuntimeError(f"the test cluster does not stop:\n{stopped.stderr}")


def _cluster(*arguments: str) -> subprocess.CompletedProcess[str]:
    # The first start compiles Kubernetes, hence no timeout here.
    return subprocess.run([_CLUSTER, *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def _built_kubectl() -> str | None:
    found = subprocess.run([_HERE / "build", "--where"], capture_output=True, text=True, check=False)
    return f"{found.stdout.strip()}/kubectl" if found.returncode == 0 else None


def _cannot(reason: str) -> None:
    if os.environ.get("QSM_E2E_REQUIRED") == "1":
        pytest.fail(f"no Kubernetes to test on, and QSM_E2E_REQUIRED=1: {reason}", pytrace=False)
    pytest.skip(f"no Kubernetes to test on: {reason} (or set KUBECONFIG to one of your own)")
