"""Wrong values: refused before anything is created, with a sentence that says what to do."""

import copy
import json

import jsonschema
import pytest
import yaml
from helm_for_tests import CHART, DIGEST, EVERYTHING, REGISTRY, sets, template

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
THEIRS = {"global", "annotations", "affinity", "podSecurityContext", "securityContext", "nodeSelector", "labels"}
"""Parts whose keys are Kubernetes' or the site's. `global` is shared with other charts."""
MAPS = {"commonLabels", "podLabels", "podAnnotations", "overrides", "modalities", "requests", "limits"}


def parts(values, path=()):
    yield path
    for key, value in values.items():
        if isinstance(value, dict) and key not in THEIRS | MAPS:
            yield from parts(value, (*path, key))


def test_the_schema_is_one_and_takes_the_values_as_they_are():
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(VALUES, SCHEMA)
    jsonschema.validate(yaml.safe_load(EVERYTHING.read_text()), SCHEMA)


@pytest.mark.parametrize("path", list(parts(VALUES)), ids=lambda path: ".".join(path) or "top")
def test_a_misspelt_key_is_refused_everywhere(path):
    values = copy.deepcopy(VALUES)
    part = values
    for key in path:
        part = part[key]
    part["mispelt"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values, SCHEMA)


def test_every_value_is_in_the_schema_with_a_type():
    def properties(schema):
        return SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema

    def check(values, schema, path):
        for key, value in values.items():
            found = properties(properties(schema)["properties"][key])
            assert {"type", "enum"} & set(found), path + key
            if isinstance(value, dict) and "properties" in found:
                check(value, found, f"{path}{key}.")

    check(VALUES, SCHEMA, "")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("operatr.replicas=2", "'operatr' not allowed"),
        ("operator.settings.worker=2", "'worker' not allowed"),
        ("scope.kind=cluster", "one of 'Namespace', 'Namespaces', 'Cluster'"),
        ("operator.settings.jobTtlSeconds=60", "minimum"),
        ("operator.settings.workers=many", "want integer"),
        ("operator.image.digest=sha256:12", "does not match pattern"),
        ("operator.image.tag=latest", "/operator/image/tag"),
        ("pipelines.nameSuffix=2", "/pipelines/nameSuffix"),
        ("pipelines.interimData.uri=http://x", "/pipelines/interimData/uri"),
        ("monitoring.runbookUrlPrefix=wiki", "/monitoring/runbookUrlPrefix"),
        ("networkPolicy.apiServer.cidrs={10.0.0.1}", "/networkPolicy/apiServer/cidrs/0"),
    ],
)
def test_helm_names_the_value_that_is_wrong(value, said, helm_name):
    result = template(*sets(value), program=helm_name)
    assert result.returncode != 0
    assert said in result.stderr


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["operator.replicas=2"], "also set operator.leaderElection.enabled=true"),
        (["scope.kind=Namespaces"], "name them in scope.namespaces"),
        (["scope.namespaces={a}"], "set scope.kind=Namespaces, or leave the list empty"),
        (["intake.enabled=true"], "intake.enabled needs intake.connections"),
        (
            ["intake.enabled=true", "intake.connections={a}", "intake.namespace=other"],
            "namespace other, which the operator does not look after (site)",
        ),
        (["route.enabled=true"], "route.enabled needs route.connection"),
        (["pipelines.interimData.connection=a"], "needs both connection"),
        (["pipelines.names={medi9}"], "there is no recipe medi9; there are best-v1, chla-v1, fast-v1, medi0-v1"),
        (["pipelines.overrides.medi9.retryLimit=1"], "no such pipeline in pipelines.names"),
        (["pipelines.overrides.fast-v1.recipe=x"], "write a QSMPipeline of your own"),
        ([f"recon.gpuImage.digest={DIGEST}"], "needs recon.image.digest too"),
        (["store.lifecycle.enabled=true"], "needs recon.image.digest"),
        (["store.lifecycle.enabled=true"], "needs connection and uri"),
        (["monitoring.podMonitor.enabled=true", "monitoring.serviceMonitor.enabled=true"], "choose one of podMonitor"),
        (["trial.orthanc.enabled=true"], "trial.orthanc.enabled needs trial.orthanc.image"),
        (["trial.s3.enabled=true", "trial.s3.image=r.example/minio:latest"], "ends with :latest"),
        (
            ["operator.extraEnv[0].name=QSM_OPERATOR_WORKERS", "operator.extraEnv[0].value=3"],
            "write it under operator.settings",
        ),
        (
            ["intake.enabled=true", "intake.connections={a}", "intake.hint.tls.certManager.enabled=true"],
            "needs issuerRef.name",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_missing_is_said_in_a_sentence(values, said):
    result = template(*sets(*values))
    assert result.returncode != 0
    assert said in result.stderr


def test_all_that_is_wrong_is_said_at_once():
    result = template("--set", "operator.replicas=2,intake.enabled=true,scope.kind=Namespaces")
    for said in ("where are the images?", "leaderElection", "intake.connections", "scope.namespaces"):
        assert said in result.stderr


def test_no_image_comes_from_a_registry_nobody_chose():
    result = template()
    assert "Set global.imageRegistry to the registry you pushed them to" in result.stderr
    result = template("--set", f"operator.image.registry=a.example,recon.image.digest={DIGEST}")
    assert "one by one, recon.image.registry" in result.stderr


def test_a_cluster_that_is_too_old_is_refused(helm_name):
    result = template("--set", REGISTRY, "--kube-version", "1.30.4", program=helm_name)
    assert result.returncode != 0
    assert "requires kubeVersion: >=1.31.0-0 which is incompatible with Kubernetes v1.30.4" in result.stderr
