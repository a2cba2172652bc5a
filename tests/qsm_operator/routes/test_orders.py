"""From routes to QSMJobs: names that come out the same, everything of the route handed on, nothing of the patient."""

import copy
import hashlib
import random
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from qsm_acquisition import Acquisition, Reason, Survey, Vendor
from qsm_operator.lifecycle import request
from qsm_operator.resources.custom import ACQUISITION_LABEL, ROUTE_LABEL, SUPERSEDES_ANNOTATION, QSMJob
from qsm_operator.routes import orders
from qsm_operator.routes.matching import Route

ROOT = Path(__file__).resolve().parents[3]
ROUTES = [yaml.safe_load(file.read_text()) for file in sorted((ROOT / "examples/routes").glob("*.yaml"))]
SERIES = ("1.2.840.113619.2.55.1", "1.2.840.113619.2.55.2")
INSTANCES = tuple(f"1.2.840.113619.2.55.1.{n}" for n in range(30))


def route(name="one", pipelines=None, **spec):
    whole = {
        "source": {"orthanc": {"connectionRef": {"name": "main-orthanc"}}},
        "match": {"everything": True},
        "pipelines": pipelines or [{"name": "medi0-v1"}],
    }
    return Route.from_resource({"metadata": {"name": name, "namespace": "mri"}, "spec": whole | spec})


def made(*routes, series=SERIES, instances=INSTANCES, server="main-orthanc"):
    return orders.manifests(series, instances, routes or [route()], server)


def name_of(*routes, **more):
    (manifest,) = made(*routes, **more)
    return manifest["metadata"]["name"]


@pytest.fixture(scope="module")
def schema():
    """The schema of a QSMJob as JSON Schema: fields nobody knows are refused, as kubectl does."""
    crd = yaml.safe_load((ROOT / "crds/qsmjobs.yaml").read_text())
    return strict(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])


def strict(schema):
    schema = copy.deepcopy(schema)
    if schema.get("type") == "object" and "properties" in schema:
        schema["additionalProperties"] = False
        schema["properties"] = {name: strict(part) for name, part in schema["properties"].items()}
    if "items" in schema:
        schema["items"] = strict(schema["items"])
    return schema


@pytest.mark.parametrize("body", ROUTES, ids=lambda body: body["metadata"]["name"])
def test_what_any_example_route_makes_is_a_qsmjob(schema, body):
    schema["properties"]["metadata"] = {"type": "object"}
    manifests = made(Route.from_resource(body))
    assert len(manifests) == len(body["spec"]["pipelines"])
    for manifest in manifests:
        jsonschema.validate(manifest, schema)
        assert len(manifest["metadata"]["name"]) <= 52


@pytest.mark.parametrize("body", ROUTES, ids=lambda body: body["metadata"]["name"])
def test_everything_a_route_says_about_jobs_is_in_each_of_them(body):
    said = body["spec"]
    for manifest, pipeline in zip(made(Route.from_resource(body)), said["pipelines"], strict=True):
        spec = manifest["spec"]
        assert spec["pipelineRef"] == {"name": pipeline["name"]}
        assert spec.get("parameters") == pipeline.get("parameters")
        for name in ("destinations", "execution", "schedule"):
            assert spec.get(name) == said.get(name)
        for name, value in said.get("job", {}).items():
            assert spec[name] == value


def test_the_source_is_the_routes_orthanc_and_names_what_the_series_held():
    (manifest,) = made()
    source = manifest["spec"]["source"]["orthanc"]
    assert source["connectionRef"] == {"name": "main-orthanc"}
    assert source["seriesInstanceUIDs"] == list(SERIES)
    text = "".join(f"{uid}\n" for uid in sorted(INSTANCES))
    assert source["instances"] == {"count": 30, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def test_a_destination_without_sender_is_sent_by_the_orthanc_of_the_source():
    (manifest,) = made(route(destinations=[{"name": "pacs", "modality": {"name": "PACS"}}]))
    (destination,) = request.destinations(QSMJob.from_body(manifest))
    assert destination["modality"] == {"name": "PACS", "connectionRef": {"name": "main-orthanc"}}


# -- names


@given(st.permutations(SERIES), st.permutations(INSTANCES))
def test_the_order_of_series_and_instances_does_not_matter(series, instances):
    assert made(series=series, instances=instances) == made()


def test_a_name_depends_on_all_that_makes_another_map_and_on_nothing_else():
    parameters = [{"name": "a.b", "value": "1"}, {"name": "a.c", "value": "2"}]
    with_parameters = route(pipelines=[{"name": "medi0-v1", "parameters": parameters}])
    other = {
        name_of(),
        name_of(series=SERIES[:1]),
        name_of(instances=INSTANCES[1:]),
        name_of(server="second-orthanc"),
        name_of(route(pipelines=[{"name": "fast-v1"}])),
        name_of(with_parameters),
    }
    assert len(other) == 6
    same = {
        name_of(),
        name_of(route("another-name", order=3, execution={"backend": "CPU"}, job={"suspend": True})),
        name_of(route(destinations=[{"name": "pacs", "modality": {"name": "PACS"}}])),
    }
    assert len(same) == 1
    swapped = route(pipelines=[{"name": "medi0-v1", "parameters": parameters[::-1]}])
    assert name_of(swapped) == name_of(with_parameters)


def test_names_are_those_of_version_one():
    """A name that changes with a release makes every acquisition's map anew: this must not change by accident."""
    assert name_of() == "qsm-0631ee41def89805009e"


@given(st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4)), min_size=2, max_size=2, unique=True))
def test_no_two_parameters_run_into_each_other(pairs):
    names = [
        name_of(route(pipelines=[{"name": "p", "parameters": [{"name": n or "x", "value": v or "y"}]}]))
        for n, v in pairs
    ]
    same = [(n or "x", v or "y") for n, v in pairs]
    assert (names[0] == names[1]) is (same[0] == same[1])


def test_two_routes_that_ask_for_the_same_map_make_one_job_the_first_ones():
    first, second = route("first"), route("second", pipelines=[{"name": "medi0-v1"}, {"name": "fast-v1"}])
    labels = [
        (one["metadata"]["labels"][ROUTE_LABEL], one["spec"]["pipelineRef"]["name"]) for one in made(first, second)
    ]
    assert labels == [("first", "medi0-v1"), ("second", "fast-v1")]


def test_nothing_in_the_metadata_tells_a_uid():
    (manifest,) = made()
    text = repr(manifest["metadata"])
    assert not any(uid in text for uid in (*SERIES, *INSTANCES))
    label = manifest["metadata"]["labels"][ACQUISITION_LABEL]
    assert label == orders.acquisition_key("main-orthanc", SERIES[::-1])
    assert label != orders.acquisition_key("second-orthanc", SERIES)


# -- images that changed


def as_created(manifest, when):
    return {**manifest, "metadata": {**manifest["metadata"], "creationTimestamp": when}}


def test_a_job_for_changed_images_is_linked_to_the_newest_one_before():
    first, second, third = (made(instances=INSTANCES[:n])[0] for n in (10, 20, 30))
    existing = [as_created(second, "2026-03-02T12:00:00Z"), as_created(first, "2026-03-02T11:00:00Z")]
    linked = orders.linked(third, existing)
    assert linked["metadata"]["annotations"] == {SUPERSEDES_ANNOTATION: second["metadata"]["name"]}
    assert linked["spec"] == third["spec"]
    assert "annotations" not in third["metadata"]


def test_a_job_is_not_linked_to_itself_nor_to_another_method_or_acquisition():
    (manifest,) = made()
    others = [
        *made(route(pipelines=[{"name": "fast-v1"}]), instances=INSTANCES[:10]),
        *made(series=SERIES[:1], instances=INSTANCES[:10]),
        *made(server="second", instances=INSTANCES[:10]),
        {"metadata": {"name": "by-hand"}, "spec": {"source": {"volume": {"claimName": "x"}}}},
        manifest,
    ]
    assert orders.linked(manifest, [as_created(one, "2026-03-02T12:00:00Z") for one in others]) == manifest


# -- what a job cannot name

ACQUISITION = Acquisition(
    study_instance_uid="1.2",
    series_instance_uids=SERIES,
    frame_of_reference_uid="1.3",
    vendor=Vendor.SIEMENS,
    software_versions="",
    echo_times_s=(0.004, 0.009),
    components=frozenset(),
    cells={},
    slice_positions_mm=(),
    row_cosines=(1, 0, 0),
    column_cosines=(0, 1, 0),
    pixel_spacing_mm=(1, 1),
    slice_step_mm=1,
    rows=8,
    columns=8,
    center_frequency_hz=123e6,
    field_strength_t=3,
    bipolar_readout=False,
    is_3d=True,
)


def test_two_scans_in_one_series_are_refused_because_a_job_names_whole_series():
    alone = replace(ACQUISITION, series_instance_uids=("1.9",))
    found = orders.orderable(Survey((ACQUISITION, replace(ACQUISITION, series_instance_uids=SERIES[:1]), alone), ()))
    assert found.acquisitions == (alone,)
    assert [one.reason for one in found.refusals] == [Reason.AMBIGUOUS_IMAGES] * 2
    assert all("several complete scans" in one.message for one in found.refusals)


def test_more_series_than_a_job_can_name_are_refused():
    many = replace(ACQUISITION, series_instance_uids=tuple(f"1.{n}" for n in range(17)))
    (refusal,) = orders.orderable(Survey((many,), ())).refusals
    assert "more than 16 series" in refusal.message


@given(st.lists(st.sampled_from("abcdef"), max_size=8), st.randoms(use_true_random=False))
def test_each_acquisition_is_kept_or_refused(letters: list[str], chance: random.Random):
    acquisitions = [replace(ACQUISITION, series_instance_uids=(letter,)) for letter in letters]
    chance.shuffle(acquisitions)
    found = orders.orderable(Survey(tuple(acquisitions), ()))
    assert len(found.acquisitions) + len(found.refusals) == len(letters)
    assert {one.series_instance_uids[0] for one in found.acquisitions} == {
        letter for letter in letters if letters.count(letter) == 1
    }


def test_a_job_says_when_its_last_image_came():
    manifest = {"metadata": {"name": "qsm-a", "annotations": {"one": "1"}}}
    moment = datetime(2026, 1, 31, 12, 0, 5, tzinfo=timezone(timedelta(hours=1)))
    annotations = orders.dated(manifest, moment)["metadata"]["annotations"]
    assert annotations == {"one": "1", "qsm-operator.io/last-image-time": "2026-01-31T11:00:05Z"}
    assert orders.dated(manifest, None) == manifest
