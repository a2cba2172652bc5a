"""The hint scripts in a real Orthanc: hints arrive, and whatever the receiver does, Orthanc goes on."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from orthanc_for_tests import PYTHON_PLUGIN, OrthancServer, require
from ports_for_tests import free_port
from scans_for_tests import write_scan

pytestmark = pytest.mark.e2e

SCRIPTS = Path(__file__).resolve().parents[2] / "operator/orthanc-plugin"
STABLE_AGE_S = 1


@pytest.fixture
def orthanc(tmp_path):
    """Start an Orthanc with the Python or the Lua script; QSM_HINT_ variables by name."""
    servers = []

    def start(language="python", settings=None, script=SCRIPTS / "qsm_hint.py", **environment):
        variables = {f"QSM_HINT_{name}": str(value) for name, value in environment.items()}
        folder = tmp_path / f"orthanc{len(servers)}"
        how = {"plugins": [PYTHON_PLUGIN], "PythonScript": str(script)}
        if language == "lua":
            if environment.get("CURL") != "no":
                require("curl")
            how = {"LuaScripts": [str(SCRIPTS / "qsm_hint.lua")]}
        variables["PYTHONPATH"] = str(SCRIPTS)
        server = OrthancServer(
            folder, stable_age=STABLE_AGE_S, environment=variables, **how, **({"HttpTimeout": 2} | (settings or {}))
        )
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.stop()


def stored(server, folder, study, **how):
    """Seconds to store one more scan."""
    write_scan(folder / str(study), study=study, **how)
    began = time.monotonic()
    server.upload_all(folder / str(study))
    return time.monotonic() - began


WAYS = [("python", ""), ("lua", ""), ("lua", "no")]
"""The script, and whether Lua may use curl."""


@pytest.mark.parametrize(("language", "curl"), WAYS)
def test_each_stable_series_is_told_within_a_second(orthanc, receiver, tmp_path, language, curl):
    server = orthanc(language, URL=receiver.url, TOKEN="word", CURL=curl)
    stored(server, tmp_path, 1)
    ended = time.monotonic()
    assert receiver.until(2)
    assert sorted(receiver.hints) == sorted(server.series())
    assert receiver.tokens == ["Bearer word"] * 2
    # Orthanc counts in whole seconds and looks once a second.
    assert max(receiver.times) - ended < STABLE_AGE_S + 1 + 1
    assert b"CANARY" not in b"".join(receiver.bodies)


@pytest.mark.parametrize("language", ["python", "lua"])
def test_over_tls_with_an_own_authority(orthanc, receiver, tmp_path, language):
    certificate, key = self_signed(tmp_path)
    (tmp_path / "token").write_text("word\n")
    receiver.with_tls(certificate, key)
    trusting = orthanc(language, URL=receiver.url, TOKEN_FILE=tmp_path / "token", CA_FILE=certificate)
    stored(trusting, tmp_path, 1)
    assert receiver.until(2)
    assert receiver.tokens == ["Bearer word"] * 2
    assert "not https" not in trusting.log()
    mistrusting = orthanc(language, URL=receiver.url, TOKEN_FILE=tmp_path / "token")
    stored(mistrusting, tmp_path, 2)
    if language == "python":
        wait_for_log(mistrusting, "SSLCertVerificationError")
    else:
        time.sleep(STABLE_AGE_S + 3)
    assert len(receiver.hints) == 2


def trouble(kind, receiver, babbler):
    match kind:
        case "down":
            return f"http://127.0.0.1:{free_port()}/hint"
        case "no such host":
            return "http://intake.invalid/hint"
        case "hangs":
            receiver.hangs_seconds = 30
        case "refuses":
            receiver.status = 401
        case "fails":
            receiver.status = 500
        case "babbles":
            return babbler
    return receiver.url


@pytest.mark.parametrize("language", ["python", "lua"])
@pytest.mark.parametrize("kind", ["down", "no such host", "hangs", "refuses", "fails", "babbles"])
def test_whatever_the_receiver_does_orthanc_stores_at_full_speed_and_ends_well(
    orthanc, receiver, babbler, tmp_path, kind, language
):
    server = orthanc(language, URL=trouble(kind, receiver, babbler), TOKEN="word")
    undisturbed = stored(server, tmp_path, 1, slices=8)
    for study in (2, 3, 4):
        stored(server, tmp_path, study)
    if kind == "hangs":
        assert receiver.until(1)  # more hints wait behind it, two seconds each
    elif language == "python":
        wait_for_log(server, "not delivered")
    else:
        time.sleep(STABLE_AGE_S + 1)  # curl says nothing
    disturbed = [stored(server, tmp_path, study, slices=8) for study in (5, 6, 7)]
    assert min(disturbed) < 3 * undisturbed + 0.3
    assert max(disturbed) < 3 * undisturbed + 1.0  # a request that hangs would cost two seconds
    assert "Exception" not in server.log().replace("OrthancException", "")
    process = server._process
    began = time.monotonic()
    server.stop()
    assert process.returncode == 0
    assert time.monotonic() - began < 10
    assert "Orthanc has stopped" in server.log()


def test_hints_come_again_after_the_receiver_was_away(orthanc, receiver, tmp_path):
    server = orthanc(URL=receiver.url, TOKEN="word")
    receiver.status = 500
    stored(server, tmp_path, 1)
    assert receiver.until(2)
    receiver.status = 204
    stored(server, tmp_path, 2)
    assert receiver.until(4)


@pytest.mark.parametrize("language", ["python", "lua"])
def test_without_an_address_one_line_is_logged_and_nothing_done(orthanc, tmp_path, language):
    server = orthanc(language)
    stored(server, tmp_path, 1)
    time.sleep(STABLE_AGE_S + 1.5)
    lines = [line for line in server.log().splitlines() if "qsm-hint" in line]
    assert len(lines) == (1 if language == "python" else 2)  # Orthanc loads Lua scripts into two interpreters
    assert all("QSM_HINT_URL is not set, no hints are sent" in line for line in lines)


def test_a_script_of_the_sites_own_can_call_ours(orthanc, receiver, tmp_path):
    own = tmp_path / "own" / "site.py"
    own.parent.mkdir()
    own.write_text(
        "import orthanc, qsm_hint\n"
        "def changed(change, level, resource):\n"
        "    qsm_hint.on_change(change, level, resource)\n"
        "orthanc.RegisterOnChangeCallback(changed)\n"
    )
    renamed = own.rename(own.with_name("site_hook.py"))
    server = orthanc(script=renamed, URL=receiver.url, TOKEN="word", REGISTER="no")
    stored(server, tmp_path, 1)
    assert receiver.until(2)


def test_lua_without_curl_is_held_up_once_by_a_receiver_that_hangs_and_then_no_more(orthanc, receiver, tmp_path):
    """What docs/routes.md says of it: one waiting time, then silence for a minute."""
    server = orthanc("lua", URL=receiver.url, TOKEN="word", CURL="no", settings={"HttpTimeout": 1})
    undisturbed = stored(server, tmp_path, 1)
    assert receiver.until(2)
    receiver.hangs_seconds = 30
    stored(server, tmp_path, 2)
    assert receiver.until(3)
    stored(server, tmp_path, 3)  # this one waits
    wait_for_log(server, "none is sent for 60 s")
    for study in (4, 5, 6):
        assert stored(server, tmp_path, study) < 3 * undisturbed + 0.3
        time.sleep(STABLE_AGE_S)
    assert len(receiver.hints) == 3


def test_curl_in_the_background_keeps_none_of_orthancs_ports(orthanc, receiver, tmp_path):
    """Killed while a hint hangs, Orthanc can start again at once."""
    server = orthanc("lua", URL=receiver.url, TOKEN="word")
    receiver.hangs_seconds = 30
    stored(server, tmp_path, 1)
    assert receiver.until(1)
    server.kill()
    server.start()
    write_scan(tmp_path / "dicom", study=2)
    server.send(tmp_path / "dicom")


def test_lua_goes_on_without_its_helper(orthanc, receiver, tmp_path):
    server = orthanc("lua", URL=receiver.url, TOKEN="word")
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            number, _, _, parent, *_ = path.read_text().split()
            if int(parent) == server._process.pid:
                os.kill(int(number), signal.SIGKILL)
    stored(server, tmp_path, 1)
    assert receiver.until(2)
    assert "the helper is gone" in server.log()


def test_lua_puts_the_token_on_no_command_line(orthanc, receiver, tmp_path):
    server = orthanc("lua", URL=receiver.url, TOKEN="CANARYTOKEN")
    receiver.hangs_seconds = 30
    stored(server, tmp_path, 1)
    assert receiver.until(1)
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert [line for line in lines if line.startswith(b"curl\0--silent\0--max-time")]
    assert not [line for line in lines if b"CANARYTOKEN" in line]


def self_signed(folder):
    certificate, key = folder / "ca.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=intake",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return certificate, key


def wait_for_log(server, words, seconds=15.0):
    end = time.monotonic() + seconds
    while words not in server.log() and time.monotonic() < end:
        time.sleep(0.05)
    assert words in server.log()
