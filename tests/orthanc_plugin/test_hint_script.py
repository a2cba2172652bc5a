"""The hint script by itself, loaded with a stand-in for Orthanc's module: the queue, the log, what is sent."""

import importlib.util
import sys
import time
import types
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "operator/orthanc-plugin/qsm_hint.py"
SERIES = "f77bdd38-23d18a21-d32f4fac-c09ca41c-4989b3d2"


class StandIn(types.ModuleType):
    """Orthanc's module, as far as the script uses it."""

    def __init__(self):
        super().__init__("orthanc")
        self.ChangeType = types.SimpleNamespace(STABLE_SERIES=1, ORTHANC_STOPPED=2, NEW_INSTANCE=3)
        self.callbacks, self.log = [], []
        self.RegisterOnChangeCallback = self.callbacks.append
        self.LogWarning = self.LogError = self.log.append


@pytest.fixture
def load(monkeypatch):
    loaded = []

    def load(**environment):
        orthanc = StandIn()
        monkeypatch.setitem(sys.modules, "orthanc", orthanc)
        for name, value in environment.items():
            monkeypatch.setenv(f"QSM_HINT_{name}", str(value))
        spec = importlib.util.spec_from_file_location("qsm_hint", SCRIPT)
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)
        loaded.append(script)
        return script, orthanc

    yield load
    for script in loaded:
        script.on_change(2, None, "")


def test_without_an_address_it_says_so_once_and_registers_nothing(load):
    script, orthanc = load()
    assert orthanc.log == ["qsm-hint: QSM_HINT_URL is not set, no hints are sent"]
    assert orthanc.callbacks == []
    script.on_change(1, None, SERIES)


@pytest.mark.parametrize("url", ["intake:8443", "ftp://intake/hint", "https://", "http://[::1", "http://intake:port/x"])
def test_an_address_that_is_none_is_told_and_nothing_is_registered(load, url):
    _, orthanc = load(URL=url)
    assert len(orthanc.log) == 1
    assert "no hints are sent" in orthanc.log[0]
    assert orthanc.callbacks == []


def test_only_stable_series_are_told_and_nothing_but_the_identifier(load, receiver):
    script, orthanc = load(URL=receiver.url, TOKEN="word\n")
    assert orthanc.callbacks == [script.on_change]
    for kind in (3, 1):
        script.on_change(kind, None, SERIES)
    assert receiver.until(1)
    assert receiver.bodies == [b'{"series": "' + SERIES.encode() + b'"}']
    assert receiver.tokens == ["Bearer word"]


def test_the_token_of_the_file_is_read_each_time(load, receiver, tmp_path):
    file = tmp_path / "token"
    file.write_text("first\n")
    script, _ = load(URL=receiver.url, TOKEN_FILE=file)
    script.on_change(1, None, "a")
    assert receiver.until(1)
    file.write_text("second\n")
    script.on_change(1, None, "b")
    assert receiver.until(2)
    assert receiver.tokens == ["Bearer first", "Bearer second"]


def test_a_token_that_cannot_be_read_is_told_and_nothing_is_sent_without_it(load, receiver, tmp_path):
    script, orthanc = load(URL=receiver.url, TOKEN_FILE=tmp_path / "absent")
    script.on_change(1, None, SERIES)
    wait_for(lambda: len(orthanc.log) == 2)
    assert "FileNotFoundError" in orthanc.log[1]
    assert receiver.hints == []


def test_a_redirect_is_not_followed_so_the_token_goes_nowhere_else(load, receiver, second_receiver):
    receiver.status, receiver.location = 307, second_receiver.url
    script, orthanc = load(URL=receiver.url, TOKEN="word")
    script.on_change(1, None, SERIES)
    wait_for(lambda: len(orthanc.log) == 2)
    assert "answered 307" in orthanc.log[1]
    assert second_receiver.hints == []


def test_a_proxy_of_the_environment_is_not_used(load, receiver, second_receiver, monkeypatch):
    monkeypatch.setenv("http_proxy", second_receiver.url)
    script, _ = load(URL=receiver.url, TOKEN="word")
    script.on_change(1, None, SERIES)
    assert receiver.until(1)
    assert second_receiver.hints == []


def test_a_series_that_waits_already_is_not_put_twice(load, receiver):
    receiver.hangs_seconds = 0.5
    script, _ = load(URL=receiver.url)
    script.on_change(1, None, "first")
    assert receiver.until(1)
    for _ in range(5):
        script.on_change(1, None, SERIES)
    assert receiver.until(2)
    time.sleep(0.7)
    assert receiver.hints == ["first", SERIES]


def test_a_full_queue_drops_the_oldest_and_counts(load, receiver):
    receiver.hangs_seconds = 1.0
    script, orthanc = load(URL=receiver.url)
    script.MOST_WAITING = 3
    script.on_change(1, None, "first")
    assert receiver.until(1)
    began = time.monotonic()
    for number in range(10):
        script.on_change(1, None, f"s{number}")
    assert time.monotonic() - began < 0.5
    receiver.hangs_seconds = 0.0
    assert receiver.until(4)
    assert receiver.hints == ["first", "s7", "s8", "s9"]
    wait_for(lambda: len(orthanc.log) == 2)
    assert "7 dropped" in orthanc.log[1]


def test_troubles_are_one_line_a_minute_without_identifiers(load, receiver):
    receiver.status = 401
    script, orthanc = load(URL=receiver.url, TOKEN="word")
    for number in range(20):
        script.on_change(1, None, f"{SERIES}{number}")
    assert receiver.until(20)
    troubles = [line for line in orthanc.log if "not delivered" in line]
    assert len(troubles) == 1
    assert "answered 401" in troubles[0]
    assert not any("word" in line or SERIES in line for line in orthanc.log)


def test_the_end_does_not_wait_for_a_receiver_that_hangs(load, receiver):
    receiver.hangs_seconds = 30
    script, _ = load(URL=receiver.url)
    script.STOP_SECONDS = 0.5
    for number in range(20):
        script.on_change(1, None, f"s{number}")
    assert receiver.until(1)
    began = time.monotonic()
    script.on_change(2, None, "")
    assert time.monotonic() - began < script.STOP_SECONDS + 0.5


def test_a_script_of_the_sites_own_may_call_it(load, receiver):
    script, orthanc = load(URL=receiver.url, REGISTER="no")
    assert orthanc.callbacks == []
    script.on_change(1, None, SERIES)
    assert receiver.until(1)


def wait_for(check, seconds=5.0):
    end = time.monotonic() + seconds
    while not check() and time.monotonic() < end:
        time.sleep(0.02)
    assert check()
