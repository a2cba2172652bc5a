"""What a connection Secret says to this program: a folder of small files (docs/contract.md, Connections)."""

import ssl
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

MAX_BYTES = 1_000_000
"""A Secret holds no more; a larger file is something else."""

_ORTHANC_KEYS = ("username", "password", "token", "ca.crt", "tls.crt", "tls.key")


class ConnectionSettingsError(ValueError):
    """The Secret of a connection is not there, lacks a key, or holds one that nobody reads. Never quotes a value."""


@dataclass(frozen=True, slots=True)
class OrthancConnection:
    """How to reach an Orthanc server. Secrets are not in its representation."""

    name: str
    url: str = field(repr=False)
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def tls(self) -> ssl.SSLContext:
        """What a client needs to trust the server, and to be known to it.

        Raises
        ------
        ConnectionSettingsError
            A certificate or key is none.
        """
        try:
            context = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
            if self.certificate_file and self.key_file:
                context.load_cert_chain(self.certificate_file, self.key_file)
        except (ssl.SSLError, OSError):
            raise ConnectionSettingsError(
                f"Orthanc connection {self.name}: ca.crt, tls.crt or tls.key is no certificate or key in PEM"
            ) from None
        return context


def orthanc_connections(folder: Path) -> dict[str, Path]:
    """Every connection that is mounted below a folder: its name (that of the Secret) and its own folder.

    Raises
    ------
    ConnectionSettingsError
        The folder is not there.
    """
    try:
        entries = [entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    except OSError:
        raise ConnectionSettingsError(f"the folder of connections {folder} is not there; mount the Secrets") from None
    return {entry.name: entry for entry in sorted(entries)}


def read_orthanc(folder: Path) -> OrthancConnection:
    """The connection a mounted Secret holds.

    Raises
    ------
    ConnectionSettingsError
        It is not there, or one of its keys is absent, unknown or unusable.
    """
    name = folder.name
    said = _read(folder, "Orthanc", {"url"}, _ORTHANC_KEYS)
    parts = urlsplit(said["url"])
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.username:
        raise ConnectionSettingsError(
            f"Orthanc connection {name}: url must read https://host:port, with a path or none"
        )
    if ("username" in said) != ("password" in said):
        raise ConnectionSettingsError(f"Orthanc connection {name}: username and password stand together")
    if "token" in said and "username" in said:
        raise ConnectionSettingsError(f"Orthanc connection {name}: token or username and password, not both")
    if ("tls.crt" in said) != ("tls.key" in said):
        raise ConnectionSettingsError(f"Orthanc connection {name}: tls.crt and tls.key stand together")
    return OrthancConnection(
        name,
        said["url"].rstrip("/"),
        said.get("username", ""),
        said.get("password", ""),
        said.get("token", ""),
        folder / "ca.crt" if "ca.crt" in said else None,
        folder / "tls.crt" if "tls.crt" in said else None,
        folder / "tls.key" if "tls.key" in said else None,
    )


def _read(folder: Path, kind: str, required: Collection[str], optional: Collection[str]) -> dict[str, str]:
    """Every key with its value, blanks at the ends taken off. Keys that begin with a dot are Kubernetes' own."""
    name = folder.name
    try:
        names = {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")}
    except OSError:
        raise ConnectionSettingsError(f"{kind} connection {name}: the Secret is not mounted; create it") from None
    unknown = sorted(names - {*required, *optional})
    if unknown:
        known = ", ".join(sorted({*required, *optional}))
        raise ConnectionSettingsError(f"{kind} connection {name}: key {unknown[0]} is not known; known are {known}")
    values = {key: _value(folder / key, kind) for key in sorted(names)}
    for key in sorted(required):
        if not values.get(key):
            raise ConnectionSettingsError(f"{kind} connection {name}: the Secret lacks the key {key}")
    return {key: value for key, value in values.items() if value}


def _value(path: Path, kind: str) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        text = content.decode("utf-8")
    except (OSError, ValueError):
        text = None
    if text is None or len(content) > MAX_BYTES:
        raise ConnectionSettingsError(f"{kind} connection {path.parent.name}: key {path.name} cannot be read as text")
    return text.strip()
