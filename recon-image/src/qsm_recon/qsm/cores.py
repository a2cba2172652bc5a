"""How many cores this process may use: those it may run on, less what a container's CPU limit leaves of them.

A limit in Kubernetes or Docker is a quota of time, which affinity does not show: eight threads under a limit of two
cores run for a quarter of each period and then stand still.
"""

import math
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


@cache
def usable() -> int:
    """Cores, at least 1; of a limit that is no whole number the next one up."""
    allowed = len(os.sched_getaffinity(0))
    limit = quota(_CGROUPS, _OWN)
    return allowed if limit is None else max(1, min(allowed, math.ceil(limit)))


def quota(cgroups: Path, own: Path) -> float | None:
    """The least CPU limit, in cores, of this process's control group and those above it; None where there is none.

    Parameters
    ----------
    cgroups
        Where control groups are mounted, version 1 or 2.
    own
        `/proc/self/cgroup`: the groups of this process.

    References
    ----------
    cgroups(7); cpu.max in the kernel's admin-guide/cgroup-v2, cpu.cfs_quota_us in scheduler/sched-bwc.
    """
    limits = [limit for folder in _groups(cgroups, own) if (limit := _limit(folder)) is not None]
    return min(limits, default=None)


def _groups(cgroups: Path, own: Path) -> Iterator[Path]:
    """Folders of the CPU controller, from this process's up to the root; in a container the root is its own."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux, or no /proc
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = cgroups / controllers if controllers else cgroups
        group = Path(path.lstrip("/"))
        for part in (group, *group.parents):
            yield root / part


def _limit(group: Path) -> float | None:
    try:
        if (group / "cpu.max").exists():
            amount, period = (group / "cpu.max").read_text(encoding="ascii").split()
        else:
            amount, period = (
                (group / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period")
            )
    except OSError:  # a group of the host that a container does not see, or the root, which has no limit
        return None
    if amount == "max" or int(amount) <= 0:
        return None
    return int(amount) / int(period)
