"""The QSMJobs that routes make are what a real API server takes, once."""

import pytest
import yaml
from kubernetes_for_tests import EXAMPLES

from qsm_operator.routes.matching import Route
from qsm_operator.routes.orders import linked, manifests

pytestmark = pytest.mark.cluster

FILES = sorted((EXAMPLES / "routes").glob("*.yaml"))
SERIES = ("1.2.840.113619.2.55.1", "1.2.840.113619.2.55.2")


def orders(file, namespace, images=48):
    body = yaml.safe_load(file.read_text())
    body["metadata"]["namespace"] = namespace
    return manifests(SERIES, [f"1.2.3.{n}" for n in range(images)], [Route.from_resource(body)], "main-orthanc")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_jobs_of_every_example_route_are_accepted(kubernetes, namespace, file):
    for manifest in orders(file, namespace):
        answer = kubernetes.try_kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", document=manifest)
        assert answer.returncode == 0, answer.stderr
        assert "Warning" not in answer.stderr


def test_a_second_one_of_the_same_name_is_a_conflict_and_changed_images_are_linked(kubernetes, namespace):
    (first,) = orders(EXAMPLES / "routes/everything.yaml", namespace)
    kubernetes.kubectl("create", "-f", "-", document=first)
    again = kubernetes.try_kubectl("create", "-f", "-", document=first)
    assert again.returncode != 0
    assert "AlreadyExists" in again.stderr
    found = kubernetes.get("-n", namespace, "qsmjobs", "-l", "qsm-operator.io/route=everything")["items"]
    (second,) = (linked(one, found) for one in orders(EXAMPLES / "routes/everything.yaml", namespace, images=49))
    kubernetes.kubectl("create", "-f", "-", document=second)
    made = kubernetes.get("-n", namespace, "qsmjob", second["metadata"]["name"])
    assert made["metadata"]["annotations"]["qsm-operator.io/supersedes"] == first["metadata"]["name"]
    assert made["spec"]["source"]["orthanc"]["instances"]["count"] == 49


def test_the_schema_and_the_routes_agree_on_what_a_route_may_ask(kubernetes, namespace):
    """What the API server lets through about matching, the program understands (but for keywords nobody knows)."""
    for file in FILES:
        answer = kubernetes.kubectl("create", "-n", namespace, "--dry-run=server", "-o", "json", "-f", str(file))
        assert Route.from_resource(yaml.safe_load(answer)).name == file.stem
