"""How far a running pod says it is, read from the end of its log without trust."""

import json
import re
from dataclasses import dataclass

from qsm_operator.resources.report import STEPS

MAX_TAIL_BYTES = 65536
"""More than was asked for did not come from where it should."""
_MAX_LINE = 512
_STAGE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Progress:
    """What a running pod says of itself."""

    stage: str
    percent: int
    step: str = ""


def read_progress(tail: bytes) -> Progress | None:
    """The newest line that tells it, as docs/contract.md has it; none where no line does."""
    for line in reversed(tail[:MAX_TAIL_BYTES].split(b"\n")):
        if len(line) <= _MAX_LINE and (found := _read(line)) is not None:
            return found
    return None


def _read(line: bytes) -> Progress | None:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    said = document.get("progress") if isinstance(document, dict) else None
    if not isinstance(said, dict):
        return None
    stage, percent, step = said.get("stage"), said.get("percent"), said.get("step")
    if not isinstance(stage, str) or not _STAGE.fullmatch(stage):
        return None
    if isinstance(percent, bool) or not isinstance(percent, int) or not 0 <= percent <= 100:
        return None
    return Progress(stage, percent, step if isinstance(step, str) and step in STEPS else "")
