"""`make demo` with KUBECONFIG: in a cluster that somebody else started, by kubectl, helm and `ctr` alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from guides_for_tests import ROOT
from orthanc_for_tests import require

pytestmark = pytest.mark.cluster


@pytest.fixture
def demo(kubernetes, tmp_path_factory):
    """`python -m tools.loop VERB`, its state and ports beside those of any other demo; `down` at the end."""
    require("Orthanc", "storescu", Path("/usr/share/orthanc/plugins/libOrthancPython.so"))
    state = Path(f"/tmp/qsm-given-{os.getpid()}")  # noqa: S108 - sockets below it need a short path
    programs = str(Path(kubernetes.kubectl_program).parent)
    socket = Path(kubernetes.kubeconfig).parent / "c/c.sock"
    environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    environment |= {"PATH": f"{programs}:{os.environ['PATH']}", "QSM_DEMO_DIR": str(state), "QSM_DEMO_PORT": "25743"}
    given = {
        "KUBECONFIG": kubernetes.kubeconfig,
        "QSM_DEMO_CTR": f"{programs}/ctr --address {socket} --namespace k8s.io",
        "CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS": "1",
    }

    def run(verb, **more):
        return subprocess.run(
            [sys.executable, "-m", "tools.loop", verb],
            cwd=ROOT,
            env=environment | more,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    yield run, given
    ended = run("down")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert not state.exists()


def test_a_scan_comes_back_and_nothing_stays(kubernetes, images, demo):
    run, given = demo
    before = set(kubernetes.kubectl("get", "crds,clusterroles,clusterrolebindings,namespaces", "-o", "name").split())
    assert run("whose", **given).stdout == "given\n"
    told = run("up", **given)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "series are in the PACS" in told.stdout
    labels = kubernetes.get("namespace", "qsm-demo")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    times = json.loads((ROOT / "demo-out/loop/times.json").read_text())
    assert times["stages"]
    assert max(times["story"].values()) < 120
    # Without KUBECONFIG: it is remembered where the demo is.
    ended = run("down")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    after = set(kubernetes.kubectl("get", "crds,clusterroles,clusterrolebindings,namespaces", "-o", "name").split())
    assert after == before, "kinds that were there before stay, all else goes"


def test_it_leaves_a_namespace_alone_that_it_did_not_make(kubernetes, demo):
    run, given = demo
    kubernetes.kubectl("create", "namespace", "qsm-demo")
    try:
        told = run("up", **given)
        assert told.returncode == 1
        assert "namespace qsm-demo is there already, and the demo did not make it" in told.stderr
        assert run("down").returncode == 0
        assert kubernetes.try_kubectl("get", "namespace", "qsm-demo").returncode == 0
    finally:
        kubernetes.kubectl("delete", "namespace", "qsm-demo")


def test_it_asks_how_images_get_there(demo):
    run, given = demo
    told = run("up", **given | {"QSM_DEMO_CTR": ""})
    assert told.returncode == 1
    assert "QSM_DEMO_REGISTRY" in told.stderr
    assert "QSM_DEMO_CTR" in told.stderr
