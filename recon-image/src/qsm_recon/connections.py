"""What a connection Secret says: a folder of small files (docs/contract.md, Connections)."""

from collections.abc import Collection
from pathlib import Path

from qsm_recon.errors import ReconError

MAX_BYTES = 1_000_000
"""A Secret holds no more; a larger file is something else."""


class ConnectionSettingsError(ReconError):
    """The Secret of a connection is not there, lacks a key, or holds one that nobody reads."""

    exit_code = 78

    def __init__(self, message: str) -> None:
        super().__init__("InvalidConnection", message)


def read(folder: Path, kind: str, required: Collection[str], optional: Collection[str]) -> dict[str, str]:
    """Every key of a connection of that kind (`Orthanc`, `S3`) with its value, blanks at the ends taken off.

    Values are never in a message: they are secrets. Keys that begin with a dot are Kubernetes' own.

    Raises
    ------
    ConnectionSettingsError
        The folder is not there, a required key is absent or empty, a key is not known, a value is no text.
    """
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
    for key in required:
        if not values.get(key):
            raise ConnectionSettingsError(f"{kind} connection {name}: the Secret lacks the key {key}")
    return {key: value for key, value in values.items() if value}


def _value(path: Path, kind: str) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        value = content.decode("utf-8")
    except (OSError, ValueError):
        value = None
    if value is None or len(content) > MAX_BYTES:
        raise ConnectionSettingsError(f"{kind} connection {path.parent.name}: key {path.name} cannot be read as text")
    return value.strip()
