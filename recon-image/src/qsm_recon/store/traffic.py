"""How much goes in and out of a store, and how long that takes: counted at its door, for the report of the pod."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from qsm_recon.store.backing import Backing, Content, Entry


@dataclass
class Amount:
    """Of one direction, so far."""

    bytes: int = 0
    """Of files that have arrived, here or there."""
    seconds: float = 0.0
    """Of each transfer: of two at once both count."""


class Traffic:
    """Counted by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.read, self.written = Amount(), Amount()

    @contextmanager
    def timing(self, amount: Amount) -> Iterator[None]:
        """Count the time of the body, failed or not: waiting for a store that is away is time spent on it."""
        began = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                amount.seconds += time.monotonic() - began

    def moved(self, amount: Amount, count: int) -> None:
        """Count bytes that have arrived."""
        with self._lock:
            amount.bytes += count

    def told(self) -> dict[str, float]:
        """As the contract has it."""
        return {
            "bytesRead": self.read.bytes,
            "bytesWritten": self.written.bytes,
            "secondsRead": round(self.read.seconds, 3),
            "secondsWritten": round(self.written.seconds, 3),
        }


class Metered(Backing):
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
        with self.traffic.timing(self.traffic.written):
            self._inner.write(name, content, sha256)
        self.traffic.moved(self.traffic.written, content.size)

    def read_hashed(self, name: str, limit: int) -> tuple[memoryview, str] | None:
        """A whole file and its hash, counted."""
        with self.traffic.timing(self.traffic.read):
            found = self._inner.read_hashed(name, limit)
        self.traffic.moved(self.traffic.read, len(found[0]) if found is not None else 0)
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
