"""An output appears whole or not at all."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from qsm_recon.errors import TransientError, UsageError
from qsm_recon.folder import check_target, new_file, new_folder


def names(folder: Path) -> list[str]:
    """What a folder holds, hidden or not."""
    return [path.name for path in folder.iterdir()]


def test_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"
    with new_folder(target) as staging:
        (staging / "a.txt").write_text("a")
        assert not target.exists()
    assert (target / "a.txt").read_text() == "a"
    assert names(target.parent) == ["out"]
    umask = os.umask(0)
    os.umask(umask)
    assert target.stat().st_mode & 0o777 == 0o777 & ~umask


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_failure_leaves_nothing(tmp_path: Path, failure: type[BaseException]) -> None:
    def half() -> None:
        with new_folder(tmp_path / "deep" / "out") as staging:
            (staging / "half").write_text("half")
            raise failure

    with pytest.raises(failure):
        half()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["empty folder", "file", "dangling link"])
def test_existing_target_is_refused_and_untouched(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "out"
    if kind == "empty folder":
        target.mkdir()
    elif kind == "file":
        target.write_text("mine")
    else:
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError) as caught, new_folder(target):
        pytest.fail("the body must not run")
    assert caught.value.reason == "OutputExists"
    assert names(tmp_path) == ["out"]


def test_target_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "out"

    def race() -> None:
        with new_folder(target) as staging:
            (staging / "mine").write_text("mine")
            target.mkdir()
            (target / "theirs").write_text("theirs")

    with pytest.raises(UsageError):
        race()
    assert names(target) == ["theirs"]
    assert names(tmp_path) == ["out"]


def test_target_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError):
        check_target(tmp_path / "file" / "out")


def test_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    target = tmp_path / "chi.nii.gz"
    target.write_text("old")

    def half() -> None:
        with new_file(target) as staging:
            staging.write_text("half")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        half()
    assert target.read_text() == "old"
    with new_file(target) as staging:
        assert staging.name == target.name
        staging.write_text("new")
    assert target.read_text() == "new"
    assert names(tmp_path) == ["chi.nii.gz"]


def test_file_in_a_missing_folder_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError), new_file(tmp_path / "absent" / "chi.nii"):
        pytest.fail("the body must not run")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 64 KiB; needs the right to mount."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_full_disk_says_so_and_leaves_nothing(tiny_disk: Path) -> None:
    with pytest.raises(TransientError) as caught, new_folder(tiny_disk / "out") as staging:
        (staging / "big").write_bytes(os.urandom(1 << 20))
    assert caught.value.reason == "DiskFull"
    assert caught.value.exit_code == 75
    assert list(tiny_disk.iterdir()) == []
