"""The Kubernetes of the demo: one of our own, or the one that KUBECONFIG names."""

import json
import os
import shutil
import socket
import subprocess
from functools import cached_property
from pathlib import Path
from typing import Any

from tools.loop import images
from tools.loop.places import ROOT, Places
from tools.loop.running import DemoError, call

_CLUSTER = ROOT / "tests/cluster/cluster"
_KINDS = ("qsmjobs", "qsmpipelines", "qsmroutes")
_MARK = "qsm-operator.io/demo"
"""Label of the namespace that is ours in somebody else's cluster."""


class OwnCluster:
    """Control plane and one real node on this machine, by tests/cluster; it ends with the demo."""

    namespace = "qsm"

    def __init__(self, places: Places) -> None:
        self.places = places

    def is_there(self) -> bool:
        """Whether it was started and not ended."""
        return Path(self.places.cluster_environment["QSM_CLUSTER_DIR"]).exists()

    def start(self) -> None:
        """Control plane and one real node."""
        self._verb("up", "--node")

    @property
    def host(self) -> str:
        """Address of this machine as pods see it."""
        return f"{self.places.subnet}.1"

    @property
    def node(self) -> str:
        """Address at which this machine reaches the ports of Services."""
        return self.host

    @cached_property
    def kubeconfig(self) -> str:
        """The administrator's."""
        return self._verb("kubeconfig").strip()

    def program(self, name: str) -> str:
        """Path of kubectl or helm."""
        return f"{self._bin}/{name}"

    def bring(self, archives: dict[str, Path]) -> dict[str, str]:
        """Images into the node; name with digest of each."""
        return {name: self._verb("import", archive).strip() for name, archive in archives.items()}

    def bring_kinds(self) -> None:
        """The custom resources, before the objects of these kinds: one `helm upgrade --install` is enough then."""
        _apply_kinds(self)

    def down(self) -> None:
        """It ends, and all that is in it."""
        self._verb("down")

    @cached_property
    def _bin(self) -> str:
        return self._verb("bin").strip()

    def _verb(self, *arguments: str | Path) -> str:
        return call(_CLUSTER, *arguments, environment=self.places.cluster_environment)


class GivenCluster:
    """Somebody else's. The demo lives in one namespace, which goes with `down`; so do the kinds, if it brought them."""

    namespace = "qsm-demo"

    def __init__(self, places: Places) -> None:
        self.places = places
        self._pinned = places.state / "kubeconfig"
        self._kinds_are_ours = places.state / "kinds-are-ours"

    def start(self) -> None:
        """Look whether it can be used. From here on its present context counts, whatever KUBECONFIG becomes.

        Raises
        ------
        DemoError
            What is missing here, or what it says.
        """
        pinned = call(self.program("kubectl"), "config", "view", "--raw", "--flatten", "--minify")
        self._pinned.touch(mode=0o600)
        self._pinned.write_text(pinned)
        try:
            call(self.program("helm"), "version")
            self.kubectl("get", "--raw", "/readyz")
            print(f" its node {self.node}, this machine {self.host}", end="", flush=True)
            if not os.environ.get("QSM_DEMO_REGISTRY"):
                self._doors()
            self._claim_namespace()
        except DemoError:
            self._pinned.unlink()
            raise

    @cached_property
    def host(self) -> str:
        """Address of this machine as pods see it: that from which it speaks to a node, where nobody says another."""
        said = os.environ.get("QSM_DEMO_HOST")
        if said:
            return said
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unsent:  # connects without a packet
            unsent.connect((self.node, 9))
            return str(unsent.getsockname()[0])

    @cached_property
    def node(self) -> str:
        """Address at which this machine reaches the ports of Services.

        Raises
        ------
        DemoError
            No node tells one.
        """
        addresses = [
            str(address["address"])
            for node in self._get("nodes")["items"]
            if not node["spec"].get("unschedulable") and not node["spec"].get("taints")
            for address in node["status"]["addresses"]
            if address["type"] == "InternalIP" and "." in address["address"]
        ]
        if not addresses:
            raise DemoError("no node of this cluster takes pods without a toleration and tells an InternalIP (IPv4)")
        return addresses[0]

    @property
    def kubeconfig(self) -> str:
        """The context that was current when the demo began."""
        return str(self._pinned)

    def program(self, name: str) -> str:
        """Path of kubectl or helm, the one on the PATH first.

        Raises
        ------
        DemoError
            It is not installed.
        """
        found = shutil.which(name)
        if found:
            return found
        built = subprocess.run([ROOT / "tests/cluster/build", "--where"], capture_output=True, text=True, check=False)
        if built.returncode == 0:
            return f"{built.stdout.strip()}/{name}"
        raise DemoError(
            f"KUBECONFIG is set, and {name} is not on the PATH: install it (or `make cluster-tools` builds it)"
        )

    def kubectl(self, *arguments: str) -> str:
        """As the user whom the kubeconfig names."""
        return call(self.program("kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments)

    def bring(self, archives: dict[str, Path]) -> dict[str, str]:
        """Images to where the nodes find them; name with digest of each."""
        registry = os.environ.get("QSM_DEMO_REGISTRY")
        if registry:
            return {name: images.push(archive, f"{registry}/{name}") for name, archive in archives.items()}
        return {name: images.into_nodes(archive, name, self._doors()) for name, archive in archives.items()}

    def _doors(self) -> list[list[str]]:
        return images.doors_of_nodes(self.kubectl("config", "current-context").strip(), self._get("nodes")["items"])

    def _claim_namespace(self) -> None:
        there = self._get("namespaces", "--field-selector", f"metadata.name={self.namespace}")["items"]
        if there and _MARK not in there[0]["metadata"].get("labels", {}):
            raise DemoError(f"namespace {self.namespace} is there already, and the demo did not make it")
        if not there:
            self.kubectl("create", "namespace", self.namespace)
        self.kubectl("label", "namespace", self.namespace, f"{_MARK}=true", "--overwrite")

    def bring_kinds(self) -> None:
        """The custom resources; those of another installation stay, and the chart says if they do not fit."""
        there = self._get("customresourcedefinitions")["items"]
        if any(item["metadata"]["name"] == f"{_KINDS[0]}.qsm-operator.io" for item in there):
            if not self._kinds_are_ours.exists():
                return
        else:
            self._kinds_are_ours.touch()
        _apply_kinds(self)

    def down(self) -> None:
        """Our namespace goes, and the kinds if the demo brought them and nobody else uses them by now."""
        if not self._pinned.exists():
            return
        try:
            self.kubectl("get", "--raw", "/readyz", "--request-timeout=20s")
        except DemoError:
            print(f"   the cluster does not answer; if it still exists, namespace {self.namespace} stays in it")
            return
        mine = self._get("namespaces", "-l", _MARK)["items"]
        if mine:
            if self._kinds_there():
                self.kubectl("-n", self.namespace, "delete", "qsmjobs", "--all", "--timeout=60s")
            helm = (self.program("helm"), "uninstall", "qsm", "-n", self.namespace, "--ignore-not-found")
            call(*helm, "--kubeconfig", self.kubeconfig)
            self.kubectl("delete", "namespace", self.namespace, "--timeout=180s")
        if self._kinds_are_ours.exists() and self._kinds_there():
            left = [item for kind in _KINDS for item in self._get(kind, "-A")["items"]]
            if left:
                print(f"   the custom resources stay: {len(left)} objects of other namespaces use them by now")
            else:
                self.kubectl("delete", "--ignore-not-found", "-f", str(ROOT / "crds"))

    def _kinds_there(self) -> bool:
        return "qsmjobs" in self.kubectl("api-resources", "--api-group=qsm-operator.io", "-o", "name", "--cached=false")

    def _get(self, *what: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", *what, "-o", "json"))
        return found


Cluster = OwnCluster | GivenCluster


def the_cluster(places: Places) -> Cluster:
    """That of the demo which is up; where none is, what KUBECONFIG says."""
    if (places.state / "kubeconfig").exists():
        return GivenCluster(places)
    own = OwnCluster(places)
    if not own.is_there() and os.environ.get("KUBECONFIG"):
        return GivenCluster(places)
    return own


def _apply_kinds(cluster: Cluster) -> None:
    kubectl = (cluster.program("kubectl"), f"--kubeconfig={cluster.kubeconfig}")
    call(*kubectl, "apply", "--server-side", "--force-conflicts", "-f", ROOT / "crds")
    call(*kubectl, "wait", "--for=condition=Established", "--timeout=60s", "-f", ROOT / "crds")
