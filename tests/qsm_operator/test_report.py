"""A report is read without trust: whatever a pod writes, what comes out fits the schema."""

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from qsm_operator.report import MAX_REPORT_BYTES, cleaned, read_report

CRD = Path(__file__).resolve().parents[2] / "crds/qsmjobs.yaml"
STATUS = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=12), children, max_size=4),
    max_leaves=12,
)
FIELDS = ["reason", "message", "step", "outputs", "metrics", "stageSeconds", "warnings"]
OUTPUT = st.dictionaries(
    st.sampled_from(["kind", "destination", "seriesInstanceUID", "orthancID", "uri", "sha256", "instances"]),
    JSON | st.from_regex(r"[A-Z][a-z]{1,80}") | st.from_regex(r"[0-9.]{1,70}"),
)
REPORTS = st.dictionaries(
    st.sampled_from(FIELDS), JSON | st.lists(OUTPUT, max_size=20) | st.dictionaries(st.text(), JSON)
)


def fits(value, schema, path="status"):
    """Whether a value is what the schema of the CRD takes."""
    kind = schema["type"]
    if kind == "object":
        unknown = set(value) - set(schema["properties"])
        assert not unknown, f"{path}: {unknown}"
        assert set(schema.get("required", [])) <= set(value), path
        for name, part in value.items():
            fits(part, schema["properties"][name], f"{path}.{name}")
    elif kind == "array":
        assert len(value) <= schema["maxItems"], path
        for part in value:
            fits(part, schema["items"], f"{path}[]")
        keys = schema.get("x-kubernetes-list-map-keys")
        if keys:
            assert len({tuple(part[key] for key in keys) for part in value}) == len(value), path
    elif kind == "string":
        assert isinstance(value, str)
        assert schema.get("minLength", 0) <= len(value) <= schema["maxLength"], path
        assert re.search(schema.get("pattern", ""), value), path
    else:
        assert isinstance(value, int)
        assert not isinstance(value, bool)
        assert schema["minimum"] <= value <= schema.get("maximum", value), path


@settings(max_examples=300, deadline=None)
@given(REPORTS)
def test_whatever_is_read_fits_the_status(document):
    report = read_report(json.dumps(document))
    if report is None:
        assert len(json.dumps(document)) > MAX_REPORT_BYTES
        return
    properties = STATUS["properties"]
    fits(list(report.outputs), properties["outputs"])
    fits(list(report.metrics), properties["metrics"])
    fits(list(report.stage_seconds), properties["stageSeconds"])
    fits(list(report.warnings), properties["warnings"])
    assert len(report.message) <= 512


@settings(max_examples=200, deadline=None)
@given(st.text() | st.binary().map(lambda raw: raw.decode("latin1")))
def test_no_text_breaks_it(text):
    read_report(text)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[]",
        "3",
        "null",
        "{",
        "[" * 10_000,
        10_000_000 * "x",
        '{"a": ' * 2_000,
        '{"outputs": ' + "9" * 5_000 + "}",
        "\ud800",
    ],
    ids=range(11),
)
def test_hostile_text(text):
    report = read_report(text)
    assert report is None or report.outputs == ()


def test_numbers_become_short_text():
    report = read_report(
        '{"metrics": {"a": 1.23456789, "b": 3, "c": NaN, "d": Infinity, "e": true, "f": "4", "g g": 1}}'
    )
    assert report.metrics == ({"name": "a", "value": "1.23457"}, {"name": "b", "value": "3"})


def test_uids_do_not_get_into_messages():
    assert cleaned("series 1.2.840.113619.2.312.4120.1 has\nno phase", 100) == "series (uid) has no phase"
    assert cleaned("takes 1.5 s in version 1.2.3.4", 100) == "takes 1.5 s in version 1.2.3.4"
