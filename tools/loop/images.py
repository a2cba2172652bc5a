"""Our images to where somebody else's nodes find them: a registry, or containerd's own store."""

import json
import os
import re
import shlex
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from tools.loop.places import ROOT
from tools.loop.running import DemoError, call

FOLDER = ROOT / "build/images"
_HOW = (
    "how do the images get to the nodes of this cluster? Either QSM_DEMO_REGISTRY=registry.example/folder (they are "
    "pushed there), or QSM_DEMO_CTR with the command that is `ctr` on a node, one line for each node, such as "
    "'docker exec -i NODE ctr -n k8s.io' or 'ssh NODE sudo ctr -n k8s.io'; docs/demo.md"
)


def built() -> dict[str, Path]:
    """The archives of `make images`."""
    return {name: FOLDER / f"{name}.tar" for name in ("qsm-operator", "qsm-recon")}


def doors_of_nodes(context: str, nodes: list[dict[str, Any]]) -> list[list[str]]:
    """For each node the command that is `ctr` there.

    Raises
    ------
    DemoError
        Nobody said, and it is no cluster that tells.
    """
    said = os.environ.get("QSM_DEMO_CTR", "")
    if said.strip():
        return [shlex.split(line) for line in said.splitlines() if line.strip()]
    if context.startswith("kind-") and shutil.which("docker"):
        names = [node["metadata"]["name"] for node in nodes]  # kind's nodes are containers of that name
        return [["docker", "exec", "-i", name, "ctr", "-n", "k8s.io"] for name in names]
    if len(nodes) == 1 and "+k3s" in nodes[0]["status"]["nodeInfo"]["kubeletVersion"] and shutil.which("k3s"):
        return [["k3s", "ctr", "-n", "k8s.io"]]
    raise DemoError(_HOW)


def _version(name: str) -> str:
    return str(json.loads((FOLDER / "images.json").read_text())[name]["version"])


def into_nodes(archive: Path, name: str, doors: list[list[str]]) -> str:
    """Into containerd of each node, under its name and, as pipelines ask for it, by digest; name with digest."""
    tag = f"localhost/{name}:{_version(name)}"
    for door in doors:
        with archive.open("rb") as stream:
            ran = subprocess.run([*door, "images", "import", "-"], stdin=stream, capture_output=True, check=False)
        if ran.returncode != 0:
            raise DemoError(f"{shlex.join(door)} images import: {ran.stderr.decode(errors='replace')[-1000:]}")
        listed = call(*door, "images", "list", f"name=={tag}")
        digests = re.findall(r"sha256:[0-9a-f]{64}", listed.partition("\n")[2])
        if not digests:
            raise DemoError(f"{shlex.join(door)} took {archive.name}, but does not list {tag}: {listed}")
        by_digest = f"localhost/{name}@{digests[0]}"
        call(*door, "images", "tag", "--force", tag, by_digest)
    return by_digest


def push(archive: Path, reference: str) -> str:
    """To a registry, with what is there for it; name with digest as that registry has it.

    Raises
    ------
    DemoError
        Nothing is there, or the registry refuses.
    """
    version = _version(archive.stem)
    with tarfile.open(archive) as packed:
        kind = "oci-archive" if "oci-layout" in packed.getnames() else "docker-archive"
    with tempfile.TemporaryDirectory() as folder:
        digest = Path(folder) / "digest"
        there = f"docker://{reference}:{version}"
        if shutil.which("skopeo"):
            call("skopeo", "copy", "--digestfile", digest, f"{kind}:{archive}", there)
            return f"{reference}@{digest.read_text().strip()}"
        for program in ("podman", "buildah"):
            if shutil.which(program):
                image = call(program, "pull", "--quiet", f"{kind}:{archive}").split()[-1]
                call(program, "push", "--digestfile", digest, image, there)
                return f"{reference}@{digest.read_text().strip()}"
    if shutil.which("docker"):
        loaded = call("docker", "load", "--quiet", "--input", archive).split()[-1]
        call("docker", "tag", loaded, f"{reference}:{version}")
        said = call("docker", "push", f"{reference}:{version}")
        found = re.search(r"digest: (sha256:[0-9a-f]{64})", said)
        if found:
            return f"{reference}@{found[1]}"
    raise DemoError(f"to push to {reference}: skopeo, podman, buildah or docker is needed")
