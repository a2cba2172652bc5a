"""The door to Kubernetes against an API server that answers as it likes."""

import asyncio
import json
from datetime import UTC, datetime

import pytest

from qsm_operator.cluster.asking import ApiError
from qsm_operator.cluster.door import Cluster
from qsm_operator.cluster.transport import Response, Unreachable
from qsm_operator.lifecycle.decisions import Event
from qsm_operator.resources.custom import QSMJob


class Scripted:
    """Gives the answers it was given, in order, and keeps what was asked."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    async def send(self, method, path, query, body, content_type):
        self.asked.append((method, path, dict(query), json.loads(body) if body else None, content_type))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def ok(**document):
    return Response(200, json.dumps(document).encode())


def no(status, reason="", message="", **headers):
    return Response(status, json.dumps({"reason": reason, "message": message}).encode(), headers)


def ask(call, *answers):
    transport = Scripted(*answers)
    return asyncio.run(call(Cluster(transport, longest_pause_seconds=0.001))), transport


JOB = QSMJob.from_body({"metadata": {"name": "scan", "namespace": "mri", "uid": "q-1", "resourceVersion": "7"}})


@pytest.mark.parametrize(
    "passing", [no(429, **{"Retry-After": "1"}), no(500), no(503), Unreachable("cut off")], ids=str
)
def test_what_passes_is_tried_again(passing):
    found, transport = ask(lambda c: c.get("jobs", "mri", "a"), passing, passing, ok(kind="Job"))
    assert found == {"kind": "Job"}
    assert len(transport.asked) == 3


def test_an_end_to_patience():
    with pytest.raises(ApiError, match="Unreachable"):
        ask(lambda c: c.get("jobs", "mri", "a"), *(9 * [Unreachable("gone")]))


@pytest.mark.parametrize("status", [400, 403, 409, 422])
def test_what_does_not_pass_is_told_at_once(status):
    with pytest.raises(ApiError) as caught:
        ask(lambda c: c.create_job("mri", {}), no(status, "Why", "because"))
    assert (caught.value.status, caught.value.reason, caught.value.message) == (status, "Why", "because")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"\xff"])
def test_answers_that_are_no_objects(body):
    with pytest.raises(ApiError):
        ask(lambda c: c.get("jobs", "mri", "a"), Response(200, body))
    with pytest.raises(ApiError):
        ask(lambda c: c.create_job("mri", {}), Response(422, body))


def test_lists_in_pages_and_begins_anew_when_its_place_is_lost():
    first = ok(items=[{"n": 1}], metadata={"continue": "x", "resourceVersion": "5"})
    last = ok(items=[{"n": 2}], metadata={"resourceVersion": "5"})
    listing, transport = ask(lambda c: c.list("jobs", selector="l"), first, no(410, "Expired"), first, last)
    assert [item["n"] for item in listing.items] == [1, 2]
    assert transport.asked[1][2]["continue"] == "x"
    assert "continue" not in transport.asked[2][2]


def test_a_status_is_written_only_over_what_was_seen():
    _, transport = ask(lambda c: c.apply_status(JOB, {"attemptCount": 1}), ok())
    method, path, query, body, content_type = transport.asked[0]
    assert (method, path) == ("PATCH", "/apis/qsm-operator.io/v1alpha1/namespaces/mri/qsmjobs/scan/status")
    assert content_type == "application/apply-patch+yaml"
    assert query["fieldManager"] == "qsm-operator"
    assert body["metadata"] == {"name": "scan", "uid": "q-1", "resourceVersion": "7"}


def test_deletes_only_what_was_seen():
    done, transport = ask(lambda c: c.delete_job("mri", "a", "u", "9"), no(409, "Conflict"))
    assert done is False
    assert transport.asked[0][3]["preconditions"] == {"uid": "u", "resourceVersion": "9"}
    assert ask(lambda c: c.delete_job("mri", "a", "u", "9"), no(404, "NotFound"))[0] is True


def test_an_event_is_told_once():
    def tell(cluster):
        return cluster.tell(JOB, Event("Normal", "Running", "It runs.", 1), datetime(2026, 1, 1, tzinfo=UTC))

    _, first = ask(tell, ok())
    _, second = ask(tell, no(409, "AlreadyExists"))
    assert first.asked[0][3]["metadata"]["name"] == second.asked[0][3]["metadata"]["name"]


def test_a_path_that_is_not_known_yet_is_no_word_about_the_object():
    """An API server that is just starting answers 404 to every path it has not installed yet."""
    starting = Response(404, b"404 page not found")
    found, _ = ask(lambda c: c.get("qsmjobs", "mri", "scan"), starting, starting, ok(kind="QSMJob"))
    assert found == {"kind": "QSMJob"}
    with pytest.raises(ApiError) as caught:
        ask(lambda c: c.get("qsmjobs", "mri", "scan"), *(9 * [starting]))
    assert caught.value.is_outage
    assert ask(lambda c: c.get("qsmjobs", "mri", "scan"), no(404, "NotFound"))[0] is None


def test_nodes_that_may_not_be_seen():
    assert ask(lambda c: c.nodes(), no(403, "Forbidden"))[0] is None
