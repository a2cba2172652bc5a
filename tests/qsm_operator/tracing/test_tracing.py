"""One trace from the webhook to the delivery, over the wire into a collector; and nobody's name in it."""

import asyncio
import json
import sys
import time
from collections import Counter
from datetime import timedelta

import pytest
from otlp_for_tests import collector

from qsm_operator.intake.hint_traces import HintTraces
from qsm_operator.lifecycle.reconcile import reconcile
from qsm_operator.lifecycle.spans import spans_of
from qsm_operator.resources.custom import QSMJob
from qsm_operator.routes.orders import dated, traced
from qsm_operator.settings import SettingsError
from qsm_operator.tracing.tracer import OFF, Tracing, tracing_from
from qsm_operator.tracing.traces import of_attempt, of_job, read_traceparent

SERIES = "0a1b2c3d-0a1b2c3d-0a1b2c3d-0a1b2c3d-0a1b2c3d"
CANARY_UID = "1.2.840.99999.7.7.424242"
STAGES = {"fetch": 2.0, "read": 3.5, "masking": 4.0, "inversion": 40.25, "deliver": 6.0}
REPORT = {
    "outputs": [{"kind": "ChiMap", "seriesInstanceUID": CANARY_UID}],
    "stageSeconds": STAGES,
    "cached": ["masking"],
    "warnings": ["Odd: KANARIEN^VOGEL"],
    "scanner": "KANARIEN^VOGEL",
    "deliveries": [{"destination": "pacs", "state": "Delivered", "instances": 112, "message": "KANARIEN^VOGEL"}],
}


@pytest.fixture
def there():
    with collector() as found:
        yield found


@pytest.fixture
def environment(there, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", there.url)
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": there.url}


def live(life, tracing, *reports, pause=100):
    """A whole life, each written change told; one attempt for each report, the last one succeeds."""
    decide = life.look

    def look(**_):
        before = QSMJob.from_body(json.loads(json.dumps(life.body)))
        decision = reconcile(life.facts(), life.settings)
        if decision.status != before.status:
            tracing.tell(spans_of(before, decision, life.seen_pods(), life.now))
        return decide()

    life.look = look
    for number, report in enumerate(reports, 1):
        life.settle()
        life.later(10).pod_runs()
        life.settle()
        life.later(pause)
        is_last = number == len(reports)
        life.pod_ends(code=0 if is_last else 75, report=report)
        life.settle()
        life.later(300)


def from_intake(life, tracing):
    """What intake does with a hint: the QSMJob bears the trace."""
    life.now -= timedelta(seconds=4)
    traces = HintTraces(tracing, lambda: life.now)
    traces.hint("main", SERIES)
    life.later(3)
    order = traces.begin("main", (SERIES,))
    life.body = dated(traced(life.body, order.traceparent), life.now - timedelta(seconds=60))
    life.later(1)
    traces.end(order, "main", "a-hash", 1)


def test_one_connected_trace_from_webhook_to_delivery(world, there, environment):
    intake, operator = (tracing_from(environment, f"qsm-{name}", "0.1.0") for name in ("intake", "operator"))
    life = world()
    from_intake(life, intake)
    live(life, operator, "out of luck", json.dumps(REPORT))
    asyncio.run(intake.close())
    asyncio.run(operator.close())
    spans = there.spans
    by_id = {span["id"]: span for span in spans}
    assert len(by_id) == len(spans)
    assert len({span["trace"] for span in spans}) == 1
    (root,) = [span for span in spans if not span["parent"]]
    assert (root["service"], root["name"]) == ("qsm-intake", "acquisition")
    for span in spans:
        assert span["begin"] <= span["end"]
        if span["parent"]:
            assert span["begin"] >= by_id[span["parent"]]["begin"], span["name"]
    tree = {span["name"]: by_id[span["parent"]]["name"] for span in spans if span["parent"]}
    assert tree["hint"] == "acquisition"
    assert tree["QSMJob"] == "acquisition"
    assert tree["attempt 1"] == tree["attempt 2"] == "QSMJob"
    assert {name for name, parent in tree.items() if parent == "attempt 2"} == {"wait for a node", *STAGES}
    (first,) = [span for span in spans if span["name"] == "attempt 1"]
    assert (first["failed"], first["qsm.result"]) == (True, "Unavailable")


def test_stages_end_with_the_pod_and_the_delivery_with_its_destinations(world, there, environment):
    operator, life = tracing_from(environment, "qsm-operator", "0.1.0"), world()
    live(life, operator, json.dumps(REPORT))
    asyncio.run(operator.close())
    spans = {span["name"]: span for span in there.spans}
    assert [name for name in spans if name in STAGES] == list(STAGES)
    for name, seconds in STAGES.items():
        assert spans[name]["end"] - spans[name]["begin"] == pytest.approx(seconds, abs=1e-3)
        assert spans[name]["qsm.cached"] == (name == "masking")
    assert spans["deliver"]["end"] == spans["attempt 1"]["end"]
    told = {"qsm.destination": "pacs", "qsm.state": "Delivered", "qsm.instances": 112}
    assert spans["deliver"]["events"] == [("delivery", told)]
    assert spans["wait for a node"]["end"] - spans["wait for a node"]["begin"] == 10
    assert spans["QSMJob"]["qsm.result"] == "Succeeded"


def test_nobodys_name_is_in_a_trace(world, there, environment):
    operator, life = tracing_from(environment, "qsm-operator", "0.1.0"), world()
    text = f"Traceback: KANARIEN^VOGEL 19660606 {CANARY_UID}"
    live(life, operator, text, json.dumps(REPORT))
    asyncio.run(operator.close())
    assert len(there.spans) > 8
    for canary in (CANARY_UID, "KANARIEN", "VOGEL", "19660606"):
        assert canary not in there.text


def test_a_pod_is_told_its_span(world):
    life = world()
    from_intake(life, Tracing(Line()))
    life.settle()
    (manifest,) = life.jobs.values()
    env = {one["name"]: one["value"] for one in manifest["spec"]["template"]["spec"]["containers"][0]["env"]}
    job = QSMJob.from_body(life.body)
    assert read_traceparent(env["TRACEPARENT"]) == of_attempt(job.uid, job.trace, 1)


def test_without_a_collector_nothing_is_told_and_nothing_is_loaded(world):
    assert tracing_from({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, "s", "v") is OFF
    traces = HintTraces(OFF)
    traces.hint("main", SERIES)
    assert traces.begin("main", (SERIES,)) is None
    life = world()
    life.settle()
    (manifest,) = life.jobs.values()
    assert "TRACEPARENT" not in str(manifest)


class Line:
    """A sender in memory."""

    def __init__(self):
        self.spans = []

    def samples(self, _trace_id):
        return True

    def send(self, span):
        self.spans.append(span)

    def close(self):
        pass


def test_another_operator_gives_the_same_identifiers(world):
    lines = []
    for _ in range(2):
        life, line = world(), Line()
        live(life, Tracing(line), json.dumps(REPORT))
        lines.append([span.context for span in line.spans])
    assert lines[0] == lines[1]


@pytest.mark.parametrize(
    "text",
    [None, 7, "", "00-" + "0" * 32 + "-1234567812345678-01", "00-" + "a" * 32 + "-" + "0" * 16 + "-01",
     "00-" + "A" * 32 + "-1234567812345678-01", "KANARIEN^VOGEL", "00-" + "a" * 32 + "-1234567812345678-01\n"],
)  # fmt: skip
def test_what_is_no_trace_context_is_none(text):
    assert read_traceparent(text) is None


def test_a_context_that_is_not_sampled_is_passed_on_so():
    parent = read_traceparent("00-" + "a" * 32 + "-1234567812345678-00")
    assert of_job("u", parent).traceparent.endswith("-00")
    assert of_job("u", None).is_sampled


@pytest.mark.parametrize(("share", "least", "most"), [("0", 0, 0), ("1", 40, 40), ("0.5", 5, 35)])
def test_a_trace_is_told_as_a_whole_or_not_at_all(world, there, environment, monkeypatch, share, least, most):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", share)
    intake, operator = (tracing_from(environment, f"qsm-{name}", "0.1.0") for name in ("intake", "operator"))
    for _ in range(40):
        life = world()
        from_intake(life, intake)
        live(life, operator, json.dumps(REPORT))
    asyncio.run(intake.close())
    asyncio.run(operator.close())
    traces = Counter(span["trace"] for span in there.spans)
    assert least <= len(traces) <= most
    assert set(traces.values()) <= {4 + 3 + len(STAGES)}


@pytest.mark.parametrize("trouble", ["answers 503", "is silent", "is not there"])
def test_a_collector_in_trouble_costs_no_time(world, there, environment, trouble, monkeypatch):
    there.status, there.silence = (503, 0.0) if trouble == "answers 503" else (200, 60.0)
    if trouble == "is not there":
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    operator, life = tracing_from(environment, "qsm-operator", "0.1.0"), world()
    began = time.process_time(), time.monotonic()
    live(life, operator, json.dumps(REPORT))
    assert life.state == ("True", "Succeeded")
    assert time.monotonic() - began[1] < 2
    began = time.monotonic()
    asyncio.run(operator.close())
    assert time.monotonic() - began < 5
    assert there.spans == []


@pytest.mark.parametrize(
    ("more", "says"),
    [({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf"), ({}, "[tracing]")],
)
def test_what_cannot_be_is_said_at_the_start(more, says, monkeypatch):
    monkeypatch.setitem(sys.modules, "qsm_operator.tracing.otlp", None)  # as where the extra is not installed
    with pytest.raises(SettingsError) as caught:
        tracing_from({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"} | more, "s", "v")
    assert says in str(caught.value)
