"""Who may send hints, and what a hint may be."""

import asyncio
import logging
import ssl
import subprocess
from contextlib import asynccontextmanager

import aiohttp
import pytest
from ports_for_tests import free_port

from qsm_operator.intake.hints import Hints, serve_hints
from qsm_operator.intake.settings import IntakeSettings
from qsm_operator.metrics import IntakeMetrics

TOKEN = "0123456789abcdef-token"  # noqa: S105 - it opens nothing
OTHER_TOKEN = "another-token-of-enough-letters"  # noqa: S105 - the same
SERIES = "d9b2d38f-2c92c211-e380cbf4-756edcb7-7e57641d"
GOOD = {"series": SERIES, "seq": 7}


class Place:
    def __init__(self, folder, connections=("main",), **settings):
        self.token_file = folder / "token"
        self.token_file.write_text(f"{TOKEN}\n")
        said = {"hint_host": "127.0.0.1", "hint_port": free_port(), "token_file": str(self.token_file)} | settings
        self.settings = IntakeSettings(**said)
        self.taken, self.metrics, self.now = [], IntakeMetrics(), 0.0
        self.hints = Hints(
            self.settings,
            lambda: frozenset(connections),
            lambda *hint: self.taken.append(hint),
            self.metrics,
            lambda: self.now,
        )

    @asynccontextmanager
    async def client(self):
        runner = await serve_hints(self.hints, self.settings)
        try:
            async with aiohttp.ClientSession() as session:
                yield session
        finally:
            await runner.cleanup()

    async def post(self, session, body=GOOD, path="/hint", token=TOKEN, scheme="http", **how):
        address = f"{scheme}://127.0.0.1:{self.settings.hint_port}{path}"
        how |= {"json": body} if not isinstance(body, bytes) else {"data": body}
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        async with session.post(address, headers=headers, **how) as answer:
            return answer.status

    def one(self, *arguments, **how):
        async def story():
            async with self.client() as session:
                return await self.post(session, *arguments, **how)

        return asyncio.run(story())


def test_a_good_one(tmp_path):
    place = Place(tmp_path)
    assert place.one() == 202
    assert place.taken == [("main", SERIES)]


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN[:-1], TOKEN + "x", "ü" * 20])
def test_forged(tmp_path, token, caplog):
    place = Place(tmp_path)
    assert place.one(token=token) == 401
    assert not place.taken
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"\xff", b"[" * 4000, {}]
    + [{"series": series} for series in (5, None, "../system", f"{SERIES}/x", f" {SERIES}")],
)
def test_malformed(tmp_path, body):
    place = Place(tmp_path)
    assert place.one(body) == 400
    assert not place.taken


def test_too_large(tmp_path):
    place = Place(tmp_path)
    assert place.one(GOOD | {"more": "x" * 5000}) == 400
    assert not place.taken


def test_without_a_token_nothing_is_taken_and_that_is_said(tmp_path, caplog):
    place = Place(tmp_path, token_file="")
    with caplog.at_level(logging.WARNING):
        place.hints.check()
        assert place.one() == 503
    assert "QSM_INTAKE_TOKEN_FILE" in caplog.text
    assert "PLAIN HTTP" in caplog.text


def test_a_renewed_token(tmp_path):
    place = Place(tmp_path)
    assert place.one() == 202
    place.token_file.write_text(OTHER_TOKEN)
    place.now += 6
    assert place.one() == 401
    assert place.one(token=OTHER_TOKEN) == 202


def test_several_connections_must_be_named(tmp_path):
    place = Place(tmp_path, connections=("main", "research"))
    assert place.one() == 404
    assert place.one(path="/hint/research") == 202
    assert place.one(path="/hint/unknown") == 404
    assert place.taken == [("research", SERIES)]


def test_a_flood_is_turned_away_and_passes(tmp_path):
    place = Place(tmp_path, hints_per_minute=600)

    async def story():
        async with place.client() as session:
            first = [await place.post(session) for _ in range(150)]
            place.now += 1
            later = [await place.post(session) for _ in range(12)]
            return first, later

    first, later = asyncio.run(story())
    assert first == [202] * 100 + [429] * 50
    assert later == [202] * 10 + [429] * 2


def test_a_flood_of_forged_ones_takes_no_room_of_true_ones(tmp_path):
    place = Place(tmp_path, hints_per_minute=60)

    async def story():
        async with place.client() as session:
            forged = [await place.post(session, token="wrong") for _ in range(100)]
            return forged, await place.post(session)

    forged, true = asyncio.run(story())
    assert set(forged) == {401}
    assert true == 202


def test_over_tls(tmp_path):
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    subprocess.run(
        (
            f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {key} -out {cert} "
            "-subj /CN=intake -addext subjectAltName=IP:127.0.0.1 -days 2"
        ).split(),
        check=True,
        capture_output=True,
    )
    place = Place(tmp_path, tls_cert_file=str(cert), tls_key_file=str(key))

    async def story():
        async with place.client() as session:
            return await place.post(session, scheme="https", ssl=ssl.create_default_context(cafile=cert))

    assert asyncio.run(story()) == 202
