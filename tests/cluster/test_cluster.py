"""The test cluster itself, from nothing to nothing, on ports and in a folder of its own."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from kubernetes_for_tests import _MISSING_PREREQUISITE, _cannot

pytestmark = pytest.mark.cluster

CLUSTER = Path(__file__).with_name("cluster")
STATE = Path(f"/tmp/qsm-cycle-{os.getuid()}")  # noqa: S108 - sockets need a short path; the folder is made with mode 700
BRIDGE = Path("/sys/class/net/qsm-test0")


def another_kubernetes_is_here():
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=False).stdout
    return "KUBE-" in rules and not BRIDGE.exists()


WITH_NODE = (
    os.getuid() == 0
    and shutil.which("runc") is not None
    and shutil.which("iptables-save") is not None
    and not another_kubernetes_is_here()
)
needs_node = pytest.mark.skipif(
    not WITH_NODE, reason="a real node needs root, runc, iptables, and no other Kubernetes here"
)


def cluster(*arguments, **environment):
    return subprocess.run(
        [CLUSTER, *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"QSM_CLUSTER_DIR": str(STATE), "QSM_CLUSTER_PORT": "27443"} | environment,
    )


def kubectl(*arguments):
    result = cluster("kubectl", *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def pod(name, arguments, *, image, fake, annotations=None):
    """A pod as PodSecurity "restricted" wants it, created and waited for until it has ended."""
    container = {
        "name": "main",
        "image": image,
        "args": arguments,
        "resources": {"limits": {"memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    spec = {
        "restartPolicy": "Never",
        "nodeSelector": {"type": "fake" if fake else "real"},
        "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    metadata = {"name": name, "namespace": "cycle", "annotations": annotations or {}}
    file = STATE / f"{name}.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}))
    kubectl("create", "-f", str(file))
    for _ in range(150):
        status = json.loads(kubectl("get", "pod", "-n", "cycle", name, "-o", "json"))["status"]
        if status["phase"] in ("Succeeded", "Failed"):
            return status["phase"], status["containerStatuses"][0]["state"]["terminated"]
        time.sleep(0.2)
    raise AssertionError(status)


@pytest.fixture(scope="module")
def running():
    assert cluster("down").returncode == 0  # what a run of these tests that was cut off has left
    try:
        started = cluster("up", *(["--node"] if WITH_NODE else []))
        if started.returncode == _MISSING_PREREQUISITE:
            _cannot(started.stderr.strip())
        assert started.returncode == 0, started.stderr
        kubectl("create", "namespace", "cycle")
        kubectl("label", "namespace", "cycle", "pod-security.kubernetes.io/enforce=restricted")
        yield
    finally:
        # Whatever went wrong: a kubelet that stays would end the pods of every other test of this machine.
        stopped = cluster("down")
    assert stopped.returncode == 0, stopped.stderr
    assert not STATE.exists()
    mounts = Path("/proc/mounts").read_text()
    assert str(STATE) not in mounts
    assert processes() == []
    if WITH_NODE:
        assert "KUBE-" not in subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout
        assert "qsm-test0" not in subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout


def processes():
    """Command lines that speak of our state folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended meanwhile
        if any(str(STATE).encode() in word for word in words):
            found.append(b" ".join(words))
    return found


def test_says_what_runs(running):
    result = cluster("status")
    assert result.returncode == 0, result.stdout
    assert "apiserver            runs" in result.stdout
    assert "STOPPED" not in result.stdout


def test_up_again_changes_nothing(running):
    before = cluster("status").stdout
    assert cluster("up").returncode == 0
    assert cluster("status").stdout == before


def test_fake_nodes_offer_gpus(running):
    nodes = json.loads(kubectl("get", "nodes", "-l", "type=fake", "-o", "json"))["items"]
    offered = sorted(node["status"]["allocatable"].get("nvidia.com/gpu", "0") for node in nodes)
    assert offered == ["0", "0", "2", "2"]


def test_a_fake_pod_ends_as_its_annotations_say(running):
    notes = {"exit-code": "65", "message": '{"reason": "NoPhase"}', "run-time": "100ms"}
    annotations = {f"fake.qsm-operator.io/{name}": value for name, value in notes.items()}
    phase, terminated = pod("fake", [], image="localhost/none", fake=True, annotations=annotations)
    assert (phase, terminated["exitCode"], terminated["message"]) == ("Failed", 65, '{"reason": "NoPhase"}')


@needs_node
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--after", "100ms", "--message", "done"], ("Succeeded", 0, "Completed", "done")),
        (["--after", "100ms", "--exit", "65", "--message", "no phase"], ("Failed", 65, "Error", "no phase")),
        (["--memory", "200", "--after", "20s"], ("Failed", 137, "OOMKilled", None)),
    ],
    ids=["succeeds", "fails", "out-of-memory"],
)
def test_a_real_pod(running, request, arguments, expected):
    image = cluster("standin").stdout.strip()
    phase, terminated = pod(f"real-{request.node.callspec.id}", arguments, image=image, fake=False)
    assert (phase, terminated["exitCode"], terminated["reason"], terminated.get("message")) == expected


def test_pod_security_and_rbac_are_on(running):
    refused = cluster("kubectl", "run", "root", "-n", "cycle", "--image=localhost/none")
    assert 'violates PodSecurity "restricted' in refused.stderr
    kubectl("create", "serviceaccount", "nobody", "-n", "cycle")
    account = cluster("account", "cycle", "nobody").stdout.strip()
    answer = cluster("kubectl", f"--kubeconfig={account}", "get", "pods", "-n", "cycle")
    assert "cannot list resource" in answer.stderr


def test_survives_the_end_of_its_api_server(running):
    assert cluster("stop-apiserver").returncode == 0
    assert "apiserver            STOPPED" in cluster("status").stdout
    assert cluster("start-apiserver").returncode == 0
    assert cluster("restart-apiserver").returncode == 0
    assert cluster("status").returncode == 0
    kubectl("get", "namespace", "cycle")


def test_objects_are_kept_when_asked(running):
    assert cluster("down", "--keep").returncode == 0
    assert processes() == []
    assert cluster("up").returncode == 0
    kubectl("get", "namespace", "cycle")


def test_takes_no_port_of_another_program(running):
    result = cluster("up", QSM_CLUSTER_DIR=f"{STATE}-other")
    assert result.returncode == 1
    assert re.search("port 2744[34] is taken by another program; set QSM_CLUSTER_PORT", result.stderr)


@needs_node
def test_no_second_node_beside_a_living_one(running):
    result = cluster("up", "--node", QSM_CLUSTER_DIR=f"{STATE}-b", QSM_CLUSTER_PORT="27543")
    assert result.returncode == 1
    assert f"has a real node already, with its state in {STATE};" in result.stderr
    assert cluster("status").returncode == 0
    assert cluster("down", QSM_CLUSTER_DIR=f"{STATE}-b").returncode == 0


def cut_off():
    """Everything of the cluster killed at once, as when the session that started it ends."""
    for program in (STATE / "run").iterdir():
        os.kill(int((program / "pid").read_text()), signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(str(STATE).encode() in line and b"containerd-shim" not in line for line in processes()):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_begins_anew_after_it_was_cut_off(running):
    kubectl("create", "namespace", "from-before")
    cut_off()
    result = cluster("up", *(["--node"] if WITH_NODE else []))
    assert result.returncode == 0, result.stderr
    assert "was cut off" in result.stderr
    assert "from-before" not in kubectl("get", "namespaces", "-o", "name")


@needs_node
def test_takes_away_the_node_of_a_cluster_that_was_cut_off(running):
    other = {"QSM_CLUSTER_DIR": f"{STATE}-b", "QSM_CLUSTER_PORT": "27543"}
    cut_off()
    try:
        result = cluster("up", "--node", **other)
        assert result.returncode == 0, result.stderr
        assert f"taking away what a real node in {STATE} left" in result.stderr
        assert (BRIDGE / "ifalias").read_text().strip() == f"{STATE}-b"
    finally:
        stopped = cluster("down", **other)
    assert stopped.returncode == 0, stopped.stderr
    assert not BRIDGE.exists()


@pytest.mark.parametrize("folder", ["relative", f"{STATE}-{50 * 'x'}"])
def test_says_what_is_wrong_with_the_state_folder(folder):
    result = cluster("up", QSM_CLUSTER_DIR=folder)
    assert result.returncode == 1
    assert "QSM_CLUSTER_DIR" in result.stderr


def test_says_that_go_is_missing(tmp_path):
    nowhere = {"QSM_GO_CACHE": str(tmp_path / "go"), "PIP_NO_INDEX": "1"}  # and it cannot be had as a wheel
    result = cluster("up", QSM_CLUSTER_CACHE=str(tmp_path), PATH="/usr/bin:/bin", **nowhere)
    assert result.returncode == _MISSING_PREREQUISITE
    assert re.search(r"Go 1\.26\S* or newer is needed: install it", result.stderr)
