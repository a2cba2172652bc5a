"""How much went to a store and came from it: for the report of a pod, and so for the cluster's metrics."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Amount:
    """Of one direction."""

    bytes: int = 0
    seconds: float = 0.0
    """Summed over all transfers, also over those that went at once; failed ones count with their time."""


class Traffic:
    """Counted by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.read = Amount()
        self.written = Amount()

    @contextmanager
    def counting(self, amount: Amount) -> Iterator[Amount]:
        """One transfer; add its bytes to what this gives."""
        one, began = Amount(), time.perf_counter()
        try:
            yield one
        finally:
            with self._lock:
                amount.bytes += one.bytes
                amount.seconds += time.perf_counter() - began

    def as_dict(self) -> dict[str, float]:
        """As in the termination message (docs/contract.md)."""
        return {
            "bytesRead": self.read.bytes,
            "bytesWritten": self.written.bytes,
            "secondsRead": round(self.read.seconds, 3),
            "secondsWritten": round(self.written.seconds, 3),
        }
