"""Log lines: what they carry, in the words of events and metrics, and what never gets into them."""

import io
import json
import logging
import sys

import pytest
from prometheus_client.openmetrics.exposition import generate_latest

from qsm_operator.controller.accounting import count_changes, log_changes
from qsm_operator.lifecycle.reconcile import reconcile
from qsm_operator.logs import FIELDS, JsonLines, TextLines, set_up_logs
from qsm_operator.metrics import Metrics
from qsm_operator.resources.custom import QSMJob

CANARY_UID = "1.2.840.99999.7.7.424242"
CANARIES = (CANARY_UID, "KANARIEN", "VOGEL", "19660606", "kanarien-bucket")
REPORT = {
    "outputs": [{"kind": "ChiMap", "seriesInstanceUID": CANARY_UID, "uri": "s3://kanarien-bucket/x"}],
    "warnings": [f"Odd: series {CANARY_UID} was odd"],
    "scanner": "KANARIEN^VOGEL",
    "metrics": {"KANARIEN^VOGEL": 3.0},
}


@pytest.fixture
def lines():
    """The log as it would stand on standard error, JSON and text."""
    made = {}
    for name, formatter in (("json", JsonLines()), ("text", TextLines())):
        made[name] = logging.StreamHandler(io.StringIO())
        made[name].setFormatter(formatter)
    logger = logging.getLogger("qsm_operator")
    level = logger.level
    logger.setLevel(logging.INFO)
    for handler in made.values():
        logger.addHandler(handler)
    yield lambda name: made[name].stream.getvalue().splitlines()
    for handler in made.values():
        logger.removeHandler(handler)
    logger.setLevel(level)


def live(life, metrics, **how):
    """A whole life, each written change logged and counted."""
    decide = life.look

    def look(**_):
        before = QSMJob.from_body(json.loads(json.dumps(life.body)))
        decision = reconcile(life.facts(), life.settings)
        if decision.status != before.status:
            log_changes(before, decision, life.now)
            count_changes(metrics, before, decision, life.now)
        return decide()

    life.look = look
    life.runs_and_ends(**how)


def orthanc(uid):
    return {"orthanc": {"connectionRef": {"name": "main"}, "seriesInstanceUIDs": [uid]}}


def test_a_life_in_lines_with_the_words_of_its_events(world, lines):
    life = world()
    live(life, Metrics())
    said = [json.loads(line) for line in lines("json")]
    assert [line["reason"] for line in said] == [event.reason for event in life.events]
    assert said[-1]["reason"] == "Succeeded"
    for line in said:
        assert (line["namespace"], line["qsmjob"], line["pipeline"]) == ("mri", "scan", "medi0-v1")
        assert line["seconds"] >= 0
        assert set(line) <= {"time", "level", "logger", "message", *FIELDS}
    assert said[-1]["attempt"] == 1
    assert len(lines("text")) == len(said)
    assert "qsmjob=scan" in lines("text")[0]


def test_a_failure_is_a_warning(world, lines):
    live(world(), Metrics(), code=65, report=json.dumps({"reason": "NoPhase", "message": "magnitude alone"}))
    last = json.loads(lines("json")[-1])
    assert (last["level"], last["reason"]) == ("WARNING", "InvalidInput")
    assert "magnitude alone" in last["message"]


@pytest.mark.parametrize("end", ["good", "bad", "text"])
def test_canaries_reach_neither_logs_nor_events_nor_metrics(world, lines, end):
    life, metrics = world(source=orthanc(CANARY_UID)), Metrics()
    how = {
        "good": {"report": json.dumps(REPORT)},
        "bad": {"code": 65, "report": json.dumps({"reason": "Odd", "message": f"series {CANARY_UID} lacks echo 2"})},
        "text": {"code": 70, "report": f"Traceback: KANARIEN^VOGEL 19660606 {CANARY_UID}"},
    }[end]
    live(life, metrics, **how)
    told = "\n".join([*lines("json"), *lines("text"), *(event.message for event in life.events)])
    told += generate_latest(metrics.registry).decode()
    assert told
    for canary in CANARIES:
        assert canary not in told


def test_a_library_that_quotes_a_uid_does_not_get_it_through(lines):
    logging.getLogger("qsm_operator.x").warning("cannot fetch /series/%s", CANARY_UID)
    try:
        int(CANARY_UID)
    except ValueError:
        logging.getLogger("qsm_operator.x").exception("defect")
    for form in ("json", "text"):
        whole = "\n".join(lines(form))
        assert "(uid)" in whole
        assert CANARY_UID not in whole
    assert "ValueError" in json.loads(lines("json")[-1])["exception"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_the_form_is_a_setting(form, monkeypatch):
    root, kopf = logging.getLogger(), logging.getLogger("kopf")
    before = (root.handlers[:], root.level, kopf.level)
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    try:
        set_up_logs("info", form)
        logging.getLogger("qsm_operator").info("ready", extra={"namespace": "mri"})
        kopf.info("an object: everything of it")
    finally:
        root.handlers[:], root.level = before[0], before[1]
        kopf.setLevel(before[2])
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("{") == (form == "json")
    assert "mri" in line
