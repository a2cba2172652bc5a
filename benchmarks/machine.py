"""On what, when and of what: the facts without which a number means nothing."""

import datetime as dt
import os
import platform
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np

from benchmarks.isolated import ROOT

QUIET_CORES = 0.15
"""Less than this used by others counts as a quiet machine."""


def commit() -> str:
    """Short commit of the code, `+` where the tree holds changes."""
    git = shutil.which("git")
    if git is None:
        return "unknown"

    def ask(*words: str) -> str:
        done = subprocess.run([git, *words], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
        return done.stdout.strip()

    head = ask("rev-parse", "--short", "HEAD")
    changed = ask("status", "--porcelain", "--untracked-files=no", "--", "recon-image/src", "benchmarks")
    return (head or "unknown") + ("+" if changed else "")


def described() -> str:
    """One line: processor, cores, date, commit."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    date = dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return (
        f"{len(os.sched_getaffinity(0))} cores of a shared virtual machine ({model}), Python "
        f"{platform.python_version()}; {date}; commit `{commit()}`"
    )


def into_page_cache(folder: Path) -> None:
    """Read every file once, so that the next one to read them does not wait for the disk."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            path.read_bytes()


def memory_s_per_gib() -> tuple[float, float]:
    """Seconds to write a GiB of memory that is new to this process, and to write it again."""
    block = np.empty(1 << 29, np.uint8)
    times = []
    for value in (1, 2):
        began = time.perf_counter()
        block.fill(value)
        times.append(2 * (time.perf_counter() - began))
    return times[0], times[1]


class Neighbours:
    """How many cores everything but this process used, on average, since it was made."""

    def __init__(self) -> None:
        self._busy, self._wall = _busy_seconds(), time.perf_counter()

    def cores(self, own_cpu_seconds: float) -> float:
        """Cores used by others; `own_cpu_seconds` is what the measured process itself used meanwhile."""
        busy = _busy_seconds() - self._busy - own_cpu_seconds
        return max(0.0, busy / max(1e-9, time.perf_counter() - self._wall))


def _busy_seconds() -> float:
    """CPU seconds of the whole machine so far, idle and waiting left out."""
    user, nice, system, _idle, _wait, irq, soft, steal = (
        int(v) for v in Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:9]
    )
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")
