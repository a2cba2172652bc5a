"""Orthanc servers of the demo: the one the scanner sends to, and the PACS."""

import base64
import json
import secrets
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tools.loop.places import ROOT, Places
from tools.loop.running import start, until

USER = "operator"
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancPython.so")


class Orthanc:
    """One server, by name `orthanc` or `pacs`."""

    def __init__(self, places: Places, name: str, host: str) -> None:
        self.places, self.name, self.host = places, name, host
        self.folder = places.state / name
        self.url = f"http://{host}:{places.port(name)}"

    @property
    def password(self) -> str:
        """Made at the first start; there is no default one."""
        file = self.folder / "password"
        if not file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            file.write_text(secrets.token_urlsafe(12))
            file.chmod(0o600)
        return file.read_text()

    def start(self, *, others: dict[str, list[Any]], hint: dict[str, str] | None = None) -> None:
        """Start it; with `hint`, the environment of the script that tells intake of stable series."""
        settings = {
            "Name": self.name,
            "StorageDirectory": "db",
            "IndexDirectory": "db",
            "HttpPort": self.places.port(self.name),
            "DicomPort": self.places.port(f"{self.name}-dicom"),
            "DicomAet": self.name.upper(),
            "RemoteAccessAllowed": True,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: self.password},
            "StableAge": 2,
            "OverwriteInstances": False,
            "JobsHistorySize": 1000,
            "DicomModalities": others,
            "UserMetadata": {"qsm-state": 5600, "qsm-marker": 5601, "qsm-content": 5602},
            "Plugins": [str(PLUGIN)] if hint else [],
        }
        if hint:
            settings["PythonScript"] = str(ROOT / "operator/orthanc-plugin/qsm_hint.py")
        (self.folder / "orthanc.json").write_text(json.dumps(settings, indent=1))
        # Debian's dcmtk sends small images several times faster with this.
        start(self.places, self.name, ["Orthanc", "orthanc.json"], {"TCP_NODELAY": "1", **(hint or {})})
        until(f"{self.name} answers", 30, self._answers, self.folder / "log")

    def get(self, path: str) -> Any:
        """What it says, parsed."""
        return json.loads(self.read(path))

    def read(self, path: str) -> bytes:
        """What it says."""
        word = base64.b64encode(f"{USER}:{self.password}".encode()).decode()
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Basic {word}"})  # noqa: S310 - our own
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - the same
            found: bytes = answer.read()
        return found

    def metadata(self, series: str, name: str) -> str:
        """Metadata of a series; empty where there is none of that name."""
        found = self.get(f"/series/{series}/metadata?expand")
        return str(found.get(name, ""))

    def _answers(self) -> bool:
        try:
            self.get("/changes?limit=1")
        except (OSError, urllib.error.URLError):
            return False
        return True
