"""Helm, and what the chart renders with it."""

import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/qsm-operator"
EVERYTHING = CHART / "ci/everything-values.yaml"
REGISTRY = "global.imageRegistry=registry.example/qsm"
DIGEST = f"sha256:{'1' * 64}"
API = "qsm-operator.io/v1alpha1/QSMPipeline,qsm-operator.io/v1alpha1/QSMRoute"
"""For --api-versions: as if the custom resources were in the cluster."""
FAKE_NODES = "{nodeSelector: {type: fake}, tolerations: [{key: kwok.x-k8s.io/node, operator: Exists}]}"


def helm_programs() -> dict[str, str]:
    """Helm 4 and 3: those built for the tests, else what is on the PATH."""
    built = subprocess.run([ROOT / "tests/cluster/build", "--where"], capture_output=True, text=True, check=False)
    if built.returncode == 0:
        return {name: f"{built.stdout.strip()}/{name}" for name in ("helm", "helm3")}
    found = shutil.which("helm")
    return {"helm": found} if found else {}


PROGRAMS = helm_programs()


def run_helm(*arguments: str, program: str = "helm", text: str | None = None) -> subprocess.CompletedProcess[str]:
    """One call. Skips where that Helm is not here, and fails instead where tests may not skip."""
    if program not in PROGRAMS:
        reason = f"{program} is not here: make cluster-tools builds it"
        if os.environ.get("QSM_E2E_REQUIRED") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return subprocess.run(
        [PROGRAMS[program], *arguments], capture_output=True, text=True, check=False, timeout=300, input=text
    )


def template(*options: str, program: str = "helm", namespace: str = "site", chart: Path = CHART, name: str = "qsm"):
    """`helm template` as for a cluster of a version that is new enough."""
    version = [] if "--kube-version" in options else ["--kube-version", "1.36.3"]
    return run_helm("template", name, str(chart), "-n", namespace, *version, *options, program=program)


def parsed(text: str) -> list[dict[str, Any]]:
    """The documents of a stream of YAML."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as quick, where libyaml is there
    return [document for document in yaml.load_all(text, loader) if document]


@functools.lru_cache(maxsize=64)
def rendered(*options: str, program: str = "helm", with_crds: bool = False) -> tuple[dict[str, Any], ...]:
    """Every object that `helm template` makes of the options, in namespace `site`."""
    without = () if with_crds else ("--set", "crds.enabled=false")
    result = template(*options, *without, program=program)
    assert result.returncode == 0, result.stderr
    return tuple(parsed(result.stdout))


def sets(*values: str) -> list[str]:
    """Options for single values, the registry among them."""
    return [part for value in (REGISTRY, *values) for part in ("--set", value)]


def of_kind(documents, kind: str, name: str | None = None) -> list[dict[str, Any]]:
    return [d for d in documents if d["kind"] == kind and name in (None, d["metadata"]["name"])]


def one(documents, kind: str, name: str) -> dict[str, Any]:
    (found,) = of_kind(documents, kind, name)
    return found


def pods(documents) -> dict[str, dict[str, Any]]:
    """Every pod there is or will be: name to its template (metadata, spec)."""
    found = {}
    for document in documents:
        key = f"{document['kind']}/{document['metadata']['name']}"
        if document["kind"] == "Pod":
            found[key] = document
        elif document["kind"] in {"Deployment", "Job"}:
            found[key] = document["spec"]["template"]
    return found
