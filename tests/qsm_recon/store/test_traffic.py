"""What goes through the door of a store is counted, also from several threads and where it fails."""

import hashlib
import threading
from pathlib import Path

import pytest

from qsm_recon.errors import ReconError, TransientError
from qsm_recon.store.in_folder import FolderBacking
from qsm_recon.store.interim import InterimData, open_store
from qsm_recon.store.store import Whole
from qsm_recon.store.traffic import Metered


def test_bytes_are_those_of_the_files(tmp_path: Path) -> None:
    store = Metered(FolderBacking(tmp_path))
    threads = [threading.Thread(target=store.write, args=(f"a/{n}", Whole(b"x" * 1000), "")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.read("a/1", 10_000) == b"x" * 1000
    assert store.read("nothing", 10_000) is None
    told = store.traffic.told()
    assert (told["bytesWritten"], told["bytesRead"]) == (8000, 1000)
    assert store.read_hashed("a/2", 10_000) == (b"x" * 1000, hashlib.sha256(b"x" * 1000).hexdigest())
    assert store.traffic.told()["bytesRead"] == 2000
    assert told["secondsWritten"] >= 0


class Away(FolderBacking):
    def read_hashed(self, name: str, limit: int) -> tuple[memoryview, str] | None:  # noqa: ARG002 - it is away for every name
        threading.Event().wait(0.05)
        raise TransientError("StoreUnreachable", "away")


def test_waiting_for_a_store_that_is_away_is_time_spent_on_it(tmp_path: Path) -> None:
    store = Metered(Away(tmp_path))
    with pytest.raises(ReconError):
        store.read("a", 10)
    assert store.traffic.told()["secondsRead"] >= 0.05
    assert store.traffic.told()["bytesRead"] == 0


def test_an_opened_store_is_counted(tmp_path: Path) -> None:
    interim = InterimData(open_store(str(tmp_path / "store"), None))
    assert interim.traffic["bytesWritten"] > 0, "it wrote what it is"
    assert InterimData(None).traffic == {}
