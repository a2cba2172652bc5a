"""A report is read without trust: whatever a pod writes, what comes out fits the schema."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsm_operator.resources.report import MAX_REPORT_BYTES, cleaned, read_report

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


@settings(max_examples=300)
@given(REPORTS)
def test_whatever_is_read_fits_the_status(fits_status, document):
    report = read_report(json.dumps(document))
    if report is None:
        assert len(json.dumps(document)) > MAX_REPORT_BYTES
        return
    found = {
        "outputs": list(report.outputs),
        "metrics": list(report.metrics),
        "stageSeconds": list(report.stage_seconds),
        "warnings": list(report.warnings),
    }
    fits_status(found)
    assert len(report.message) <= 512


@settings(max_examples=200)
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
