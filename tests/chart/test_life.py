"""The chart on a real control plane, with both Helms: installed, upgraded under running jobs, rolled back, removed."""

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from helm_for_tests import API, CHART, DIGEST, EVERYTHING, ROOT, parsed, run_helm
from kubernetes_for_tests import CRDS, running_cluster

pytestmark = pytest.mark.cluster

OTHER_DIGEST = f"sha256:{'2' * 64}"
FAKE = {"nodeSelector": {"type": "fake"}, "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}]}
REPORT = '{"version": 1, "outputs": [{"kind": "ChiMap", "seriesInstanceUID": "1.2.3"}]}'
VALUES = {
    "global": {"imageRegistry": "registry.example/qsm"},
    "operator": FAKE,
    "intake": {"enabled": True, "connections": ["main-orthanc"], **FAKE},
    "recon": {"image": {"digest": DIGEST}},
    "test": FAKE,
    "pipelines": {
        "names": ["fast-v1", "medi0-v1"],
        "backends": {"cpu": FAKE},
        "podMetadata": {
            "annotations": {
                "fake.qsm-operator.io/exit-code": "0",
                "fake.qsm-operator.io/run-time": "1s",
                "fake.qsm-operator.io/message": REPORT,
            }
        },
    },
}
KINDS = ["qsmjobs.qsm-operator.io", "qsmpipelines.qsm-operator.io", "qsmroutes.qsm-operator.io"]


@pytest.fixture(scope="module")
def kubernetes():
    with running_cluster() as cluster:
        if not cluster.is_ours and os.environ.get("QSM_FAKE_NODES") != "1":
            pytest.skip("these tests remove custom resources: they run on the cluster of tests/cluster only")
        remove_kinds(cluster)
        yield cluster
        remove_kinds(cluster)


def remove_kinds(kubernetes):
    kubernetes.kubectl("delete", "crd", *KINDS, "--ignore-not-found", "--timeout=60s")


@pytest.fixture
def clean(kubernetes):
    """No kind of ours in the cluster before, none after."""
    remove_kinds(kubernetes)
    yield
    remove_kinds(kubernetes)


class Site:
    """A namespace under PodSecurity `restricted`, and one Helm."""

    def __init__(self, kubernetes, namespace, helm, folder):
        self.kubernetes, self.namespace, self.program = kubernetes, namespace, helm
        self.folder = folder

    def try_helm(self, verb, name="qsm", *options, chart=CHART, values=VALUES):
        arguments = [verb, name, *options, "-n", self.namespace, "--kubeconfig", self.kubernetes.kubeconfig]
        if verb in {"install", "upgrade"}:
            file = self.folder / "values.json"
            file.write_text(json.dumps(values))
            arguments[2:2] = [str(chart), "-f", str(file)]
        return run_helm(*arguments, program=self.program)

    def helm(self, verb, name="qsm", *options, **how):
        result = self.try_helm(verb, name, *options, **how)
        assert result.returncode == 0, result.stderr + result.stdout
        return result.stdout + result.stderr

    def refused(self, verb, name, *options, **how):
        """What it says when it does not do it."""
        result = self.try_helm(verb, name, *options, **how)
        assert result.returncode != 0, result.stdout
        return result.stderr

    def kubectl(self, *arguments, **how):
        return self.kubernetes.kubectl("-n", self.namespace, *arguments, **how)

    def get(self, *what):
        return self.kubernetes.get("-n", self.namespace, *what)

    def names(self, kind):
        return sorted(item["metadata"]["name"] for item in self.get(kind)["items"])

    def until(self, check, seconds=120):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = check()
            if found:
                return found
            time.sleep(0.3)
        raise AssertionError(f"not within {seconds} s: {self.kubectl('get', 'all,qsmjobs', '-o', 'wide')}")

    def submit(self, name, pipeline="fast-v1"):
        source = {"orthanc": {"connectionRef": {"name": "main-orthanc"}, "seriesInstanceUIDs": ["1.2.840.99.1"]}}
        document = {
            "apiVersion": "qsm-operator.io/v1alpha1",
            "kind": "QSMJob",
            "metadata": {"name": name},
            "spec": {"source": source, "pipelineRef": {"name": pipeline}},
        }
        self.kubectl("create", "-f", "-", document=document)

    def state(self, name):
        conditions = self.get("qsmjob", name).get("status", {}).get("conditions", [])
        return next((c["reason"] for c in conditions if c["type"] == "Complete"), None)

    @contextlib.contextmanager
    def operator(self):
        """What the Deployment would start, with its account and environment; here, since fake nodes run nothing."""
        template = self.get("deployment", "qsm-operator")["spec"]["template"]["spec"]
        (container,) = template["containers"]
        said = {entry["name"]: entry["value"] for entry in container["env"]} | {"QSM_OPERATOR_HTTP_PORT": "0"}
        config = self.kubernetes.cluster("account", self.namespace, template["serviceAccountName"])
        assert container["command"] == ["qsm-operator", "run"]
        log = self.folder / "operator.log"
        with log.open("ab") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "qsm_operator", "run"],
                env=os.environ | {"KUBECONFIG": config} | said,
                stdout=stream,
                stderr=stream,
            )
        try:
            yield log
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, log.read_text()


@pytest.fixture
def site(kubernetes, helm_name, tmp_path):
    with kubernetes.namespace("qsm-chart") as namespace:
        found = Site(kubernetes, namespace, helm_name, tmp_path)
        found.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/warn=restricted")
        yield found
        for name in ("qsm", "second"):
            found.try_helm("uninstall", name)


@pytest.fixture
def elsewhere(site, kubernetes, tmp_path):
    """Another namespace of the same cluster."""
    with kubernetes.namespace("qsm-else") as namespace:
        folder = tmp_path / "elsewhere"
        folder.mkdir()
        found = Site(kubernetes, namespace, site.program, folder)
        yield found
        for name in ("qsm", "second"):
            found.try_helm("uninstall", name)


@pytest.fixture
def previous(tmp_path):
    """The chart as a release before it might have been: an older version, whose custom resources lack what is new."""
    chart = tmp_path / "previous"
    shutil.copytree(CHART, chart)
    about = chart / "Chart.yaml"
    about.write_text(about.read_text().replace("version: 0.1.0", "version: 0.0.9"))
    crd = chart / "templates/crds/qsmjobs.yaml"
    text = crd.read_text()
    column = text[text.index("        - name: Percent\n") : text.index("        - name: Age\n")]
    crd.write_text(text.replace(column, ""))
    return chart


def columns(kubernetes):
    (version,) = kubernetes.get("crd", KINDS[0])["spec"]["versions"]
    return [column["name"] for column in version["additionalPrinterColumns"]]


def uids(site, kind):
    return {item["metadata"]["name"]: item["metadata"]["uid"] for item in site.get(kind)["items"]}


def test_a_life(site, kubernetes, clean, previous):
    # Installed from nothing, under PodSecurity restricted, without a warning; it says which Secret is not there.
    said = site.helm("install", "qsm", chart=previous)
    assert "would violate PodSecurity" not in said
    assert f"MISSING    Secret main-orthanc in namespace {site.namespace}: intake's pod waits for it" in said
    assert "Percent" not in columns(kubernetes)
    site.until(lambda: site.get("deployment", "qsm-operator")["status"].get("availableReplicas") == 1)
    token = site.get("secret", "qsm-hint-token")["data"]
    certificate = site.get("secret", "qsm-hint-tls")["data"]
    pipelines = uids(site, "qsmpipelines")
    assert set(pipelines) == {"fast-v1", "medi0-v1"}
    size = max(len(item["data"]["release"]) for item in site.get("secret", "-l", "owner=helm")["items"])
    assert size < 900_000

    # A job runs with the account and the environment of the Deployment, on the nodes that the values chose.
    with site.operator():
        site.submit("first")
        site.until(lambda: site.state("first") == "Succeeded")
        values = json.loads(json.dumps(VALUES))
        # A slow pipeline, so that jobs run while the release is upgraded.
        slow = site.get("qsmpipeline", "fast-v1")
        slow["metadata"] = {"name": "slow-v1"}
        slow["spec"]["podMetadata"]["annotations"]["fake.qsm-operator.io/run-time"] = "12s"
        site.kubectl("create", "-f", "-", document=slow)
        for number in range(3):
            site.submit(f"under-way-{number}", "slow-v1")
        site.until(lambda: all(site.state(f"under-way-{n}") == "Running" for n in range(3)))
        attempts = uids(site, "jobs")

    # Upgrade to this chart with the jobs running: kinds are renewed, nothing else is touched.
    site.helm("upgrade", "qsm", values=values)
    assert "Percent" in columns(kubernetes)
    assert site.get("secret", "qsm-hint-token")["data"] == token
    assert site.get("secret", "qsm-hint-tls")["data"] == certificate
    assert pipelines.items() <= uids(site, "qsmpipelines").items()
    with site.operator():
        site.until(lambda: all(site.state(f"under-way-{n}") == "Succeeded" for n in range(3)))
    assert uids(site, "jobs") == attempts, "no attempt was started a second time"

    # And back again, and forward.
    site.helm("rollback", "qsm", "1")
    assert "Percent" not in columns(kubernetes)
    assert pipelines.items() <= uids(site, "qsmpipelines").items()
    assert site.state("under-way-0") == "Succeeded"
    assert site.get("secret", "qsm-hint-token")["data"] == token
    site.helm("upgrade", "qsm")

    # Removed: what runs is gone, kinds, jobs and pipelines stay. Installed again, they are taken over.
    site.helm("uninstall", "qsm")
    assert site.names("deployments") == site.names("networkpolicies") == []
    assert site.state("first") == "Succeeded"
    site.helm("install", "qsm")
    assert pipelines.items() <= uids(site, "qsmpipelines").items()

    # Removed for good.
    site.helm("upgrade", "qsm", "--set", "crds.keep=false")
    site.helm("uninstall", "qsm")
    site.until(lambda: not set(KINDS) & set(kubernetes.kubectl("get", "crds", "-o", "name").replace("/", " ").split()))


@pytest.mark.parametrize("helm_name", ["helm"], indirect=True)
def test_with_everything_on_the_api_server_takes_every_object(site, kubernetes, clean):
    """Strictly, and in a restricted namespace: also what the trial, `helm test` and the lifecycle bring."""
    site.helm("install", "qsm")
    foreign = ("--set", "monitoring.podMonitor.enabled=false,monitoring.prometheusRule.enabled=false")
    result = run_helm(
        "template", "all", str(CHART), "-n", site.namespace, "-f", str(EVERYTHING), *foreign,
        "--set", "pipelines.nameSuffix=-all", "--kube-version", "1.36.3", "--api-versions", API,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    for document in parsed(result.stdout):
        if document["kind"] == "CustomResourceDefinition":
            continue
        if document["kind"] == "Pod":
            document["spec"].pop("serviceAccountName", None)  # which a dry run has not made
        options = ["--dry-run=server", "--validate=strict"]
        applied = kubernetes.try_kubectl("apply", *options, "-n", site.namespace, "-f", "-", document=document)
        assert applied.returncode == 0, applied.stderr
        assert "would violate" not in applied.stderr, applied.stderr
        assert "unknown field" not in applied.stderr, applied.stderr


def test_a_new_image_is_published_under_a_new_name(site, clean):
    site.helm("install", "qsm")
    before = uids(site, "qsmpipelines")
    changed = ["--set", f"recon.image.digest={OTHER_DIGEST}"]
    said = site.refused("upgrade", "qsm", *changed)
    assert "QSMPipeline fast-v1" in said
    assert "publish the new ones beside it with --set pipelines.nameSuffix=-r2" in said
    site.helm("upgrade", "qsm", *changed, "--set", "pipelines.nameSuffix=-r2")
    assert set(uids(site, "qsmpipelines")) == {"fast-v1", "fast-v1-r2", "medi0-v1", "medi0-v1-r2"}
    assert before.items() <= uids(site, "qsmpipelines").items()
    assert OTHER_DIGEST in site.get("qsmpipeline", "fast-v1-r2")["spec"]["image"]
    site.helm("rollback", "qsm", "1")
    assert set(uids(site, "qsmpipelines")) == {"fast-v1", "fast-v1-r2", "medi0-v1", "medi0-v1-r2"}


def test_the_example_route_lives_with_the_release(site, clean):
    first = ["--set", "route.enabled=true,route.pipeline=fast-v1"]
    assert "NOT YET" in site.helm("install", "qsm", *first)
    assert "NOT YET" not in site.helm("upgrade", "qsm", *first)
    assert site.names("qsmroutes") == ["everything"]
    site.helm("upgrade", "qsm", "--set", "route.enabled=true,route.pipeline=medi0-v1")
    assert site.get("qsmroute", "everything")["spec"]["pipelines"] == [{"name": "medi0-v1"}]
    site.helm("rollback", "qsm", "2")
    assert site.get("qsmroute", "everything")["spec"]["pipelines"] == [{"name": "fast-v1"}]
    site.helm("upgrade", "qsm")
    assert site.names("qsmroutes") == []


def test_a_second_installation(site, elsewhere, clean):
    site.helm("install", "qsm")
    # The kinds belong to the first.
    said = elsewhere.refused("install", "qsm")
    assert f"qsmjobs.qsm-operator.io is there already and belongs to release {site.namespace}/qsm" in said
    assert "--set crds.enabled=false" in said
    # Beside it, in a namespace of its own, it works.
    elsewhere.helm("install", "qsm", "--set", "crds.enabled=false")
    # A third that would look after all namespaces is told who is there.
    said = site.refused("install", "second", "--set", "crds.enabled=false,scope.kind=Cluster")
    assert f"release {site.namespace}/qsm already has an operator for namespace {site.namespace}" in said
    assert f"release {elsewhere.namespace}/qsm already has an operator" in said
    # And so is one for the same namespace.
    said = site.refused("install", "second", "--set", "crds.enabled=false")
    assert "two would do everything twice" in said
    elsewhere.helm("uninstall", "qsm")
    site.helm("upgrade", "qsm", "--set", "scope.kind=Cluster")
    said = elsewhere.refused("install", "qsm", "--set", "crds.enabled=false,scope.kind=Cluster")
    assert f"release {site.namespace}/qsm already has an operator for all namespaces" in said
    # Only intake and pipelines, for the operator of the first.
    elsewhere.helm("install", "qsm", "--set", "crds.enabled=false,operator.enabled=false")
    assert elsewhere.names("deployments") == ["qsm-intake"]
    assert elsewhere.names("qsmpipelines") == ["fast-v1", "medi0-v1"]


def test_kinds_left_from_an_older_version(site, kubernetes, clean, tmp_path):
    assert "are not in this cluster, and crds.enabled is false" in site.refused(
        "install", "qsm", "--set", "crds.enabled=false"
    )
    older = yaml.safe_load((CRDS / "qsmjobs.yaml").read_text())
    (version,) = older["spec"]["versions"]
    del version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["schedule"]
    for rule in list(version["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"]):
        if "schedule" in rule["rule"]:
            version["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"].remove(rule)
    for name in ("qsmpipelines", "qsmroutes"):
        kubernetes.kubectl("apply", "--server-side", "-f", str(CRDS / f"{name}.yaml"))
    kubernetes.kubectl("apply", "--server-side", "-f", "-", document=older)
    # kubectl wait stumbles over a kind so new that it has no conditions yet.
    site.until(lambda: all(kubernetes.try_kubectl("get", kind, "-A").returncode == 0 for kind in KINDS))

    said = site.refused("install", "qsm", "--set", "crds.enabled=false")
    assert "qsmjobs.qsm-operator.io of this cluster is not that of chart" in said
    assert "kubectl apply --server-side --force-conflicts -f crds/" in said
    assert "qsmroutes" not in said, "those that are up to date are not named"
    assert "was applied by hand" in site.refused("install", "qsm")

    # Either of the two ways that the messages name.
    forced = ["--force-conflicts"] if site.program == "helm" else []
    site.helm("install", "qsm", "--set", "crds.check=false", "--take-ownership", *forced)
    stored = kubernetes.get("crd", KINDS[0])
    assert "schedule" in stored["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    site.helm("uninstall", "qsm")
    kubernetes.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
    site.helm("install", "qsm", "--set", "crds.enabled=false")


def test_a_namespace_of_the_list_that_does_not_exist(site, elsewhere, clean):
    both = f"scope.kind=Namespaces,scope.namespaces={{{site.namespace},%s}}"
    said = site.refused("install", "qsm", "--set", both % "not-there")
    assert "namespace not-there does not exist: create it first" in said
    site.helm("install", "qsm", "--set", both % elsewhere.namespace)
    assert elsewhere.names("qsmpipelines") == ["fast-v1", "medi0-v1"]
    with site.operator():
        elsewhere.submit("there")
        elsewhere.until(lambda: elsewhere.state("there") == "Succeeded")


def test_helm_test_runs_its_pods_and_leaves_nothing(site, kubernetes, clean):
    values = VALUES | {"test": FAKE | {"volume": {"storageClassName": "by-hand", "size": "1Gi"}}}
    with volume_by_hand(kubernetes, site):
        site.helm("install", "qsm", values=values)
        said = site.helm("test", "qsm", "--timeout", "120s")
        assert said.count("Phase:          Succeeded") >= 2
        for kind in ("persistentvolumeclaims", "pods", "roles", "rolebindings", "serviceaccounts", "configmaps"):
            assert not [name for name in site.names(kind) if name.startswith("qsm-test")], kind


@contextlib.contextmanager
def volume_by_hand(kubernetes, site):
    """A volume that a claim of class `by-hand` gets; the cluster for tests makes none by itself."""
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"volume-{site.namespace}"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "by-hand",
            "hostPath": {"path": "/nowhere"},
        },
    }
    kubernetes.kubectl("create", "-f", "-", document=volume)
    try:
        yield
    finally:
        kubernetes.kubectl("delete", "pv", f"volume-{site.namespace}", "--wait=false")


def mounted_account(site, name):
    """A folder as a pod of that account has it, and where the API server is."""
    account = site.folder / "account"
    account.mkdir()
    config = yaml.safe_load(Path(site.kubernetes.cluster("account", site.namespace, name)).read_text())
    (account / "token").write_text(config["users"][0]["user"]["token"])
    cluster = config["clusters"][0]["cluster"]
    (account / "ca.crt").write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    host, _, port = cluster["server"].removeprefix("https://").partition(":")
    return account, host, port


@pytest.mark.parametrize("helm_name", ["helm"], indirect=True)
def test_the_script_of_helm_test(site, kubernetes, clean):
    """What its second pod does: run here with the account it would have, since fake nodes run nothing."""
    hooks = list(yaml.safe_load_all(run_helm(
        "template", "qsm", str(CHART), "-n", site.namespace, "--show-only", "templates/tests/reconstruct.yaml",
        "--set", f"global.imageRegistry=r.example,recon.image.digest={DIGEST},test.volume.existingClaim=images",
    ).stdout))  # fmt: skip
    site.helm("install", "qsm")
    for hook in hooks:
        if hook and hook["kind"] in {"ServiceAccount", "Role", "RoleBinding"}:
            site.kubectl("create", "-f", "-", document=hook)
    (data,) = [hook["data"] for hook in hooks if hook and hook["kind"] == "ConfigMap"]
    assert (
        data["reconstruct.py"].strip()
        == (ROOT / "charts/qsm-operator/files/scripts/reconstruct.py").read_text().strip()
    )
    (site.folder / "reconstruct.py").write_text(data["reconstruct.py"])
    (site.folder / "qsmjob.json").write_text(data["qsmjob.json"])
    account, host, port = mounted_account(site, "qsm-test")

    def run(seconds):
        environment = {
            "QSM_TEST_ACCOUNT": str(account),
            "QSM_TEST_JOB": str(site.folder / "qsmjob.json"),
            "QSM_TEST_SECONDS": str(seconds),
            "KUBERNETES_SERVICE_HOST": host,
            "KUBERNETES_SERVICE_PORT": port,
        }
        return subprocess.run(
            [sys.executable, str(site.folder / "reconstruct.py")],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    # Nobody looks at the job: it says so, and the job stays for a look.
    silent = run(3)
    assert silent.returncode == 1
    assert "the operator has not looked at it yet" in silent.stdout
    (left,) = site.names("qsmjobs")
    site.kubectl("delete", "qsmjob", left)
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "images"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "by-hand",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    with volume_by_hand(kubernetes, site), site.operator():
        site.kubectl("create", "-f", "-", document=claim)
        done = run(100)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Succeeded" in done.stdout
        assert site.names("qsmjobs") == []
    site.kubectl("delete", "rolebinding", "qsm-test")
    refused = run(5)
    assert refused.returncode == 1
    assert "the API server refuses" in refused.stderr
    assert "403" in refused.stderr


@pytest.mark.parametrize("helm_name", ["helm"], indirect=True)
def test_the_script_that_waits_for_the_kinds(site, kubernetes, clean):
    script = ROOT / "charts/qsm-operator/files/scripts/wait_for_kinds.py"
    account, host, port = mounted_account(site, "default")

    def run(port=port, seconds="2"):
        environment = {"QSM_ACCOUNT": str(account), "QSM_WAIT_SECONDS": seconds}
        environment |= {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
        return subprocess.run(
            [sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    absent = run()
    assert absent.returncode == 1
    assert "not served after 2 s: QSMJob, QSMPipeline, QSMRoute" in absent.stderr
    assert "the API server does not answer" in run(port="1").stderr
    kubernetes.kubectl("apply", "--server-side", "-f", str(CRDS))
    # At once, before they are established: that is what it is for.
    assert run(seconds="30").stdout == "all kinds are served\n"
    assert kubernetes.try_kubectl("get", "qsmpipelines", "-n", site.namespace).returncode == 0


@pytest.mark.parametrize("helm_name", ["helm3"], indirect=True)
def test_a_release_of_helm_3_goes_on_with_helm_4(site, clean):
    site.helm("install", "qsm")
    site.helm("upgrade", "qsm")
    pipelines, token = uids(site, "qsmpipelines"), site.get("secret", "qsm-hint-token")["data"]
    site.program = "helm"
    site.helm("upgrade", "qsm", "--set", "operator.settings.workers=4")
    assert uids(site, "qsmpipelines") == pipelines
    assert site.get("secret", "qsm-hint-token")["data"] == token
    (container,) = site.get("deployment", "qsm-operator")["spec"]["template"]["spec"]["containers"]
    assert {"name": "QSM_OPERATOR_WORKERS", "value": "4"} in container["env"]
