"""Orthanc plug-in script: tells the intake of qsm-operator that a series has become stable.

A hint and no more: intake also follows Orthanc's change log and scans, so a lost hint costs seconds and never a scan.
Therefore this script may drop hints, and must never block, slow down or stop Orthanc. It sends Orthanc's identifier of
the series (a hash) and nothing else.

Mount it and name it in Orthanc's configuration ("PythonScript": "/etc/orthanc/qsm_hint.py"). Everything else comes from
the environment, no edit is needed:

    QSM_HINT_URL         where intake listens, https://...; without it the script does nothing
    QSM_HINT_TOKEN_FILE  file with the token shared with intake; read for each hint, so it may be renewed
    QSM_HINT_TOKEN       the token itself, where there is no file
    QSM_HINT_CA_FILE     certificates to trust (PEM); without it those of the system
    QSM_HINT_REGISTER    "no": do not register. Orthanc takes one Python script with one callback; a script of your own
                         then imports this one and calls qsm_hint.on_change(change, level, resource) from its callback.

Python 3.9 or newer, standard library only.
"""

from __future__ import annotations  # Python 3.9

import http.client
import json
import os
import ssl
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orthanc

TIMEOUT_SECONDS = 2.0
"""For each step of a request: connecting, sending, waiting for the answer."""
MOST_WAITING = 1000
"""Hints that wait; beyond, the oldest goes."""
SILENCE_SECONDS = 60.0
"""Troubles are logged once in this time, with their number."""
STOP_SECONDS = 3.0
"""How long the end of Orthanc may wait for a request that is on its way."""

HTTP_OK = range(200, 300)


class Hints:
    """A queue that never blocks who puts something in, and one thread that empties it."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError("QSM_HINT_URL must be an address that starts with https:// (or http://)")
        self._scheme, self._host, self._port = address.scheme, address.hostname, address.port
        self._path = (address.path or "/") + (f"?{address.query}" if address.query else "")
        self._waiting: deque[str] = deque()
        self._changed = threading.Condition()
        self._is_ending = False
        self._dropped = self._failed = 0
        self._trouble, self._told = "", -SILENCE_SECONDS
        self._thread = threading.Thread(target=self._work, name="qsm-hint", daemon=True)
        self._thread.start()

    def put(self, series: str) -> None:
        """Have a series hinted at, some time soon."""
        with self._changed:
            if series in self._waiting or self._is_ending:
                return
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.popleft()
                self._dropped += 1
            self._waiting.append(series)
            self._changed.notify()

    def end(self) -> None:
        """Stop, without waiting for long; what is not sent is left to the change log."""
        with self._changed:
            self._is_ending = True
            self._changed.notify()
        self._thread.join(STOP_SECONDS)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_ending)
                if self._is_ending:
                    return
                series = self._waiting.popleft()
            try:
                status = self._post({"series": series})
                trouble = "" if status in HTTP_OK else f"answered {status}"
            except Exception as error:  # noqa: BLE001 - whatever happens to a hint, Orthanc goes on
                trouble = type(error).__name__
            self._tell(trouble)

    def _post(self, hint: dict[str, Any]) -> int:
        headers = {"Content-Type": "application/json", "User-Agent": "qsm-hint"}
        token = _token()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        connection = self._connection()
        try:
            connection.request("POST", self._path, json.dumps(hint).encode(), headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        """A new one for each hint: certificates may be renewed. Neither redirects nor proxies are followed."""
        if self._scheme == "http":
            return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_SECONDS)
        context = ssl.create_default_context(cafile=os.environ.get("QSM_HINT_CA_FILE") or None)
        return http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT_SECONDS, context=context)

    def _tell(self, trouble: str) -> None:
        """One line a minute at most, whatever happens."""
        if trouble:
            self._failed += 1
            self._trouble = trouble
        now = time.monotonic()
        if (self._failed or self._dropped) and now - self._told >= SILENCE_SECONDS:
            orthanc.LogWarning(
                f"qsm-hint: {self._failed} hints not delivered (last trouble: {self._trouble or 'none'}), "
                f"{self._dropped} dropped because too many waited; intake finds the series in the change log"
            )
            self._failed = self._dropped = 0
            self._told = now


def _token() -> str:
    path = os.environ.get("QSM_HINT_TOKEN_FILE")
    if not path:
        return os.environ.get("QSM_HINT_TOKEN", "").strip()
    return Path(path).read_text(encoding="ascii").strip()


_hints = None


def on_change(change: Any, _level: Any, resource: str) -> None:
    """Orthanc's callback. It runs in Orthanc's own thread: it puts into a queue and is gone."""
    if _hints is None:
        return
    if change == orthanc.ChangeType.STABLE_SERIES:
        _hints.put(resource)
    elif change == orthanc.ChangeType.ORTHANC_STOPPED:
        _hints.end()


def _start() -> Hints | None:
    url = os.environ.get("QSM_HINT_URL", "").strip()
    if not url:
        orthanc.LogWarning("qsm-hint: QSM_HINT_URL is not set, no hints are sent")
        return None
    try:
        hints = Hints(url)
    except ValueError as error:
        orthanc.LogError(f"qsm-hint: {error}; no hints are sent")
        return None
    if not url.startswith("https://"):
        orthanc.LogWarning("qsm-hint: QSM_HINT_URL is not https, the token can be read on its way")
    if os.environ.get("QSM_HINT_REGISTER", "").lower() != "no":
        orthanc.RegisterOnChangeCallback(on_change)
    return hints


_hints = _start()
