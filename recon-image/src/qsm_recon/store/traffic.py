"""How much goes in and out of a store, and how long that takes: counted at its door, for the report of the pod."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from qsm_recon.store.backing import Backing, Content, Entry


@dataclass
class Traffic:
    """Bytes and seconds so far. Seconds are those of each transfer: of two at once both count."""

    bytes_read: int = 0
    bytes_written: int = 0
    seconds_read: float = 0.0
    seconds_written: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Count the time of the body, failed or not: waiting for a store that is away is time spent on it."""
        began = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self.seconds_read += time.monotonic() - began

    @contextmanager
    def writing(self) -> Iterator[None]:
        """The same."""
        began = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self.seconds_written += time.monotonic() - began

    def moved(self, *, read: int = 0, written: int = 0) -> None:
        """Count bytes that have arrived, here or there."""
        with self._lock:
            self.bytes_read += read
            self.bytes_written += written

    def told(self) -> dict[str, float]:
        """As the contract has it."""
        return {
            "bytesRead": self.bytes_read,
            "bytesWritten": self.bytes_written,
            "secondsRead": round(self.seconds_read, 3),
            "secondsWritten": round(self.seconds_written, 3),
        }


class Metered:
    """A backing that is counted; otherwise the one it is given."""

    def __init__(self, inner: Backing) -> None:
        self._inner = inner
        self.traffic = Traffic()

    @property
    def where(self) -> str:
        """What messages call it."""
        return self._inner.where

    def write(self, name: str, content: Content, sha256: str) -> None:
        """Put a file there, and count it."""
        with self.traffic.writing():
            self._inner.write(name, content, sha256)
        self.traffic.moved(written=content.size)

    def read(self, name: str, limit: int) -> bytes | None:
        """A whole file, counted."""
        with self.traffic.reading():
            content = self._inner.read(name, limit)
        self.traffic.moved(read=len(content or b""))
        return content

    def read_hashed(self, name: str, limit: int) -> tuple[bytearray, str] | None:
        """A whole file and its hash, counted."""
        with self.traffic.reading():
            found = self._inner.read_hashed(name, limit)
        self.traffic.moved(read=len(found[0]) if found is not None else 0)
        return found

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Every file below `prefix`."""
        return self._inner.entries(prefix)

    @property
    def expires_by_itself(self) -> bool:
        """Whether somebody else removes what is old."""
        return self._inner.expires_by_itself

    def retention(self) -> dict[str, int]:
        """Days for which each class of files stays."""
        return self._inner.retention()

    def set_retention(self, days: dict[str, int]) -> None:
        """Set them."""
        self._inner.set_retention(days)

    def remove(self, name: str) -> None:
        """Take a file away."""
        self._inner.remove(name)
