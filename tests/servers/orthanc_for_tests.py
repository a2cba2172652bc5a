"""Real Orthanc servers for tests: started, asked, stopped and killed at will, each in a folder of its own."""

import base64
import http.client
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

import pytest
from ports_for_tests import free_port

USER, PASSWORD = "operator", "not-a-secret"
PYTHON_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancPython.so")
DICOM_WEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


def require(*programs: str | Path) -> None:
    """Skip where a program or plug-in is absent; with QSM_E2E_REQUIRED set, fail instead."""
    absent = [str(p) for p in programs if not (Path(p).exists() if isinstance(p, Path) else shutil.which(p))]
    if absent and os.environ.get("QSM_E2E_REQUIRED"):
        pytest.fail(f"not installed: {', '.join(absent)} (make tools)")
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)} (make tools)")


class RefusedError(Exception):
    """An answer that is not 200."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status, body[:300])
        self.status = status


class OrthancServer:
    """One Orthanc 1.10.1 or newer. Changing `settings` takes effect at the next start."""

    def __init__(
        self,
        folder: Path,
        *,
        aet: str = "ORTHANC",
        host: str = "127.0.0.1",
        stable_age: int = 2,
        plugins: Iterable[Path] = (),
        environment: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        require("Orthanc", *plugins)
        self.folder, self.aet, self.host = folder, aet, host
        self.http_port, self.dicom_port = free_port(), free_port()
        self.environment = dict(environment or {})
        self.settings: dict[str, Any] = {
            "Name": aet,
            "StorageDirectory": "db",
            "IndexDirectory": "db",
            "HttpPort": self.http_port,
            "DicomPort": self.dicom_port,
            "DicomAet": aet,
            "RemoteAccessAllowed": True,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            "StableAge": stable_age,
            "OverwriteInstances": False,
            "SyncStorageArea": False,
            "JobsHistorySize": 1000,
            "DicomAlwaysAllowStore": True,
            "Plugins": [str(plugin) for plugin in plugins],
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.http_port}"

    def knows(self, name: str, other: "OrthancServer", **more: Any) -> None:
        """Enter another server into DicomModalities (before the start)."""
        self.settings.setdefault("DicomModalities", {})[name] = {
            "AET": other.aet, "Host": other.host, "Port": other.dicom_port, **more,
        }  # fmt: skip

    def connection(self, folder: Path) -> Path:
        """The files of a connection Secret (docs/contract.md) that lead to this server."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, value in {"url": self.url, "username": USER, "password": PASSWORD}.items():
            (folder / name).write_text(value)
        return folder

    def start(self, *, wait: bool = True) -> "OrthancServer":
        (self.folder / "orthanc.json").write_text(json.dumps(self.settings))
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["Orthanc", "orthanc.json"],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env={**os.environ, "TCP_NODELAY": "1", **self.environment},
            )
        if wait:
            self.wait()
        return self

    def wait(self, seconds: float = 30.0) -> None:
        """Until it answers from its database."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._process is None or self._process.poll() is not None:
                pytest.fail(f"Orthanc ended: {self.log()[-1500:]}")
            try:
                self.get("/changes?limit=1")
            except OSError:
                time.sleep(0.1)
            else:
                return
        pytest.fail(f"Orthanc did not answer within {seconds} s")

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """It hangs: connections are taken, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(how)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def request(self, method: str, path: str, body: bytes | None = None, timeout: float = 60.0) -> bytes:
        word = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        connection = http.client.HTTPConnection(self.host, self.http_port, timeout=timeout)
        try:
            connection.request(method, path, body, {"Authorization": f"Basic {word}"})
            reply = connection.getresponse()
            content = reply.read()
        finally:
            connection.close()
        if reply.status != HTTPStatus.OK:
            raise RefusedError(reply.status, content)
        return content

    def get(self, path: str) -> Any:
        return json.loads(self.request("GET", path))

    def post(self, path: str, body: Any) -> Any:
        return json.loads(self.request("POST", path, json.dumps(body).encode()) or b"null")

    def upload(self, path: Path) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.request("POST", "/instances", path.read_bytes()))
        return answer

    def upload_all(self, folder: Path) -> set[str]:
        """Every file below a folder; Orthanc's identifiers of the series."""
        return {self.upload(path)["ParentSeries"] for path in sorted(folder.rglob("*")) if path.is_file()}

    def send(self, folder: Path, *, calling: str = "SCANNER") -> None:
        """What a scanner does: C-STORE of every file below a folder (dcmtk's storescu)."""
        require("storescu")
        subprocess.run(
            ["storescu", "-aet", calling, "-aec", self.aet, "+sd", "+r", self.host, str(self.dicom_port), str(folder)],
            check=True,
            capture_output=True,
            timeout=600,
            env={**os.environ, "TCP_NODELAY": "1"},
        )

    def series(self) -> list[str]:
        found: list[str] = self.get("/series")
        return found

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
