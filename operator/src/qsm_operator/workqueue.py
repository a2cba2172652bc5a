"""Keys that want to be looked at: each at most once in the line, never by two workers, later again after a failure."""

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

Key = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a key that failed waits: doubled each time, with jitter, up to the longest."""

    first_seconds: float = 0.2
    longest_seconds: float = 60.0

    def seconds(self, failures: int) -> float:
        """Pause after so many failures in a row."""
        return min(self.first_seconds * 2.0 ** min(failures - 1, 30), self.longest_seconds) * (
            1 - 0.2 * random.random()  # noqa: S311 - jitter, no secret
        )


class WorkQueue:
    """The line. Adding is safe at any time from the event loop."""

    def __init__(self, clock: Callable[[], float], backoff: Backoff | None = None) -> None:
        self._clock = clock
        self._backoff = backoff or Backoff()
        self._line: deque[Key] = deque()
        self._front: deque[Key] = deque()
        self._since: dict[Key, float] = {}
        self._busy: dict[Key, float] = {}
        self._dirty: set[Key] = set()
        self._later: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._failures: dict[Key, int] = {}
        self._changed = asyncio.Event()
        self._is_closed = False

    def add(self, key: Key, *, first: bool = False) -> None:
        """Look at it soon. While it is being looked at, it is looked at once more afterwards.

        With `first` it goes before all that came without: for what somebody waits for, such as a Job to be created.
        """
        if key in self._busy:
            self._dirty.add(key)
        elif key not in self._since:
            (self._front if first else self._line).append(key)
            self._since[key] = self._clock()
            self._changed.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Look at it then, if nothing else leads to it earlier."""
        when = self._clock() + max(0.0, seconds)
        if self._later.get(key, when + 1) > when:
            self._later[key] = when
            heapq.heappush(self._heap, (when, key))
            self._changed.set()

    async def get(self, *, only_first: bool = False) -> Key | None:
        """The next key (with `only_first`: of those that go first), now busy until `done`; none once closed."""
        while not self._is_closed:
            self._ripen()
            line = self._front or (deque() if only_first else self._line)
            if line:
                key = line.popleft()
                del self._since[key]
                self._busy[key] = self._clock()
                self._later.pop(key, None)
                return key
            self._changed.clear()
            pause = max(0.0, self._heap[0][0] - self._clock()) if self._heap else None
            try:
                await asyncio.wait_for(self._changed.wait(), pause)
            except TimeoutError:
                continue
        return None

    def done(self, key: Key, *, failed: bool = False) -> None:
        """It was looked at. A failure brings it back later, and later each time."""
        self._busy.pop(key, None)
        if failed:
            self._failures[key] = self._failures.get(key, 0) + 1
            self._dirty.discard(key)
            self.add_after(key, self._backoff.seconds(self._failures[key]))
            return
        self._failures.pop(key, None)
        if key in self._dirty:
            self._dirty.discard(key)
            self.add(key)

    def close(self) -> None:
        """Hand out no more keys; what is busy ends."""
        self._is_closed = True
        self._changed.set()

    def _ripen(self) -> None:
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            when, key = heapq.heappop(self._heap)
            if self._later.get(key) == when:
                del self._later[key]
                self.add(key)

    @property
    def depth(self) -> int:
        """How many wait."""
        return len(self._since)

    @property
    def oldest_seconds(self) -> float:
        """How long the one that waits longest has waited."""
        return self._clock() - min(self._since.values()) if self._since else 0.0

    @property
    def busiest_seconds(self) -> float:
        """How long the slowest worker has been at its key."""
        return self._clock() - min(self._busy.values()) if self._busy else 0.0
