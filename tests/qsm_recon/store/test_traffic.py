"""What moved is what lies there afterwards."""

from pathlib import Path

import numpy as np
import pytest

from qsm_recon.store.backing import Content
from qsm_recon.store.in_folder import FolderBacking
from qsm_recon.store.store import DamagedError, Store

VOLUME = np.arange(60, dtype=np.float32).reshape(3, 4, 5)


def test_bytes_are_those_of_the_files(tmp_path: Path) -> None:
    store = Store(FolderBacking(tmp_path))
    store.check(make=True)
    part = store.write_volume(VOLUME, np.eye(4), "x")
    store.write_volume(VOLUME, np.eye(4), "x")  # the same again: nothing moves
    on_disk = sum(entry.bytes for entry in store.backing.entries(""))
    assert store.traffic.as_dict()["bytesWritten"] == on_disk
    before = store.traffic.read.bytes
    store.read_volume(part)
    assert store.traffic.read.bytes == before + part.bytes
    assert store.traffic.read.seconds > 0
    assert store.traffic.written.seconds > 0


class Full(FolderBacking):
    """No more room."""

    def write(self, name: str, content: Content, sha256: str) -> None:
        raise OSError(name, content, sha256)


def test_what_failed_cost_time_and_moved_nothing(tmp_path: Path) -> None:
    store = Store(Full(tmp_path))
    with pytest.raises(OSError, match="nii"):
        store.write_volume(VOLUME, np.eye(4), "x")
    assert store.traffic.written.bytes == 0
    assert store.traffic.written.seconds > 0


def test_what_is_gone_moved_nothing(tmp_path: Path) -> None:
    store = Store(FolderBacking(tmp_path))
    part = store.write_volume(VOLUME, np.eye(4), "x")
    store.backing.remove(part.file)
    with pytest.raises(DamagedError):
        store.read_volume(part)
    assert store.traffic.read.bytes == 0
