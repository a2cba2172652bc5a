"""Results that a destination does not take: how often, how long, on what, and what the status says meanwhile."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qsm_operator.lifecycle.decisions import Final, Wait
from qsm_operator.lifecycle.deliveries import PAUSES_SECONDS, next_delivery
from qsm_operator.resources.report import read_report
from qsm_operator.resources.times import stamp

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
OUTPUTS = [{"kind": "ChiMap", "seriesInstanceUID": "1.2.3", "destination": "source"}]


def report(state="Pending", step="deliver", outputs=OUTPUTS, **entry):
    deliveries = [
        {"destination": "source", "state": "Delivered", "instances": 160},
        {"destination": "pacs", "state": state, "instances": 0} | entry,
    ]
    told = {"reason": f"Delivery{state}", "message": "pacs: Unreachable", "step": step, "outputs": outputs}
    return json.dumps(told | {"deliveries": deliveries})


def fail(w, **how):
    w.runs_and_ends(code=75, report=report(reason="Unreachable", message="no answer"), **how)


def test_a_destination_that_is_away_is_tried_again_and_not_counted(world, fits_status):
    w = world(retryLimit=0)
    fail(w)
    fits_status(w.status)
    assert w.state == ("Unknown", "Delivering")
    assert w.attempts == [("GPU", "DeliveryFailed")]
    assert w.status["attempts"][0]["counted"] is False
    assert w.status["outputs"] == OUTPUTS
    assert w.status["deliveries"][1]["state"] == "Pending"
    assert w.status["deliveries"][1]["lastAttemptTime"] == "2026-03-02T12:00:00Z"
    delivered = w.condition("ResultsDelivered")
    assert (delivered["status"], delivered["reason"]) == ("False", "Retrying")
    assert delivered["message"] == "source: Delivered; pacs: Pending (Unreachable, no answer)"
    for kind in ("InputStaged", "Reconstructed", "ResultsStored"):
        assert w.condition(kind)["status"] == "True"
    w.later(70).settle()
    assert w.attempts[-1] == ("CPU", None), "no GPU is held for sending"
    assert w.status["attempts"][-1]["backendReason"] == "Delivering"
    assert w.state == ("Unknown", "Delivering")
    w.runs_and_ends(code=0, report=report("Delivered", reason=None))
    fits_status(w.status)
    assert w.state == ("True", "Succeeded")
    assert w.condition("ResultsDelivered")["status"] == "True"
    assert [entry["state"] for entry in w.status["deliveries"]] == ["Delivered", "Delivered"]
    assert "FallbackToCPU" not in [event.reason for event in w.events]
    assert [event.reason for event in w.events] == ["Queued", "Running", "Delivering", "Succeeded"]


def test_what_a_receiver_could_not_be_asked_is_said(world, fits_status):
    w = world(execution={"backend": "CPU"})
    w.runs_and_ends(code=0, report=report("Delivered", reason=None, message="cannot be asked what it has"))
    fits_status(w.status)
    assert w.state == ("True", "Succeeded")
    said = w.condition("ResultsDelivered")["message"]
    assert said == "source: Delivered; pacs: Delivered (cannot be asked what it has)"


def test_pauses_grow_and_the_deadline_ends_it(world, fits_status):
    w = world(deliveryDeadlineSeconds=7200)
    pauses = []
    for _ in range(20):
        fail(w)
        if w.condition("Failed")["status"] == "True":
            break
        ready = w.look().wake
        pauses.append((ready - w.now).total_seconds())
        w.now = ready
    for pause, usual in zip(pauses, [*PAUSES_SECONDS, 1800, 1800], strict=False):
        assert pause <= 1.1 * usual
    for pause, usual in zip(pauses[:6], [*PAUSES_SECONDS, 1800], strict=True):
        assert pause >= 0.9 * usual
    assert w.now - START == timedelta(seconds=7200), "one last try at the deadline"
    assert w.state == ("False", "DeliveryFailed")
    fits_status(w.status)
    assert w.status["deliveries"][1]["state"] == "Failed"
    assert w.status["outputs"] == OUTPUTS
    assert w.condition("ResultsStored")["status"] == "True"
    assert (w.condition("ResultsDelivered")["status"], w.condition("ResultsDelivered")["reason"]) == (
        "False",
        "NotReached",
    )
    assert "pacs: Unreachable" in w.condition("Failed")["message"]


def test_thirty_days_stay_within_what_the_status_can_count(world):
    w = world(deliveryDeadlineSeconds=2592000)
    fail(w)
    facts, index = w.facts(), 1
    attempts = list(facts.job.attempts)
    while not isinstance(plan := next_delivery(replace(facts, now=w.now), w.pipeline, attempts), Final):
        if isinstance(plan, Wait):
            w.now = plan.until
            continue
        index += 1
        attempts = [*attempts[-9:], replace(attempts[-1], index=index, endTime=stamp(w.now))]
    assert w.now - START == timedelta(days=30)
    assert 300 < index < 999


TABLE = [
    # exit code, step of the report -> how the attempt ends, whether it counts, whether the job is over
    (75, "deliver", "DeliveryFailed", False, False),
    (75, "fetch", "Unavailable", True, False),
    (75, "write", "Unavailable", True, False),
    (65, "deliver", "DeliveryFailed", True, True),
    (64, "deliver", "DeliveryFailed", True, True),
    (70, "deliver", "DeliveryFailed", True, True),
    (78, "deliver", "DeliveryFailed", True, True),
    (69, "deliver", "DeliveryFailed", True, True),
    (1, "deliver", "DeliveryFailed", True, True),
    (65, "read", "InvalidInput", True, True),
    (143, "deliver", "ReconError", True, False),
]


@pytest.mark.parametrize(("code", "step", "result", "counted", "over"), TABLE)
def test_exit_code_and_step(world, code, step, result, counted, over):
    w = world(execution={"backend": "CPU"}).runs_and_ends(code=code, report=report("Failed", step=step))
    attempt = w.status["attempts"][0]
    assert (attempt["result"], attempt["counted"]) == (result, counted)
    assert (w.condition("Failed")["status"] == "True") is over
    if over:
        assert w.condition("Failed")["reason"] == result


def test_the_next_attempt_is_told_what_was_made(world):
    """So it needs the source no more."""

    def asked():
        (container,) = next(reversed(w.jobs.values()))["spec"]["template"]["spec"]["containers"]
        return json.loads(container["env"][0]["value"])["job"]

    w = world(execution={"backend": "CPU"})
    w.settle()
    assert "made" not in asked()
    fail(w)
    w.later(70).settle()
    assert (asked()["attempt"], asked()["made"]) == (2, {"ChiMap": "1.2.3"})


def test_only_the_delivery_counts_once_results_exist(world):
    """The source is away when the second attempt looks there first: that is the delivery's time all the same."""
    w = world(retryLimit=0)
    fail(w)
    w.later(70).settle()
    w.runs_and_ends(code=75, report=json.dumps({"reason": "SourceMissing", "message": "gone", "step": "fetch"}))
    assert w.state == ("Unknown", "Delivering")
    assert w.status["outputs"] == OUTPUTS
    assert w.condition("ResultsStored")["status"] == "True"


def test_results_that_are_not_kept_may_have_to_be_computed_again(world):
    w = world()
    w.runs_and_ends(code=75, report=json.dumps({"reason": "ArchiveUnreachable", "message": "away", "step": "deliver"}))
    assert w.state == ("Unknown", "Delivering")
    assert w.condition("ResultsStored")["status"] == "Unknown"
    w.later(70).settle()
    assert w.attempts[-1] == ("GPU", None)


@pytest.mark.parametrize(
    "execution", [{"backend": "GPU"}, {"backend": "Auto", "fallback": {"when": []}}], ids=["GPU", "never CPU"]
)
def test_who_insists_on_a_gpu_keeps_it(world, execution):
    w = world(execution=execution)
    fail(w)
    w.later(70).settle()
    assert w.attempts[-1] == ("GPU", None)


def test_no_time_for_delivery_means_one_try(world):
    w = world(deliveryDeadlineSeconds=0)
    fail(w)
    assert w.state == ("False", "DeliveryFailed")


def test_an_eviction_while_delivering_does_not_start_the_clock_anew(world):
    w = world(deliveryDeadlineSeconds=600)
    fail(w)
    w.later(70).settle()
    w.runs_and_ends(code=143, pod_reason="Evicted", disrupted=True)
    assert w.condition("ResultsDelivered")["reason"] == "Retrying"
    w.later(600).settle()
    fail(w)
    assert w.state == ("False", "DeliveryFailed")


def test_held_while_it_waits(world):
    w = world()
    fail(w)
    w.body["spec"]["suspend"] = True
    assert w.settle().state == ("Unknown", "Suspended")
    w.later(3600)
    w.body["spec"]["suspend"] = False
    w.settle()
    assert w.attempts[-1] == ("CPU", None)


def test_a_crash_between_write_and_create_counts_no_time_twice(world):
    w = world()
    fail(w)
    w.later(70)
    w.look(crash_after_write=True)
    w.settle()
    assert list(w.jobs) == ["scan-a1", "scan-a2"]
    assert w.most_live <= 1


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deadline=st.integers(0, 200_000), waits=st.lists(st.integers(0, 5000), max_size=8))
def test_it_ends_at_its_deadline_and_neither_before_nor_without_a_try(world, deadline, waits):
    w = world(deliveryDeadlineSeconds=deadline)
    fail(w)
    began = w.now
    for wait in waits:
        if w.state[0] == "False":
            break
        w.now = max(w.now, w.look().wake) + timedelta(seconds=wait)
        w.settle()
        fail(w)
    if w.state[0] == "False":
        assert w.now >= began + timedelta(seconds=deadline)
        assert w.attempts[-1][1] == "DeliveryFailed"
    else:
        assert w.now < began + timedelta(seconds=deadline)


@pytest.mark.parametrize(
    "deliveries",
    [
        None,
        "pacs",
        [3],
        [{"destination": "pacs"}],
        [{"destination": "PA CS", "state": "Pending"}],
        [{"destination": "pacs", "state": ["Pending"]}],
        [{"destination": "pacs", "state": "Lost"}],
        [{"destination": 3, "state": "Pending"}],
    ],
)
def test_deliveries_that_are_none(deliveries):
    assert read_report(json.dumps({"deliveries": deliveries})).deliveries == ()


def test_a_delivery_keeps_only_what_fits(fits_status):
    entry = {
        "destination": "pacs",
        "state": "Failed",
        "instances": -1,
        "commitment": "Perhaps",
        "reason": "no word",
        "x": 1,
    }
    entry["message"] = "1.2.840.113619.2.1.99 " + 600 * "x" + "\x00"
    (kept,) = read_report(json.dumps({"deliveries": [entry, entry]})).deliveries
    assert set(kept) == {"destination", "state", "message"}
    assert "113619" not in kept["message"]
    fits_status({"deliveries": [kept]})
