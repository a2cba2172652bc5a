"""The door to Orthanc in front of a server that answers as it likes."""

import asyncio
import json

import pytest
from bad_orthanc_for_tests import BadServer

from qsm_operator.intake.settings import IntakeSettings
from qsm_operator.orthanc import session
from qsm_operator.orthanc.connections import OrthancConnection
from qsm_operator.orthanc.door import (
    Orthanc,
    OrthancError,
    OrthancGarbledError,
    OrthancMissingError,
    OrthancRefusedError,
    OrthancUnavailableError,
)

ID = "d9b2d38f-2c92c211-e380cbf4-756edcb7-7e57641d"


@pytest.fixture
def server():
    with BadServer() as one:
        yield one


def ask(server, call, *, timeout_seconds=0.5, tries=3, url=None):
    seen = []

    async def story():
        connection = OrthancConnection("main", url or server.url, "operator", "secret")
        orthanc = Orthanc(
            connection,
            lambda *request: seen.append(request),
            timeout_seconds=timeout_seconds,
            tries=tries,
            longest_pause_seconds=0.01,
        )
        try:
            return await call(orthanc)
        finally:
            await orthanc.close()

    try:
        return asyncio.run(story()), seen
    except OrthancError as error:
        return error, seen


@pytest.mark.parametrize(
    ("behaviour", "kind", "requests"),
    [
        (401, OrthancRefusedError, 1),
        (403, OrthancRefusedError, 1),
        (404, OrthancMissingError, 1),
        (400, OrthancGarbledError, 1),
        (301, OrthancGarbledError, 1),
        (500, OrthancUnavailableError, 3),
        (503, OrthancUnavailableError, 3),
        (507, OrthancUnavailableError, 3),
        ("reset", OrthancUnavailableError, 3),
        ("silent", OrthancUnavailableError, 3),
        ("drip", OrthancUnavailableError, 3),
        ("cut", OrthancUnavailableError, 3),
        ("html", OrthancGarbledError, 1),
        ("json", OrthancGarbledError, 1),
        ("huge", OrthancGarbledError, 1),
    ],
)
def test_each_failure_has_its_error(server, behaviour, kind, requests, monkeypatch):
    monkeypatch.setattr(session, "MAX_ANSWER_BYTES", 1 << 22)
    server.behaviour = behaviour
    error, seen = ask(server, lambda one: one.series_ids())
    assert type(error) is kind
    assert len(seen) == requests
    assert len(server.asked) <= requests
    assert "CANARY" not in str(error)
    assert "secret" not in str(error)


def test_an_address_where_nobody_is():
    error, seen = ask(None, lambda one: one.series_ids(), url="http://127.0.0.1:9")
    assert isinstance(error, OrthancUnavailableError)
    assert not error.was_sent
    assert [code for _, code, _ in seen] == 3 * ["Unreachable"]


def test_a_door_that_was_closed(server):
    async def late(orthanc):
        await orthanc.close()
        return await orthanc.series_ids()

    error, _ = ask(server, late)
    assert isinstance(error, OrthancUnavailableError)


@pytest.mark.parametrize("behaviour", [500, "reset", "cut"])
def test_what_passes_is_tried_again(server, behaviour):
    server.behaviour, server.times = behaviour, 2
    server.replaced["/series"] = json.dumps([ID]).encode()
    found, _ = ask(server, lambda one: one.series_ids())
    assert found == [ID]


def test_a_retrieval_is_not_begun_twice(server):
    server.behaviour = 500
    error, _ = ask(server, lambda one: one.retrieve("query", 0, "ORTHANC"))
    assert isinstance(error, OrthancUnavailableError)
    assert len(server.asked) == 1


def test_tags_come_one_by_one_and_again_after_a_cut(server):
    server.replaced[f"/series/{ID}/instances-tags"] = json.dumps({ID: {"0008,0060": {}}}).encode()
    found = {}
    ask(server, lambda one: one.series_tags(ID, found.__setitem__))
    assert found == {ID: {"0008,0060": {}}}
    for behaviour in ("html", "json", "cut"):
        server.behaviour = behaviour
        error, _ = ask(server, lambda one: one.series_tags(ID, found.__setitem__))
        assert isinstance(error, OrthancError)


@pytest.mark.parametrize("bad", ["../system", "", "a" * 44, f"{ID}?x", f"{ID}\n", "%2e%2e"])
def test_no_path_of_somebody_else(server, bad):
    error, _ = ask(server, lambda one: one.series(bad))
    assert isinstance(error, OrthancMissingError)
    assert not server.asked


@pytest.mark.parametrize(
    "answer",
    [{}, {"Changes": []}, {"Changes": {}, "Last": 1}, {"Changes": [{}], "Last": 1}, {"Changes": [5], "Last": 1}, [], 5],
)
def test_a_change_log_of_another_shape(server, answer):
    server.replaced["/changes?since=0&limit=5"] = json.dumps(answer).encode()
    error, _ = ask(server, lambda one: one.changes(0, 5))
    assert isinstance(error, OrthancGarbledError)


@pytest.mark.parametrize(
    ("said", "filters"),
    [
        ({"ApiVersion": 16, "Version": "1.10.1"}, False),
        ({"ApiVersion": 26, "Version": "1.12.5", "Capabilities": {"HasExtendedChanges": True}}, True),
        ({"ApiVersion": 26, "Version": "1.12.5", "Capabilities": {"HasExtendedChanges": False}}, False),
        ({"Capabilities": "none"}, False),
    ],
)
def test_abilities(server, said, filters):
    server.replaced["/system"] = json.dumps(said).encode()
    found, _ = ask(server, lambda one: one.system())
    assert found.filters_changes is filters


@pytest.mark.slow
def test_an_answer_after_half_a_minute_is_waited_for(server):
    """With the default patience."""
    server.behaviour, server.slow_seconds = "slow", 30.0
    server.replaced["/series"] = json.dumps([ID]).encode()
    found, seen = ask(server, lambda one: one.series_ids(), timeout_seconds=IntakeSettings().orthanc_timeout_seconds)
    assert found == [ID]
    assert len(seen) == 1
