"""A container's CPU limit is a quota of time: read from control groups of both versions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qsm_recon.qsm import cores


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content + "\n")


def own(folder: Path, *lines: str) -> Path:
    path = folder / "own"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.mark.parametrize(
    ("said", "limit"), [("max 100000", None), ("200000 100000", 2.0), ("150000 100000", 1.5), ("5000 20000", 0.25)]
)
def test_version_2_in_a_container(tmp_path: Path, said: str, limit: float | None) -> None:
    group(tmp_path / "groups", cpu__max=said)
    assert cores.quota(tmp_path / "groups", own(tmp_path, "0::/")) == limit


def test_version_2_on_a_host_the_tightest_group_counts(tmp_path: Path) -> None:
    root = tmp_path / "groups"
    group(root / "a.slice", cpu__max="300000 100000")
    group(root / "a.slice/b.service", cpu__max="max 100000")
    assert cores.quota(root, own(tmp_path, "0::/a.slice/b.service")) == 3.0


@pytest.mark.parametrize(("amount", "limit"), [("-1", None), ("250000", 2.5)])
def test_version_1(tmp_path: Path, amount: str, limit: float | None) -> None:
    root = tmp_path / "groups"
    group(root / "cpu,cpuacct", cpu__cfs_quota_us=amount, cpu__cfs_period_us="100000")
    lines = ("12:memory:/docker/abc", "4:cpu,cpuacct:/docker/abc", "3:cpuset:/", "1:name=systemd:/x")
    assert cores.quota(root, own(tmp_path, *lines)) == limit


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert cores.quota(tmp_path / "none", tmp_path / "no-file") is None
    assert cores.quota(tmp_path / "none", own(tmp_path, "0::/")) is None


def test_never_more_than_affinity_allows_and_never_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = len(os.sched_getaffinity(0))
    monkeypatch.setattr(cores, "_CGROUPS", tmp_path)
    monkeypatch.setattr(cores, "_OWN", own(tmp_path, "0::/"))
    for said, expected in (("6400000 100000", allowed), ("1000 100000", 1), ("100000 100000", 1)):
        group(tmp_path, cpu__max=said)
        cores.usable.cache_clear()
        assert cores.usable() == expected
    cores.usable.cache_clear()


def test_the_kernel_says_it_so(tmp_path: Path) -> None:
    """A real group of this machine with a limit of one and a half cores, where one can be made."""
    version_2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    parent = Path("/sys/fs/cgroup") if version_2 else Path("/sys/fs/cgroup/cpu")
    made = parent / f"qsm-test-{os.getpid()}"
    try:
        made.mkdir()
        limits = {"cpu.max": "150000 100000"} if version_2 else {"cpu.cfs_quota_us": "150000"}
        for name, value in limits.items():
            (made / name).write_text(value)
    except OSError as error:
        if made.exists():
            made.rmdir()
        pytest.skip(f"no control group with a CPU limit can be made here: {error}")
    try:
        asked = "from qsm_recon.qsm import cores; print(cores.quota(cores._CGROUPS, cores._OWN))"
        into = f"echo $$ > {made}/cgroup.procs && exec {sys.executable} -c '{asked}'"
        done = subprocess.run(["bash", "-c", into], capture_output=True, text=True, check=True, cwd=tmp_path)
        assert float(done.stdout) == 1.5
    finally:
        made.rmdir()
