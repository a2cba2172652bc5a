"""Who watches a reconstruction, and the clock that times its stages.

The science tells an `Observer` when a stage starts, how far it is and when it ends; what becomes of that (a
progress bar, a log line, a metric) is the observer's affair. The clock keeps the times for the report.
"""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from qsm_recon.qsm.progress import Progress, silent


@dataclass(frozen=True)
class StageTiming:
    """What one stage cost."""

    stage: str
    """Name of the stage, as in the recipe (`field_mapping`, ...), or `read`, `write`, `report`."""
    seconds: float
    """Wall seconds."""
    peak_rss_mib: float
    """High-water mark of the whole process at the end of the stage, MiB (it never falls)."""


class Observer(Protocol):
    """Told of every stage; may raise from any call to cancel."""

    def started(self, stage: str) -> Progress:
        """`stage` begins; the returned callable takes its progress, 0 to 1."""

    def finished(self, timing: StageTiming) -> None:
        """A stage has ended well."""


class Nobody:
    """The observer that does not look."""

    def started(self, _stage: str) -> Progress:
        """Take no note."""
        return silent

    def finished(self, timing: StageTiming) -> None:
        """Take no note."""


class StageClock:
    """Times stages one after the other and passes them on to an observer."""

    def __init__(self, observer: Observer | None = None) -> None:
        self._observer: Observer = observer if observer is not None else Nobody()
        self._timings: list[StageTiming] = []

    @property
    def timings(self) -> tuple[StageTiming, ...]:
        """Stages that have ended, in order."""
        return tuple(self._timings)

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        """Time the body as stage `name`; yields the progress callable to hand to the method."""
        progress = self._observer.started(name)
        start = time.perf_counter()
        yield progress
        timing = StageTiming(name, time.perf_counter() - start, peak_rss_mib())
        self._timings.append(timing)
        self._observer.finished(timing)


def peak_rss_mib() -> float:
    """Largest resident memory of this process so far, MiB (Linux counts ru_maxrss in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
