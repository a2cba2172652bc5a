"""The API server the examples and the schemas are held against."""

from collections.abc import Iterator

import pytest
import yaml
from kubernetes_for_tests import CRDS, Kubernetes, running_cluster


@pytest.fixture(scope="session")
def kubernetes() -> Iterator[Kubernetes]:
    with running_cluster() as cluster, cluster.custom_resources():
        yield cluster


@pytest.fixture(scope="session")
def namespace(kubernetes: Kubernetes) -> Iterator[str]:
    with kubernetes.namespace("qsm-crds") as name:
        yield name


@pytest.fixture(scope="session")
def schemas() -> dict[str, dict]:
    """Kind to the schema of its only version, as written in crds/."""
    found = {}
    for file in sorted(CRDS.glob("*.yaml")):
        crd = yaml.safe_load(file.read_text())
        (version,) = crd["spec"]["versions"]
        found[crd["spec"]["names"]["kind"]] = version["schema"]["openAPIV3Schema"]
    return found
