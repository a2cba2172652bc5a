"""The guides, typed word by word on a real node: install with `helm test`, a scan through Orthanc, upgrade, removal.

Only what a reader fills in is filled in: registry, digests, addresses. tests/guides looks at the rest of the words.
"""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from guides_for_tests import ROOT, blocks
from kubernetes_for_tests import CRDS
from orthanc_for_tests import PASSWORD, USER, OrthancServer, require

pytestmark = pytest.mark.cluster

NAMESPACE = "qsm"
"""The guides' own word."""
INSTALL, TEST, SECRET, CONNECT, REMOVE, REMOVE_ALL = blocks("docs/install.md", "sh")
SITE, WITH_INTAKE = blocks("docs/install.md", "yaml")
UPGRADE, NEW_PIPELINES = blocks("docs/howto/upgrade.md", "sh")
(CHANGED,) = blocks("docs/howto/upgrade.md", "yaml")


class Reader:
    """Somebody with a shell in a copy of the repository."""

    def __init__(self, kubernetes, folder, references):
        self.kubernetes, self.folder = kubernetes, folder
        self.words = {"registry.hospital.example/qsm": "localhost"}
        self.digests = {name: reference.partition("@")[2] for name, reference in references.items()}
        for name in ("charts", "examples", "crds"):
            (folder / name).symlink_to(ROOT / name)
        programs = str(Path(kubernetes.kubectl_program).parent)
        own = {"PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
        helm = {f"HELM_{kind}_HOME": str(folder / "helm") for kind in ("CONFIG", "CACHE", "DATA")}
        self.environment = os.environ | own | helm | {"KUBECONFIG": kubernetes.kubeconfig}

    def types(self, text, expect=0):
        for word, meant in self.words.items():
            text = text.replace(word, meant)
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert ran.returncode == expect, f"{text}\n{ran.stdout}{ran.stderr}\n{self.evidence()}"
        return ran.stdout + ran.stderr

    def evidence(self):
        tell = self.kubernetes.try_kubectl
        told = tell("-n", NAMESPACE, "get", "qsmjobs,jobs,pods,pvc,events", "-o", "wide").stdout
        return told + tell("-n", NAMESPACE, "logs", "deployment/qsm-intake", "--tail=30").stdout

    def writes_values(self):
        """values-site.yaml of the guide, with the digests."""
        text = SITE.text.replace("registry.hospital.example/qsm", "localhost")
        for name in ("qsm-operator", "qsm-recon"):
            text = text.replace("sha256:...", self.digests[name], 1)
        assert "..." not in text
        (self.folder / "values-site.yaml").write_text(text)

    def changes_values(self, block):
        """As an editor would: each key of the block into values-site.yaml."""

        def merge(into, what):
            for key, value in what.items():
                if isinstance(value, dict) and isinstance(into.get(key), dict):
                    merge(into[key], value)
                else:
                    into[key] = value
            return into

        file = self.folder / "values-site.yaml"
        changed = yaml.safe_load(block.text.replace("sha256:...", f"sha256:{'2' * 64}"))
        file.write_text(yaml.safe_dump(merge(yaml.safe_load(file.read_text()), changed)))

    def get(self, *what):
        return self.kubernetes.get("-n", NAMESPACE, *what)


@contextlib.contextmanager
def volume_for_the_test(kubernetes, folder):
    """What a StorageClass would make for the claim of `helm test`; the node for tests makes no volumes by itself."""
    folder.mkdir()
    folder.chmod(0o777)
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": str(folder)},
        "claimRef": {"namespace": NAMESPACE, "name": "qsm-test"},
    }
    document = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "for-helm-test"}, "spec": spec}
    kubernetes.kubectl("create", "-f", "-", document=document)
    try:
        yield
    finally:
        kubernetes.try_kubectl("delete", "pv", "for-helm-test", "--wait=false")


@pytest.fixture(scope="module")
def reader(kubernetes, references, tmp_path_factory):
    """A cluster that has never seen this software, and somebody with a shell."""
    folder = tmp_path_factory.mktemp("reader")
    for parent in (folder, *folder.parents):  # pods use a folder below it
        if parent.stat().st_uid == os.getuid() and parent.is_relative_to("/tmp"):  # noqa: S108 - pytest's own
            parent.chmod(parent.stat().st_mode | 0o055)
    kubernetes.kubectl("delete", "--ignore-not-found", "--timeout=60s", "-f", str(CRDS))
    yield Reader(kubernetes, folder, references)
    kubernetes.try_kubectl("delete", "namespace", NAMESPACE, "--timeout=120s")
    # As the other tests on this node expect it.
    kubernetes.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
    kubernetes.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(CRDS))


@pytest.fixture(scope="module")
def orthanc(kubernetes, tmp_path_factory):
    """The site's Orthanc, where pods reach it."""
    require("Orthanc", "storescu")
    (node,) = [node for node in kubernetes.get("nodes")["items"] if node["metadata"]["name"] == "real-node"]
    host = next(one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP")
    server = OrthancServer(tmp_path_factory.mktemp("orthanc"), host=host, stable_age=2)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def installed(reader):
    """Steps 2 and 3 of install.md."""
    reader.writes_values()
    said = reader.types(INSTALL.text)
    assert "would violate PodSecurity" not in said
    assert "MISSING" not in said


def test_install_and_helm_test(reader, installed, tmp_path_factory, figures):
    deployments = {item["metadata"]["name"]: item["status"] for item in reader.get("deployments")["items"]}
    assert set(deployments) == {"qsm-operator"}
    folder = tmp_path_factory.mktemp("volume")
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.getuid() and parent.is_relative_to("/tmp"):  # noqa: S108 - pytest's own
            parent.chmod(parent.stat().st_mode | 0o055)
    began = time.monotonic()
    with volume_for_the_test(reader.kubernetes, folder / "disk"):
        said = reader.types(TEST.text)
    figures["helm test"] = f"{time.monotonic() - began:.0f} s"
    assert said.count("Succeeded") >= 2, said
    left = [item["metadata"]["name"] for item in reader.get("pods,pvc,roles,configmaps,qsmjobs")["items"]]
    assert not [name for name in left if name.startswith("qsm-test")]
    assert (folder / "disk/qsm-test/results").is_dir()


def test_a_scan_through_orthanc(reader, installed, orthanc, tmp_path, figures):
    (reader.folder / "password.txt").write_text(PASSWORD)
    run = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    run += ["-keyout", str(tmp_path / "key"), "-out", str(reader.folder / "hospital-ca.crt"), "-subj", "/CN=hospital"]
    subprocess.run(run, check=True, capture_output=True)
    route = yaml.safe_load((ROOT / "examples/routes/everything.yaml").read_text())
    route["spec"]["pipelines"] = [{"name": "fast-v1"}]
    (reader.folder / "my-route.yaml").write_text(yaml.safe_dump(route))
    reader.words |= {"https://orthanc.hospital.example:8042": orthanc.url, "username=qsm": f"username={USER}"}
    reader.types(SECRET.text)
    reader.changes_values(WITH_INTAKE)
    said = reader.types(CONNECT.text)
    assert "MISSING" not in said
    reader.types("kubectl -n qsm rollout status deployment/qsm-intake --timeout=90s")
    recon = [sys.executable, "-m", "qsm_recon", "simulate", "--protocol", "tiny", "--quiet", "-o", str(tmp_path / "s")]
    subprocess.run(recon, check=True)
    files = sorted(str(path) for path in (tmp_path / "s/dicom").iterdir())
    to = ["storescu", "-aec", "ORTHANC", orthanc.host, str(orthanc.dicom_port)]
    subprocess.run([*to, *files], check=True, capture_output=True, env=os.environ | {"TCP_NODELAY": "1"})
    began, states = time.monotonic(), []
    while time.monotonic() < began + 300:
        jobs = reader.get("qsmjobs")["items"]
        states = [c for one in jobs for c in one.get("status", {}).get("conditions", []) if c["type"] == "Complete"]
        if states and states[0]["status"] != "Unknown":
            break
        time.sleep(0.5)
    assert [(state["status"], state["reason"]) for state in states] == [("True", "Succeeded")], reader.evidence()
    figures["from the last image to Complete, by the guide"] = f"{time.monotonic() - began:.0f} s"
    descriptions = [one["MainDicomTags"].get("SeriesDescription", "") for one in orthanc.get("/series?expand")]
    assert any("QSM" in text.upper() or "CHI" in text.upper() for text in descriptions), descriptions


def test_the_token_for_the_hint(reader, installed):
    (step,) = [block for block in blocks("docs/howto/connect-scanner-and-pacs.md", "sh") if "qsm-hint" in block.text]
    reader.types(step.text)
    assert len((reader.folder / "token").read_text()) >= 32
    assert (reader.folder / "ca.crt").read_text().startswith("-----BEGIN CERTIFICATE-----")


def test_the_backup(reader, installed):
    (step,) = blocks("docs/howto/backup-and-disaster.md", "sh")
    kept = (reader.folder / "values-site.yaml").read_text()
    reader.types(step.text)
    saved = yaml.safe_load((reader.folder / "qsm-objects.yaml").read_text())
    assert {"QSMPipeline", "QSMJob", "QSMRoute"} <= {item["kind"] for item in saved["items"]}
    values = yaml.safe_load((reader.folder / "values-site.yaml").read_text())
    assert values["global"]["imageRegistry"] == "localhost"
    (reader.folder / "values-site.yaml").write_text(kept)


def test_what_would_be_pulled(reader, installed):
    (step,) = [block for block in blocks("docs/howto/air-gapped.md", "sh") if "helm template" in block.text]
    said = reader.types(step.text)
    assert set(said.split()) == {"image:", *(f"localhost/{name}@{digest}" for name, digest in reader.digests.items())}


def test_the_upgrade(reader, installed):
    lines = [line for line in UPGRADE.text.splitlines() if not line.startswith("helm diff")]  # a plug-in
    assert len(lines) == 1
    before = {item["metadata"]["uid"] for item in reader.get("qsmpipelines")["items"]}
    reader.types(lines[0])
    assert {item["metadata"]["uid"] for item in reader.get("qsmpipelines")["items"]} == before
    kept = (reader.folder / "values-site.yaml").read_text()
    reader.changes_values(CHANGED)
    reader.types(NEW_PIPELINES.text)
    assert {"medi0-v1", "medi0-v1-r2"} <= {item["metadata"]["name"] for item in reader.get("qsmpipelines")["items"]}
    (reader.folder / "values-site.yaml").write_text(kept)
    reader.types("helm rollback qsm -n qsm")
    reader.types("kubectl -n qsm rollout status deployment/qsm-operator --timeout=90s")


def test_the_removal(reader, installed):
    reader.types(REMOVE.text)
    assert reader.get("deployments")["items"] == []
    assert reader.get("qsmpipelines")["items"]
    reader.types(INSTALL.text.splitlines()[-1])
    reader.types(REMOVE_ALL.text)
    end = time.monotonic() + 60
    while "qsm-operator.io" in reader.kubernetes.kubectl("get", "crds", "-o", "name"):
        assert time.monotonic() < end, "the custom resources are still there"
        time.sleep(0.5)
    assert reader.get("secret", "main-orthanc"), "Secrets that somebody created stay"


def test_an_image_that_cannot_be_pulled_ends_the_install(reader):
    """Within the deadline of the Job that waits for the kinds; shortened here."""
    (reader.folder / "short").mkdir()
    reader.types("cp -rL charts/qsm-operator short/chart")
    hook = reader.folder / "short/chart/templates/first-install.yaml"
    hook.write_text(hook.read_text().replace("activeDeadlineSeconds: 240", "activeDeadlineSeconds: 15"))
    wrong = f"--set operator.image.digest=sha256:{'0' * 64}"
    said = reader.types(f"helm install qsm short/chart -n qsm -f values-site.yaml {wrong} --timeout 90s", expect=1)
    assert "qsm-kinds-served" in said
    assert "DeadlineExceeded" in said or "failed" in said
    pods = reader.types("kubectl -n qsm describe pod -l app.kubernetes.io/component=operator")
    assert "ImagePullBackOff" in pods or "ErrImagePull" in pods
    # And with the right values the same release goes on, as docs/troubleshooting.md says.
    reader.types("helm upgrade qsm charts/qsm-operator -n qsm -f values-site.yaml")
    reader.types("kubectl -n qsm rollout status deployment/qsm-operator --timeout=90s")
    reader.types(REMOVE_ALL.text)
