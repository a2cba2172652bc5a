"""Whose turn it is: how many run at once, how fast Jobs are created, in which order. No clock of its own."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A job that could start an attempt."""

    key: Key
    priority: int
    created: datetime


def best(waiting: list[Candidate], running: Counter[str], most_in_namespace: int) -> Candidate | None:
    """Who starts next: the highest priority; among equals the namespace with the least running; then the oldest."""
    ready = [
        candidate for candidate in waiting if not most_in_namespace or running[candidate.key[0]] < most_in_namespace
    ]
    return min(
        ready,
        key=lambda candidate: (-candidate.priority, running[candidate.key[0]], candidate.created, candidate.key),
        default=None,
    )


class Turns:
    """Who runs, who waits, and how many may be started right now."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        most: int = 0,
        most_in_namespace: int = 0,
        per_second: float = 20.0,
        burst: int = 40,
    ) -> None:
        self._clock = clock
        self._most, self._most_in_namespace = most, most_in_namespace
        self._per_second, self._burst = per_second, burst
        self._tokens, self._filled = float(burst), clock()
        self._waiting: dict[Key, Candidate] = {}
        self._running: set[Key] = set()
        self._granted: set[Key] = set()

    def ask(self, candidate: Candidate) -> None:
        """It would like to start."""
        if candidate.key not in self._granted:
            self._waiting[candidate.key] = candidate

    def grant(self) -> list[Key]:
        """Those whose turn has come; each keeps its turn until `runs` or `rests` is said of it."""
        now = self._clock()
        self._tokens = min(float(self._burst), self._tokens + (now - self._filled) * self._per_second)
        self._filled = now
        granted: list[Key] = []
        busy = self._running | self._granted
        in_namespace = Counter(namespace for namespace, _ in busy)
        while self._waiting and self._tokens >= 1 and (not self._most or len(busy) < self._most):
            chosen = best(list(self._waiting.values()), in_namespace, self._most_in_namespace)
            if chosen is None:
                break
            del self._waiting[chosen.key]
            self._granted.add(chosen.key)
            busy.add(chosen.key)
            in_namespace[chosen.key[0]] += 1
            self._tokens -= 1
            granted.append(chosen.key)
        return granted

    def may_start(self, key: Key) -> bool:
        """Whether it is its turn."""
        return key in self._granted

    def runs(self, key: Key) -> None:
        """An attempt of it is under way."""
        self._granted.discard(key)
        self._waiting.pop(key, None)
        self._running.add(key)

    def rests(self, key: Key) -> None:
        """Nothing of it is under way; if it waited or had its turn, it does no longer."""
        self._granted.discard(key)
        self._waiting.pop(key, None)
        self._running.discard(key)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)
