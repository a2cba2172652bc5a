"""Where a store lies: names and bytes, nothing of what they mean. A folder and a bucket behave alike.

Every write appears whole or not at all, and writing the same name twice is harmless, for names of volumes are hashes
of their content and manifests of one key say the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol


@dataclass(frozen=True)
class Entry:
    """One stored file."""

    name: str
    """Relative to the store, parts joined by slashes."""
    bytes: int
    modified: datetime
    """UTC."""


class Content(Protocol):
    """A file to be written: may be opened again for a second try."""

    @property
    def size(self) -> int:
        """Bytes."""

    def open(self) -> BinaryIO:
        """From the first byte."""


class Backing(Protocol):
    """A place that keeps files by name."""

    @property
    def where(self) -> str:
        """What messages call it: never a path or an address, which may tell of a person."""

    def write(self, name: str, content: Content, sha256: str) -> None:
        """Put a file there, whole or not at all; replaces what had the name.

        Raises
        ------
        ReconError
            With the reason, after patient tries.
        """

    def read_hashed(self, name: str, limit: int) -> tuple[memoryview, str] | None:
        """A whole file and its SHA-256, made as it comes; None where it is not there or longer than `limit` bytes.

        Raises
        ------
        ReconError
            With the reason, after patient tries.
        """

    def read(self, name: str, limit: int) -> bytes | None:
        """The same for who asks for no hash."""
        found = self.read_hashed(name, limit)
        return bytes(found[0]) if found is not None else None

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Every file below `prefix`, sorted by name."""

    @property
    def expires_by_itself(self) -> bool:
        """Whether somebody else removes what is older than `retention` says."""

    def retention(self) -> dict[str, int]:
        """Days for which each class of files stays, where a limit is set."""

    def set_retention(self, days: dict[str, int]) -> None:
        """Set them."""

    def remove(self, name: str) -> None:
        """Take a file away; nothing happens where it is not there."""
