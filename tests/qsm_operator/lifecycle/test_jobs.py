"""The Job manifest: what a restricted namespace asks of it, what it must never tell, what the pipeline says."""

import json

import pytest

from qsm_operator.lifecycle.jobs import job_manifest, job_name
from qsm_operator.resources.custom import Attempt, Pipeline, QSMJob
from qsm_operator.settings import Settings

UID = "1.2.840.1.2.3.4.5"


def build(world, backend="CPU", memory="8Gi", pipeline=None, **spec):
    w = world(pipeline=pipeline, **spec)
    attempt = Attempt(2, job_name("scan", 2), backend=backend, image="localhost/x@sha256:0", memoryLimit=memory)
    return job_manifest(QSMJob.from_body(w.body), w.pipeline, attempt, Settings())


def pod(manifest):
    return manifest["spec"]["template"]["spec"]


def test_passes_pod_security_restricted(world):
    spec = pod(build(world, pipeline={"securityContext": {"runAsUser": 1000, "fsGroup": 4000}}))
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["securityContext"]["fsGroup"] == 4000
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert {next(iter(set(volume) - {"name"})) for volume in spec["volumes"]} <= {
        "emptyDir",
        "secret",
        "persistentVolumeClaim",
    }
    assert spec["automountServiceAccountToken"] is False


def test_one_pod_at_a_time_and_an_end(world):
    spec = build(world, activeDeadlineSeconds=600)["spec"]
    assert (spec["backoffLimit"], spec["podReplacementPolicy"]) == (0, "Failed")
    assert spec["template"]["spec"]["activeDeadlineSeconds"] == 600
    assert spec["activeDeadlineSeconds"] > 600
    assert spec["ttlSecondsAfterFinished"] >= 3600
    assert pod({"spec": spec})["restartPolicy"] == "Never"


def test_policy_of_exit_codes(world):
    first, second = build(world)["spec"]["podFailurePolicy"]["rules"]
    assert first["action"] == "Ignore"
    assert second["action"] == "FailJob"
    assert 75 not in second["onExitCodes"]["values"]
    assert {65, 70, 78} <= set(second["onExitCodes"]["values"])


def test_belongs_to_its_qsmjob(world):
    metadata = build(world)["metadata"]
    (owner,) = metadata["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == ("q-1", True)
    assert metadata["name"] == "scan-a2"


def test_tells_no_uid_but_in_the_request(world):
    manifest = build(world)
    request = pod(manifest)["containers"][0]["env"][0].pop("value")
    assert UID in request
    assert UID not in json.dumps(manifest)


def test_the_request_is_the_contract(world):
    manifest = build(world, parameters=[{"name": "inversion.data_weight", "value": "3e2"}])
    request = json.loads(pod(manifest)["containers"][0]["env"][0]["value"])
    assert request["version"] == 1
    assert request["source"] == {
        "orthanc": {"seriesInstanceUIDs": [UID], "connection": "/var/run/qsm/connections/main"}
    }
    assert request["destinations"] == [{"name": "source", "orthanc": {"connection": "/var/run/qsm/connections/main"}}]
    assert request["pipeline"]["recipe"] == {"inversion": {"method": "medi"}}
    assert request["pipeline"]["parameters"] == [{"name": "inversion.data_weight", "value": "3e2"}]
    assert request["device"] == "cpu"
    assert request["job"] == {"namespace": "mri", "name": "scan", "uid": "q-1", "attempt": 2}


def test_the_same_twice_is_the_same(world):
    assert build(world) == build(world)


def test_volumes_and_secrets_are_mounted_once(world):
    manifest = build(
        world,
        source={"volume": {"claimName": "images", "path": "incoming/17"}},
        destinations=[
            {"name": "disk", "volume": {"claimName": "results"}},
            {"name": "again", "volume": {"claimName": "images"}},
            {"name": "files", "s3": {"connectionRef": {"name": "store"}, "uri": "s3://maps"}},
        ],
        pipeline={"interimData": {"connectionRef": {"name": "store"}, "uri": "s3://interim"}},
    )
    spec = pod(manifest)
    claims = [v["persistentVolumeClaim"]["claimName"] for v in spec["volumes"] if "persistentVolumeClaim" in v]
    assert sorted(claims) == ["images", "results"]
    assert [v["secret"]["secretName"] for v in spec["volumes"] if "secret" in v] == ["store"]
    request = json.loads(spec["containers"][0]["env"][0]["value"])
    assert request["source"]["volume"]["directory"] == "/var/run/qsm/volumes/images/incoming/17"
    assert request["destinations"][0]["volume"]["directory"] == "/var/run/qsm/volumes/results/scan"
    assert request["interimData"] == {"connection": "/var/run/qsm/connections/store", "uri": "s3://interim"}


def test_a_claim_that_is_only_read_is_mounted_so(world):
    manifest = build(
        world,
        source={"volume": {"claimName": "images"}},
        destinations=[{"name": "disk", "volume": {"claimName": "results"}}],
    )
    mounts = {m["mountPath"]: m.get("readOnly", False) for m in pod(manifest)["containers"][0]["volumeMounts"]}
    assert mounts["/var/run/qsm/volumes/images"] is True
    assert mounts["/var/run/qsm/volumes/results"] is False


def test_a_gpu_is_asked_for_by_the_sites_key(world):
    gpu = {"device": {"resourceKey": "nvidia.com/mig-3g.40gb", "count": 2}, "resources": {"limits": {"memory": "8Gi"}}}
    extra = {
        "nodeSelector": {"gpu": "a100"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "runtimeClassName": "nvidia",
        "sharedMemorySize": "2Gi",
    }
    manifest = build(world, "GPU", pipeline={"backends": {"gpu": gpu | extra}, "imagePullSecrets": [{"name": "s"}]})
    spec = pod(manifest)
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/mig-3g.40gb"] == "2"
    assert spec["runtimeClassName"] == "nvidia"
    assert spec["nodeSelector"] == {"gpu": "a100"}
    assert spec["imagePullSecrets"] == [{"name": "s"}]
    assert {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}} in spec["volumes"]
    assert "nvidia.com/mig-3g.40gb" not in json.dumps(pod(build(world, "CPU"))["containers"][0]["resources"])


def test_the_job_overrides_resources(world):
    manifest = build(
        world, memory="32Gi", execution={"resources": {"limits": {"memory": "32Gi"}, "requests": {"cpu": 2}}}
    )
    resources = pod(manifest)["containers"][0]["resources"]
    assert resources == {"limits": {"memory": "32Gi"}, "requests": {"cpu": "2"}}


def test_site_labels_do_not_displace_ours(world):
    site = {"labels": {"example.org/cost": "neuro", "qsm-operator.io/job": "other"}, "annotations": {"a": "b"}}
    manifest = build(world, pipeline={"podMetadata": site})
    for metadata in (manifest["metadata"], manifest["spec"]["template"]["metadata"]):
        assert metadata["labels"]["example.org/cost"] == "neuro"
        assert metadata["labels"]["qsm-operator.io/job"] == "scan"
        assert metadata["annotations"]["a"] == "b"


@pytest.mark.parametrize("size", [1, 52])
def test_names_and_labels_fit(world, size):
    body = {"metadata": {"name": size * "x", "uid": "u"}, "spec": world().body["spec"]}
    attempt = Attempt(999, job_name(size * "x", 999))
    manifest = job_manifest(QSMJob.from_body(body), Pipeline("p", "u", 1, {}), attempt, Settings())
    assert len(manifest["metadata"]["name"]) <= 57  # the pod's name gets six more, and a label takes 63
    assert all(len(value) <= 63 for value in manifest["metadata"]["labels"].values())
