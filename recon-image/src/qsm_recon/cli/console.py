"""What a person sees while stages run: bars on a terminal, one plain line per stage elsewhere.

All of it goes to stderr; stdout belongs to results.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from qsm_recon.qsm.observing import Nobody, Observer, StageTiming
from qsm_recon.qsm.progress import Progress as ProgressCall
from qsm_recon.qsm.progress import silent

LABELS = {
    "fetch": "Fetching images",
    "look": "Looking at headers",
    "read": "Reading images",
    "field_mapping": "Fitting the field",
    "masking": "Finding the brain",
    "unwrapping": "Unwrapping",
    "background": "Removing the background field",
    "relaxometry": "Fitting R2*",
    "inversion": "Inverting the dipole field",
    "referencing": "Referencing",
    "identify": "Recognising the scan",
    "write": "Writing",
    "report": "Drawing the report",
    "settle": "Storing interim data",
    "keep": "Storing results",
    "deliver": "Delivering",
    "simulate": "Simulating",
}
"""A stage's name in words."""


class PlainLines:
    """One line when a stage has ended: for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def started(self, _stage: str) -> ProgressCall:
        """Say nothing yet."""
        return silent

    def finished(self, timing: StageTiming) -> None:
        """Say what the stage took."""
        label = LABELS.get(timing.stage, timing.stage)
        self._stream.write(f"{label:<32}{timing.seconds:8.2f} s{timing.peak_rss_mib:9.0f} MiB peak\n")
        self._stream.flush()


class Bars:
    """One live bar per stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None, visible=False)

    def started(self, stage: str) -> ProgressCall:
        """Add the stage's bar; it pulses until the stage says how far it is."""
        task = self._progress.add_task(LABELS.get(stage, stage), total=None)
        self._task = task

        def advance(fraction: float, /) -> None:
            self._progress.update(task, total=1.0, completed=min(max(fraction, 0.0), 1.0))

        return advance

    def finished(self, timing: StageTiming) -> None:  # noqa: ARG002 - the bar keeps its own time
        """Fill the bar."""
        self._progress.update(self._task, total=1.0, completed=1.0)
        self._progress.stop_task(self._task)


@contextmanager
def watching(*, quiet: bool) -> Iterator[Observer]:
    """The observer that fits stderr: nobody, bars or lines."""
    if quiet:
        yield Nobody()
    elif sys.stderr.isatty():
        columns = (SpinnerColumn(finished_text="✓"), TextColumn("{task.description:<30}"), BarColumn(bar_width=30))
        with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
            yield Bars(progress)
    else:
        yield PlainLines(sys.stderr)


def tell(text: str, *, quiet: bool = False) -> None:
    """One line for a person, on stderr."""
    if not quiet:
        sys.stderr.write(text + "\n")
