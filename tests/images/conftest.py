"""The images as `make images` made them; a namespace of a real node in which the operator's image runs."""

import copy
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_for_tests import EXAMPLES, Kubernetes, running_cluster

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGES = Path(os.environ.get("QSM_IMAGES_DIR", REPOSITORY / "build/images"))
USER = 10001


@dataclass(frozen=True)
class Image:
    """One built image."""

    name: str
    archive: Path
    facts: dict[str, Any]
    """What `make images` noted: reference, digest, sizes."""

    @property
    def bill(self) -> dict[str, Any]:
        """Its CycloneDX document."""
        return json.loads((IMAGES / f"{self.name}.cdx.json").read_text())


@pytest.fixture(scope="session")
def images() -> dict[str, Image]:
    """Operator and recon image by name; tests skip, and say so, where they are not built."""
    if not (IMAGES / "images.json").is_file():
        if os.environ.get("QSM_E2E_REQUIRED") == "1":
            pytest.fail(f"no images in {IMAGES}, and QSM_E2E_REQUIRED=1: `make images` builds them", pytrace=False)
        pytest.skip("the images are not built; `make images` does")
    noted = json.loads((IMAGES / "images.json").read_text())
    return {name: Image(name, IMAGES / f"{name}.tar", facts) for name, facts in noted.items()}


class Container:
    """The images under podman or docker, as a cluster with the strictest rules would run them."""

    _STRICT = (
        "--network=none",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--user=54321:54321",
    )

    def __init__(self, program: list[str], options: list[str]) -> None:
        self._program, self._options = program, options
        self._names: dict[str, str] = {}

    def load(self, image: Image) -> None:
        said = subprocess.run(
            [*self._program, "load", "--input", str(image.archive)], capture_output=True, text=True, check=True
        )
        self._names[image.name] = said.stdout.strip().splitlines()[-1].split()[-1]

    def run(self, name: str, *arguments: str, entrypoint: str = "", **environment: str) -> str:
        """Standard output and error of one run that ends well."""
        options = [f"--env={variable}={value}" for variable, value in environment.items()]
        options += [f"--entrypoint={entrypoint}"] if entrypoint else []
        command = [*self._program, "run", "--rm", *self._STRICT, *self._options, *options, self._names[name]]
        ran = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, timeout=240)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def config(self, name: str) -> dict[str, Any]:
        """What the image says of itself."""
        said = subprocess.run(
            [*self._program, "image", "inspect", self._names[name]], capture_output=True, text=True, check=True
        )
        return dict(json.loads(said.stdout)[0]["Config"])

    def labels(self, name: str) -> dict[str, str]:
        """Its labels."""
        return dict(self.config(name)["Labels"])


@pytest.fixture(scope="session")
def container(images: dict[str, Image]) -> Container:
    """Where the images run without a cluster."""
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0:
        found = Container(["docker"], [])
    elif shutil.which("podman"):
        # No temporary space, no entry for the user; and what podman needs where no systemd runs.
        options = ["--read-only-tmpfs=false", "--passwd=false", "--unsetenv=HOME"]
        if not Path("/run/systemd/system").exists():
            options += ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]
            found = Container(["podman", "--cgroup-manager=cgroupfs", f"--runtime={shutil.which('runc')}"], options)
        else:
            found = Container(["podman"], options)
    elif os.environ.get("QSM_E2E_REQUIRED") == "1":
        pytest.fail("neither docker nor podman runs here, and QSM_E2E_REQUIRED=1", pytrace=False)
    else:
        pytest.skip("neither docker nor podman runs here")
    for image in images.values():
        found.load(image)
    return found


@pytest.fixture(scope="session")
def kubernetes() -> Iterator[Kubernetes]:
    """A cluster with a real node and no GPU anywhere."""
    os.environ.setdefault("QSM_CLUSTER_FAKE", "0 0 0")
    with running_cluster("--node") as cluster, cluster.custom_resources():
        if not cluster.is_ours:
            pytest.skip("these tests bring images into the node of tests/cluster; unset KUBECONFIG")
        yield cluster


@pytest.fixture(scope="session")
def references(kubernetes: Kubernetes, images: dict[str, Image]) -> dict[str, str]:
    """Name with digest of each image, as the node knows it."""
    return {name: kubernetes.cluster("import", str(images[name].archive)) for name in ("qsm-operator", "qsm-recon")}


class Site:
    """A namespace under PodSecurity restricted, one folder of the node as its only disk, our operator inside."""

    def __init__(self, kubernetes: Kubernetes, namespace: str, references: dict[str, str], disk: Path) -> None:
        self.kubernetes, self.namespace, self.references, self.disk = kubernetes, namespace, references, disk

    def kubectl(self, *arguments: str, **how: Any) -> str:
        return self.kubernetes.kubectl("-n", self.namespace, *arguments, **how)

    def create(self, document: dict[str, Any]) -> None:
        self.kubectl("create", "-f", "-", document=document)

    def get(self, *what: str) -> Any:
        return self.kubernetes.get("-n", self.namespace, *what)

    def provide_disk(self) -> None:
        """Claims `images` and `results` for folders of the node that the pods' user may use."""
        for name in ("images", "results"):
            folder = self.disk / name
            folder.mkdir(parents=True, exist_ok=True)
            os.chown(folder, USER, USER)
            size = {"storage": "1Gi"}
            owner = {"namespace": self.namespace, "name": name}
            spec = {"capacity": size, "accessModes": ["ReadWriteMany"], "storageClassName": ""}
            volume = spec | {"hostPath": {"path": str(folder)}, "claimRef": owner}
            metadata = {"name": f"{self.namespace}-{name}"}
            document = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": volume}
            self.kubernetes.kubectl("create", "-f", "-", document=document)
            claim = {"accessModes": ["ReadWriteMany"], "storageClassName": "", "resources": {"requests": size}}
            document = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": claim}
            self.create(document)

    def remove_disk(self) -> None:
        for name in ("images", "results"):
            self.kubernetes.try_kubectl("delete", "pv", f"{self.namespace}-{name}", "--wait=false")

    def put(self, folder: Path, name: str) -> None:
        """Images into the claim, readable by the pods' user."""
        shutil.copytree(folder, self.disk / "images" / name)
        subprocess.run(["chown", "-R", f"{USER}:{USER}", str(self.disk / "images" / name)], check=True)

    def pipeline(self, name: str = "fast-v1", **backends: Any) -> None:
        """The example of that name with the real image, on the real node."""
        document = yaml.safe_load((EXAMPLES / "pipelines" / f"{name}.yaml").read_text())
        document["spec"]["image"] = self.references["qsm-recon"]
        found = copy.deepcopy(document["spec"]["backends"]["cpu"])
        found["resources"] = {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "3Gi"}}
        document["spec"]["backends"] = backends or {"cpu": found}
        self.create(document)

    def submit(self, name: str, folder: str, pipeline: str = "fast-v1", **spec: Any) -> None:
        document = {
            "apiVersion": "qsm-operator.io/v1alpha1",
            "kind": "QSMJob",
            "metadata": {"name": name},
            "spec": {
                "source": {"volume": {"claimName": "images", "path": folder}},
                "pipelineRef": {"name": pipeline},
                "destinations": [{"name": "results", "volume": {"claimName": "results", "path": "maps"}}],
                **spec,
            },
        }
        self.create(document)

    def finished(self, name: str, seconds: int = 300) -> dict[str, Any]:
        """Status of a QSMJob once it is Complete or Failed."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            status = self.get("qsmjob", name).get("status", {})
            known = {condition["type"]: condition["status"] for condition in status.get("conditions", [])}
            if "True" in (known.get("Complete"), known.get("Failed")):
                return status
            time.sleep(0.5)
        raise AssertionError(f"not within {seconds} s: {status}\n{self.evidence()}")

    def evidence(self) -> str:
        """What a person would look at."""
        told = self.kubernetes.try_kubectl("-n", self.namespace, "get", "events,pods", "-o", "wide").stdout
        log = self.kubernetes.try_kubectl("-n", self.namespace, "logs", "deployment/qsm-operator", "--tail=30").stdout
        return f"{told}\n{log}"


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Measured values, printed at the end."""
    measured: dict[str, str] = {}
    yield measured
    lines = [f"measured: {what}: {value}" for what, value in measured.items()]
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        sys.stderr.write("\n" + "\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def site(
    kubernetes: Kubernetes, references: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A namespace with disk and running operator."""
    disk = tmp_path_factory.mktemp("disk")
    for folder in (disk, *disk.parents):  # pods run as a user who must get there
        if folder.stat().st_uid == os.getuid() and folder.is_relative_to("/tmp"):  # noqa: S108 - pytest's own
            folder.chmod(folder.stat().st_mode | 0o055)
    with kubernetes.namespace("qsm-image") as namespace:
        site = Site(kubernetes, namespace, references, disk)
        site.provide_disk()
        try:
            site.kubectl("apply", "-f", str(REPOSITORY / "deploy/rbac-namespace.yaml"))
            site.create(operator_deployment(namespace, references["qsm-operator"]))
            site.kubectl("rollout", "status", "deployment/qsm-operator", "--timeout=90s")
            yield site
        finally:
            site.remove_disk()


def operator_deployment(namespace: str, image: str) -> dict[str, Any]:
    """The operator as PodSecurity restricted wants a pod, with nothing to write to."""
    probe = {"port": 8080}
    container = {
        "name": "operator",
        "image": image,
        "env": [{"name": "QSM_OPERATOR_NAMESPACES", "value": namespace}],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": probe | {"path": "/readyz"}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": probe | {"path": "/healthz"}},
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    pod = {
        "serviceAccountName": "qsm-operator",
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    labels = {"app.kubernetes.io/name": "qsm-operator"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "qsm-operator", "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
