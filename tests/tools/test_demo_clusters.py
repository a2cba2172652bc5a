"""Whose cluster the demo uses, and how its images get to the nodes of one that is not its own."""

import shutil

import pytest

from tools.loop import images
from tools.loop.clusters import GivenCluster, OwnCluster, the_cluster
from tools.loop.places import Places
from tools.loop.running import DemoError


def node(name="one", version="v1.36.3"):
    return {"metadata": {"name": name}, "status": {"nodeInfo": {"kubeletVersion": version}}}


@pytest.fixture(autouse=True)
def programs(monkeypatch):
    """Docker and k3s are there, or seem to be."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.delenv("QSM_DEMO_CTR", raising=False)
    monkeypatch.delenv("KUBECONFIG", raising=False)


def test_kinds_nodes_are_containers():
    doors = images.doors_of_nodes("kind-trial", [node("trial-control-plane"), node("trial-worker")])
    assert doors == [
        ["docker", "exec", "-i", name, "ctr", "-n", "k8s.io"] for name in ("trial-control-plane", "trial-worker")
    ]


def test_k3s_on_this_machine():
    assert images.doors_of_nodes("default", [node(version="v1.33.1+k3s1")]) == [["k3s", "ctr", "-n", "k8s.io"]]
    with pytest.raises(DemoError, match="QSM_DEMO_REGISTRY"):
        images.doors_of_nodes("default", [node(version="v1.33.1+k3s1"), node(version="v1.33.1+k3s1")])


def test_what_was_said_comes_first(monkeypatch):
    monkeypatch.setenv("QSM_DEMO_CTR", "ssh a sudo ctr -n k8s.io\n\nssh b sudo ctr -n k8s.io\n")
    doors = images.doors_of_nodes("kind-trial", [node()])
    assert [door[:2] for door in doors] == [["ssh", "a"], ["ssh", "b"]]


def test_nobody_knows_how():
    with pytest.raises(DemoError, match="QSM_DEMO_CTR"):
        images.doors_of_nodes("hospital", [node()])


def test_whose_cluster_it_is(monkeypatch, tmp_path):
    places = Places(state=tmp_path / "demo")
    assert isinstance(the_cluster(places), OwnCluster)
    monkeypatch.setenv("KUBECONFIG", "/somewhere")
    assert isinstance(the_cluster(places), GivenCluster)
    # One of its own is up: that goes on.
    (tmp_path / "demo-k").mkdir()
    assert isinstance(the_cluster(places), OwnCluster)
    # Up in somebody else's: remembered without KUBECONFIG.
    monkeypatch.delenv("KUBECONFIG")
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo/kubeconfig").touch()
    assert isinstance(the_cluster(places), GivenCluster)
