"""How far a pod is, told in its log: a short JSON line now and then, for a reader who looks at its end only.

docs/contract.md has the format. Nothing in it comes from the images.
"""

import json
import time
from collections.abc import Callable
from typing import TextIO

from qsm_recon.qsm.observing import Observer, StageTiming
from qsm_recon.qsm.progress import Progress

PAUSE_S = 5.0
"""Within a stage, no more often than this."""

STEP_OF_STAGE = {
    "fetch": "fetch",
    "look": "read",
    "read": "read",
    "write": "write",
    "report": "write",
    "deliver": "deliver",
}
"""Step of the contract; all other stages are `reconstruct`."""

SHARES = {
    "fetch": 4,
    "look": 1,
    "read": 3,
    "field_mapping": 12,
    "masking": 6,
    "unwrapping": 6,
    "background": 16,
    "relaxometry": 4,
    "inversion": 38,
    "referencing": 1,
    "write": 4,
    "report": 2,
    "deliver": 3,
}
"""What part of the whole a stage is on a usual scan (docs/performance.md), in percent and in order."""


class ProgressLog:
    """An observer that writes lines and passes everything on."""

    def __init__(self, inner: Observer, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._inner, self._stream, self._clock = inner, stream, clock
        self._told_at = float("-inf")
        self._percent = 0

    def started(self, stage: str) -> Progress:
        """Say so, and then now and then how far it is."""
        inner = self._inner.started(stage)
        self._tell(stage, 0.0)

        def advance(fraction: float, /) -> None:
            inner(fraction)
            if self._clock() - self._told_at >= PAUSE_S:
                self._tell(stage, fraction)

        return advance

    def finished(self, timing: StageTiming) -> None:
        """Pass it on; the next stage says more."""
        self._inner.finished(timing)

    def _tell(self, stage: str, fraction: float) -> None:
        self._percent = max(self._percent, _percent(stage, fraction))  # it never falls, whatever a stage says
        step = STEP_OF_STAGE.get(stage, "reconstruct")
        line = json.dumps({"progress": {"step": step, "stage": stage, "percent": self._percent}})
        self._stream.write(line + "\n")
        self._stream.flush()
        self._told_at = self._clock()


def _percent(stage: str, fraction: float) -> int:
    """Part of the whole that is done, 0 to 99; 100 is for who has seen the end."""
    if stage not in SHARES:
        return 0
    names = list(SHARES)
    before = sum(SHARES[name] for name in names[: names.index(stage)])
    return min(99, int(before + SHARES[stage] * min(max(fraction, 0.0), 1.0)))
