"""What only a real API server can show: what may change, what is filled in, what is cut, what is printed."""

import copy
import json

import pytest
import yaml
from kubernetes_for_tests import EXAMPLES

pytestmark = pytest.mark.cluster


def example(path):
    return yaml.safe_load((EXAMPLES / f"{path}.yaml").read_text())


@pytest.fixture
def create(kubernetes, namespace):
    """Create an object in the API server, give back what it stored, and delete it at the end of the test."""
    made = []

    def create(document, *options):
        stored = kubernetes.kubectl("create", "-n", namespace, "-o", "yaml", "-f", "-", *options, document=document)
        made.append((document["kind"], document["metadata"]["name"]))
        return yaml.safe_load(stored)

    yield create
    for kind, name in made:
        kubernetes.kubectl("delete", "-n", namespace, kind, name, "--wait=false")


@pytest.fixture
def patch(kubernetes, namespace):
    def patch(kind, name, change, *options):
        return kubernetes.try_kubectl(
            "patch", "-n", namespace, kind, name, "--type=merge", "-p", json.dumps(change), *options
        )

    return patch


def full_job():
    job = example("jobs/other-parameters")
    job["metadata"]["name"] = "immutable"
    job["spec"] |= {"retryLimit": 1, "activeDeadlineSeconds": 600, "ttlSecondsAfterFinished": 600}
    job["spec"]["schedule"] = example("routes/off-peak")["spec"]["schedule"]
    job["spec"]["destinations"] = [{"name": "pacs", "modality": {"name": "PACS"}}]
    return job


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("source", {"orthanc": {"seriesInstanceUIDs": ["9.9.9"]}}),
        ("source", {"orthanc": None, "volume": {"claimName": "other"}}),
        ("pipelineRef", {"name": "chla-v1"}),
        ("parameters", [{"name": "inversion.data_weight", "value": "4e2"}]),
        ("parameters", None),
        ("destinations", [{"name": "pacs", "modality": {"name": "OTHER"}}]),
        ("destinations", None),
        ("execution", {"backend": "GPU"}),
        ("execution", {"priorityClassName": "urgent"}),
        ("execution", {"priority": 5}),
        ("schedule", {"timeZone": "UTC"}),
        ("schedule", None),
        ("retryLimit", 2),
        ("retryLimit", None),
        ("activeDeadlineSeconds", 700),
        ("activeDeadlineSeconds", None),
        ("cleanup", "Always"),
    ],
    ids=str,
)
def test_a_job_cannot_be_edited(create, patch, field, value):
    create(full_job())
    result = patch("qsmjob", "immutable", {"spec": {field: value}})
    assert result.returncode != 0
    assert f"spec.{field}: Invalid value" in result.stderr
    assert f"{field} cannot be changed" in result.stderr


def test_an_optional_field_cannot_appear_later(create, patch):
    create(example("jobs/minimal"))
    for field, value in [
        ("parameters", [{"name": "a.b", "value": "1"}]),
        ("destinations", [{"name": "pacs", "modality": {"name": "PACS"}}]),
        ("retryLimit", 1),
        ("activeDeadlineSeconds", 60),
    ]:
        assert f"{field} cannot be changed" in patch("qsmjob", "minimal", {"spec": {field: value}}).stderr


def test_suspend_and_time_to_live_may_change(create, patch, kubernetes, namespace):
    create(example("jobs/minimal"))
    for change in (
        {"suspend": True},
        {"ttlSecondsAfterFinished": 60},
        {"suspend": False, "ttlSecondsAfterFinished": None},
    ):
        result = patch("qsmjob", "minimal", {"spec": change})
        assert result.returncode == 0, result.stderr
    spec = kubernetes.get("-n", namespace, "qsmjob", "minimal")["spec"]
    assert spec["suspend"] is False
    assert "ttlSecondsAfterFinished" not in spec


@pytest.mark.parametrize(
    "change",
    [
        {"version": "1.0.1"},
        {"retryLimit": 1},
        {"description": None},
        {"recipe": {"inversion": {"data_weight": 999.0}}},
        {"recipe": {"inversion": {"data_weight": None}}},
        {"recipe": {"inversion": {"data_weight": None, "weight_of_data": 1000.0}}},
        {"recipe": {"inversion": None}},
        {"recipe": {"inversion": None, "inversions": {"method": "medi"}}},
        {"recipe": {"extra": True}},
    ],
    ids=str,
)
def test_a_pipeline_cannot_be_edited_recipe_included(create, patch, change):
    create(example("pipelines/medi0-v1"))
    result = patch("qsmpipeline", "medi0-v1", {"spec": change})
    assert result.returncode != 0
    assert "a QSMPipeline cannot be edited, jobs rely on it: create a new one under a new name" in result.stderr


def test_labels_of_a_pipeline_may_change(create, patch):
    create(example("pipelines/medi0-v1"))
    assert patch("qsmpipeline", "medi0-v1", {"metadata": {"labels": {"approved": "yes"}}}).returncode == 0


def test_a_route_may_be_edited(create, patch):
    create(example("routes/clinical-brain"))
    change = {"paused": True, "order": 5, "pipelines": [{"name": "chla-v1"}]}
    assert patch("qsmroute", "clinical-brain", {"spec": change}).returncode == 0


def test_a_recipe_comes_back_as_it_went_in(create):
    pipeline = example("pipelines/fast-v1")
    recipe = {
        "inversion": {
            "method": "x",
            "small": 1e-3,
            "large": 123456789012,
            "none": None,
            "flags": [True, False],
            "s": "1",
        },
        "list": [1.5, "two", {"three": 3}],
        "word": "text",
    }
    pipeline["spec"]["recipe"] = recipe
    assert create(pipeline)["spec"]["recipe"] == recipe


def test_defaults_are_filled_in(create):
    job = create(example("jobs/minimal"))["spec"]
    assert job["execution"] == {"backend": "Auto", "priority": 0}
    assert job["suspend"] is False
    assert job["cleanup"] == "OnSuccess"
    assert job["deliveryDeadlineSeconds"] == 86400
    # Left to the pipeline:
    assert not {"retryLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"} & job.keys()
    pipeline = create(example("pipelines/medi0-v1"))["spec"]
    assert pipeline["backends"]["gpu"]["device"] == {"resourceKey": "nvidia.com/gpu", "count": 1}
    assert pipeline["backends"]["cpu"]["scratchSize"] == "20Gi"
    assert pipeline["fallback"] == {"when": ["Unschedulable", "DeviceError", "OutOfMemory"], "afterSeconds": 600}
    assert (pipeline["retryLimit"], pipeline["activeDeadlineSeconds"]) == (2, 7200)
    route = create(example("routes/everything"))["spec"]
    assert (route["order"], route["onMatch"], route["paused"]) == (100, "Stop", False)
    assert route["job"] == {"suspend": False, "cleanup": "OnSuccess", "deliveryDeadlineSeconds": 86400}


def test_a_fallback_that_says_one_thing_gets_the_other(create):
    job = example("jobs/minimal")
    job["spec"]["execution"] = {"fallback": {"afterSeconds": 5}}
    stored = create(job)["spec"]["execution"]["fallback"]
    assert stored == {"afterSeconds": 5, "when": ["Unschedulable", "DeviceError", "OutOfMemory"]}


def test_unknown_fields_are_cut_where_they_are_not_refused(create):
    job = example("jobs/minimal")
    job["spec"]["surprise"] = "x"
    job["spec"]["source"]["orthanc"]["surprise"] = "x"
    stored = create(job, "--validate=false")
    assert "surprise" not in stored["spec"]
    assert "surprise" not in stored["spec"]["source"]["orthanc"]


STATUS = {
    "observedGeneration": 1,
    "backend": "GPU",
    "attemptCount": 1,
    "progress": {"stage": "DipoleInversion", "percent": 60, "lastUpdateTime": "2026-01-01T00:00:00Z"},
    "pipeline": {
        "name": "medi0-v1",
        "generation": 1,
        "hash": "sha256:" + "a" * 64,
        "image": "localhost/a@sha256:" + "b" * 64,
    },
    "attempts": [{"index": 1, "jobName": "minimal-a1", "backend": "GPU", "startTime": "2026-01-01T00:00:00Z"}],
    "conditions": [
        {
            "type": "Complete",
            "status": "Unknown",
            "reason": "Running",
            "message": "Attempt 1 runs on a GPU.",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ],
}


@pytest.fixture
def running_job(create, patch):
    create(example("jobs/minimal"))
    result = patch("qsmjob", "minimal", {"status": STATUS}, "--subresource=status")
    assert result.returncode == 0, result.stderr


def test_status_is_a_door_of_its_own(create, patch, kubernetes, namespace):
    job = example("jobs/minimal")
    job["status"] = copy.deepcopy(STATUS)
    assert "status" not in create(job)
    patch("qsmjob", "minimal", {"spec": {"suspend": True}, "status": STATUS}, "--subresource=status")
    stored = kubernetes.get("-n", namespace, "qsmjob", "minimal")
    assert stored["spec"]["suspend"] is False
    assert stored["status"] == STATUS


def test_columns_of_the_table(running_job, kubernetes, namespace):
    header, row = kubernetes.kubectl("get", "qsmjobs", "-n", namespace).splitlines()
    assert header.split() == ["NAME", "STATE", "BACKEND", "PIPELINE", "PERCENT", "AGE"]
    assert row.split()[:5] == ["minimal", "Running", "GPU", "medi0-v1", "60"]
    wide = kubernetes.kubectl("get", "qsm", "-n", namespace, "-o", "wide").splitlines()
    assert wide[0].split()[6:] == ["ATTEMPTS", "MESSAGE"]
    assert "Attempt 1 runs on a GPU." in wide[1]


def test_columns_of_pipelines_and_routes(create, kubernetes, namespace):
    create(example("pipelines/gpu-slice"))
    create(example("routes/compare-two-methods"))
    header, row = kubernetes.kubectl("get", "qsmp", "-n", namespace).splitlines()
    assert header.split() == ["NAME", "VERSION", "GPU", "AGE"]
    assert row.split()[:3] == ["medi0-v1-slice", "1.0.0", "nvidia.com/mig-3g.40gb"]
    header, row = kubernetes.kubectl("get", "qsmr", "-n", namespace).splitlines()
    assert header.split() == ["NAME", "ORDER", "FIRST-PIPELINE", "PAUSED", "READY", "AGE"]
    assert row.split()[:3] == ["compare-two-methods", "50", "medi0-v1"]


def test_fields_to_select_by(running_job, create, kubernetes, namespace):
    other = example("jobs/from-volume")
    create(other)

    def names(selector):
        return kubernetes.kubectl(
            "get", "qsmjobs", "-n", namespace, "-o", "name", f"--field-selector={selector}"
        ).split()

    assert names("spec.pipelineRef.name=fast-v1") == ["qsmjob.qsm-operator.io/from-volume"]
    assert names("status.backend=GPU") == ["qsmjob.qsm-operator.io/minimal"]
    assert names("status.backend=CPU") == []


def test_names_to_call_them_by(running_job, kubernetes, namespace):
    rows = kubernetes.kubectl("api-resources", "--api-group=qsm-operator.io", "-o", "wide", "--no-headers").splitlines()
    words = {row.split()[0]: row for row in rows}
    assert "qsm,qsmj" in words["qsmjobs"]
    assert words["qsmjobs"].split()[-1] == "all,qsm-operator"
    assert "qsmjob.qsm-operator.io/minimal" in kubernetes.kubectl("get", "all", "-n", namespace)


def test_two_writers_of_conditions_do_not_erase_each_other(create, kubernetes, namespace):
    create(example("jobs/minimal"))
    for manager, kind in (("first", "Complete"), ("second", "Suspended")):
        condition = STATUS["conditions"][0] | {"type": kind}
        document = {
            "apiVersion": "qsm-operator.io/v1alpha1",
            "kind": "QSMJob",
            "metadata": {"name": "minimal", "namespace": namespace},
            "status": {"conditions": [condition]},
        }
        kubernetes.kubectl(
            "apply", "--server-side", f"--field-manager={manager}", "--subresource=status", "-f", "-", document=document
        )
    stored = kubernetes.get("-n", namespace, "qsmjob", "minimal")["status"]["conditions"]
    assert [condition["type"] for condition in stored] == ["Complete", "Suspended"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backend": "Auto"}, 'status.backend: Unsupported value: "Auto"'),
        ({"progress": {"percent": 101}}, "status.progress.percent: Invalid value: 101"),
        ({"attempts": [{"index": i, "jobName": f"a{i}"} for i in range(1, 12)]}, "status.attempts: Too many: 11"),
        ({"conditions": [STATUS["conditions"][0] | {"message": "x" * 1025}]}, "status.conditions[0].message: Too long"),
        ({"pipeline": {"hash": "md5:1"}}, "status.pipeline.hash"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_status_has_bounds_too(create, patch, change, message):
    create(example("jobs/minimal"))
    result = patch("qsmjob", "minimal", {"status": change}, "--subresource=status")
    assert result.returncode != 0
    assert message in result.stderr


def test_explain_reads_every_field_aloud(kubernetes, schemas):
    """What kubectl explain reads is the published OpenAPI document: there, every field still has its text."""
    document = json.loads(kubernetes.kubectl("get", "--raw", "/openapi/v3/apis/qsm-operator.io/v1alpha1"))
    published = {
        kind: next(s for name, s in document["components"]["schemas"].items() if name.endswith(f".{kind}"))
        for kind in schemas
    }

    def compare(written, served, path):
        if "description" in written and path.count(".") > 0:
            assert served.get("description") == written["description"], path
        for name, child in written.get("properties", {}).items():
            if (path, name) not in {("QSMJob", "metadata"), ("QSMPipeline", "metadata"), ("QSMRoute", "metadata")}:
                compare(child, served["properties"][name], f"{path}.{name}")
        if "items" in written:
            compare(written["items"], served["items"], f"{path}[]")

    for kind, schema in schemas.items():
        compare(
            {"properties": {name: s for name, s in schema["properties"].items() if name in ("spec", "status")}},
            published[kind],
            kind,
        )


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("qsmjob", "one reconstruction"),
        ("qsmjob.spec.execution.fallback.afterSeconds", "in seconds"),
        ("qsmjob.spec.source.orthanc.seriesInstanceUIDs", "0020,000E"),
        ("qsmjob.status.conditions.reason", "closed list"),
        ("qsmpipeline.spec.recipe", "word for word"),
        ("qsmpipeline.spec.backends.gpu.device.resourceKey", "nvidia.com/mig-3g.40gb"),
        ("qsmroute.spec.match.none.pattern", "RE2"),
        ("qsmroute.spec.schedule.timeZone", "Europe/Berlin"),
    ],
)
def test_explain_by_hand(kubernetes, path, words):
    text = " ".join(kubernetes.kubectl("explain", path).split())
    assert words in text


def test_no_version_is_kept_that_is_not_served(kubernetes):
    for crd in kubernetes.get("crds")["items"]:
        if crd["spec"]["group"] == "qsm-operator.io":
            assert crd["status"]["storedVersions"] == ["v1alpha1"]
            problems = [c for c in crd["status"]["conditions"] if c["type"] == "NonStructuralSchema"]
            assert problems == []
