"""The one-minute view: what it says of a cluster, and that it says nothing of a patient."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from qsm_operator.resources.times import stamp
from qsm_operator.status.command import run
from qsm_operator.status.overview import overview
from qsm_operator.status.text import age, page

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def job(name, state="", status="Unknown", made=0.0, ended=None, message="", pipeline="medi0-v1", **more):
    """Made and ended so many minutes ago."""
    body = {
        "metadata": {"name": name, "namespace": "mri", "creationTimestamp": stamp(NOW - timedelta(minutes=made))},
        "spec": {"pipelineRef": {"name": pipeline}},
        "status": {"backend": "GPU"} | more,
    }
    if state:
        body["status"]["conditions"] = [{"type": "Complete", "status": status, "reason": state, "message": message}]
    if ended is not None:
        body["status"]["completionTime"] = stamp(NOW - timedelta(minutes=ended))
    return body


def route(name="brain", pipelines=("medi0-v1",), **spec):
    return {
        "metadata": {"name": name, "namespace": "mri"},
        "spec": {"pipelines": [{"pipelineRef": {"name": one}} for one in pipelines]} | spec,
        "status": {"matchedCount": 7},
    }


PIPELINES = [{"metadata": {"name": "medi0-v1", "namespace": "mri"}}]
GOOD = [job(f"good-{n}", "Succeeded", "True", made=60 + n, ended=57) for n in range(20)]


def see(jobs, routes=None, pipelines=PIPELINES):
    return overview(jobs, [route()] if routes is None else routes, pipelines, NOW)


def test_a_quiet_cluster_has_nothing_to_look_at():
    found = see([*GOOD, job("next", "Running", made=2)])
    assert found.hints == ()
    assert found.states == {"Succeeded": 20, "Running": 1}
    assert found.oldest.name == "next"
    (speed,) = found.speeds
    assert (speed.succeeded, speed.failed, speed.longest_seconds) == (20, 0, 22 * 60)
    assert "Nothing to look at." in page(found, "namespace mri", NOW)


def test_an_empty_cluster():
    text = page(see([], []), "all namespaces", NOW)
    assert "Nothing to look at." in text
    assert text.count("none") == 3


@pytest.mark.parametrize(
    ("jobs", "routes", "hint"),
    [
        ([job("a", made=10)], None, "does the operator run"),
        ([job("a", "Queued", made=40, message="waits for a node")], None, "Queued for more than half an hour"),
        ([job("a", "Running", made=300)], None, "more than four hours"),
        ([job(f"f{n}", "ReconError", "False", 9, 8) for n in range(3)], None, "3 of 3 QSMJobs of the last day failed"),
        (
            [job("a", "Delivering", made=9, deliveries=[{"destination": "pacs", "state": "Pending"}])],
            None,
            "1 results wait for the destination pacs",
        ),
        ([], [route(pipelines=("medi0-v9",))], "medi0-v9, which does not exist"),
        ([], [route(paused=True)], "every QSMRoute is paused"),
    ],
)
def test_what_to_look_at(jobs, routes, hint):
    found = see(jobs, routes)
    assert any(hint in said for said in found.hints), found.hints
    assert hint in page(found, "x", NOW)


def test_held_and_finished_jobs_do_not_wait():
    found = see([job("held", "Suspended", made=9000), job("old", "ReconError", "False", made=9000, ended=8000)])
    assert found.oldest is None
    assert found.hints == ()


def test_the_newest_failures_first_with_reason_and_sentence():
    jobs = [job(f"f{n}", "InvalidInput", "False", 100, 90 - n, "echo 2 has no phase") for n in range(8)]
    failures = see(jobs).failures
    assert [one.name for one in failures] == ["f7", "f6", "f5", "f4", "f3"]
    assert failures[0].reason == "InvalidInput"
    assert "echo 2 has no phase" in page(see(jobs), "x", NOW)


def test_no_uid_comes_through():
    found = see([job("a", "ReconError", "False", 9, 8, "series 1.2.840.113619.2.1.77 is odd")])
    assert "113619" not in json.dumps([one.message for one in found.failures])


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (0, "0 s"), (119, "119 s"), (125, "2 min"), (7300, "2 h 01"), (200000, "2 days")]
)
def test_ages(seconds, text):
    assert age(seconds) == text


def test_without_a_cluster_it_says_so(capsys, tmp_path):
    assert run([], {"HOME": str(tmp_path)}) == 78
    assert "no Kubernetes to talk to" in capsys.readouterr().err


def test_a_cluster_that_does_not_answer(capsys, tmp_path):
    config = {
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{"name": "x", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "x", "user": {}}],
    }
    path = tmp_path / "config"
    path.write_text(json.dumps(config))
    assert run(["-n", "mri"], {"KUBECONFIG": str(path)}) == 69
    assert "does not tell" in capsys.readouterr().err
