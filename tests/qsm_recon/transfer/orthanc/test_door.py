"""Every way in which a server can misbehave has a stated outcome, in our words."""

import ssl
import subprocess

import pytest
from misbehaving_http import as_json, cut, dripping, hang_up, late, page, text
from orthanc_for_tests import require
from ports_for_tests import free_port

from qsm_recon.errors import ReconError
from qsm_recon.transfer.orthanc.door import Door
from qsm_recon.transfer.orthanc.pipe import Pipe

ERROR = {"OrthancStatus": 9, "Details": "MILLER^ANNE", "Message": "Error in the network protocol"}


@pytest.mark.parametrize(
    ("answer", "reason", "code", "asked"),
    [
        (text(401, "MILLER^ANNE"), "CredentialsRefused", 78, 1),
        (text(403, ""), "CredentialsRefused", 78, 1),
        (text(404, ""), "UnexpectedAnswer", 75, 1),
        (text(302, "", Location="http://elsewhere/"), "UnexpectedAnswer", 75, 1),
        (text(400, "MILLER^ANNE"), "UnexpectedAnswer", 75, 1),
        (page(), "UnexpectedAnswer", 75, 1),
        (text(200, b"\xff\xfe\x00garbage MILLER^ANNE"), "UnexpectedAnswer", 75, 1),
        (as_json(ERROR, 500), "OrthancUnavailable", 75, 3),
        (page(503), "OrthancUnavailable", 75, 3),
        (text(429, ""), "OrthancUnavailable", 75, 3),
        (text(507, ""), "OrthancFull", 75, 1),
        (as_json({"OrthancStatus": 19}, 500), "OrthancFull", 75, 1),
        (cut(b"[1, 2, 3]", 4), "OrthancUnavailable", 75, 3),
        (hang_up, "OrthancUnavailable", 75, 3),
        (late(0.8, as_json([])), "OrthancUnavailable", 75, 3),
        (dripping(b"[" + b" " * 40 + b"]", 0.1), "OrthancUnavailable", 75, 3),
    ],
)
def test_what_goes_wrong_gets_a_reason(server, door, answer, reason, code, asked):
    server.answers["/series"] = [answer]
    with pytest.raises(ReconError) as failed:
        door.get("/series")
    assert (failed.value.reason, failed.value.exit_code) == (reason, code)
    assert len(server.asked) == asked
    assert "MILLER" not in failed.value.message
    assert "pacs" in failed.value.message


def test_what_passes_is_survived(server, door):
    server.answers["/series"] = [hang_up, text(503, ""), as_json(["a"])]
    assert door.get("/series") == ["a"]


def test_what_must_not_happen_twice_is_asked_once(server, door):
    server.answers["/modalities"] = [text(500, ""), as_json({"ID": "x"})]
    with pytest.raises(ReconError):
        door.post("/modalities/pacs/store", {}, twice=False)
    assert len(server.asked) == 1


def test_nobody_there(tmp_path, hasty):
    (tmp_path / "url").write_text(f"http://127.0.0.1:{free_port()}")
    with Door(tmp_path, hasty) as door, pytest.raises(ReconError) as failed:
        door.get("/series")
    assert (failed.value.reason, failed.value.exit_code) == ("OrthancUnavailable", 75)


def test_credentials_go_with_every_question(server, tmp_path, hasty):
    server.answers["/"] = [as_json([])]
    with Door(server.connection(tmp_path / "pacs", token="abc"), hasty) as door:
        door.get("/series")
    assert server.headers_seen[0]["Authorization"] == "Bearer abc"
    assert server.headers_seen[0]["Accept-Encoding"] == "identity"


def test_a_proxy_of_the_environment_sees_nothing(server, door, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    server.answers["/series"] = [as_json([])]
    assert door.get("/series") == []


@pytest.fixture
def certificate(tmp_path):
    require("openssl")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key", "-out", tmp_path / "crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    return tmp_path / "crt", tmp_path / "key"


def test_a_certificate_is_trusted_by_its_authority_only(server, tmp_path, certificate, hasty):
    crt, key = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.answers["/series"] = [as_json([])]
    url = f"https://127.0.0.1:{server.server_port}"
    with Door(server.connection(tmp_path / "trusted", url=url, **{"ca.crt": crt.read_text()}), hasty) as door:
        assert door.get("/series") == []
        target = tmp_path / "file"
        pipe = Pipe(door.address, hasty)
        pipe.copy("/series", target, 2)
        pipe.close()
        assert target.read_bytes() == b"[]"
    with Door(server.connection(tmp_path / "stranger", url=url), hasty) as door:
        with pytest.raises(ReconError) as failed:
            door.get("/series")
        assert (failed.value.reason, failed.value.exit_code) == ("InvalidConnection", 78)
        with pytest.raises(ReconError) as failed:
            Pipe(door.address, hasty).copy("/series", target, 2)
        assert failed.value.reason == "InvalidConnection"


def test_an_answer_without_end_is_given_up(server, door, monkeypatch):
    monkeypatch.setattr("qsm_recon.transfer.orthanc.door.MAX_ANSWER_BYTES", 1000)
    server.answers["/series"] = [as_json(["x" * 100_000])]
    with pytest.raises(ReconError) as failed:
        door.get("/series")
    assert failed.value.reason == "UnexpectedAnswer"
