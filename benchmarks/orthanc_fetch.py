"""Fetching a series from Orthanc: our door against a plain parallel loop over the same REST API.

    python -m benchmarks.orthanc_fetch [--connection FOLDER] [--instances 3440] [--side 64] [--rounds 3]

FOLDER is a connection Secret (docs/contract.md) of an Orthanc made for this: a series is stored there and deleted
afterwards. Without it, one is started (as for the tests). The plain loop does what anybody would write first with the
fastest client of Python's own library, `http.client`: threads with a kept connection each, every answer to a file,
nothing checked.
"""

import argparse
import http.client
import importlib
import io
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from benchmarks import pages
from benchmarks.isolated import ROOT
from qsm_recon.transfer.orthanc import fetch
from qsm_recon.transfer.orthanc.door import Door
from qsm_recon.transfer.orthanc.series import Series


@dataclass(frozen=True)
class Comparison:
    """Medians over rounds that alternate, so that both see the same machine."""

    instances: int
    instance_bytes: int
    ours_per_s: float
    """Instances a second, listing and every check included."""
    plain_per_s: float
    ours_cpu_s: float
    """CPU seconds of this process for one fetch."""
    plain_cpu_s: float
    ours_memory_mib: float
    """The most memory that one fetch took."""

    @property
    def share(self) -> float:
        """Of the plain loop's throughput."""
        return self.ours_per_s / self.plain_per_s


def compare(door: Door, *, instances: int = 3440, side: int = 64, rounds: int = 3) -> Comparison:
    """Store a series of `instances` images of `side` x `side`, fetch it both ways, delete it."""
    with _stored(door, instances, side) as uid:
        ours, plain = [], []
        for _ in range(rounds):
            plain.append(_cost(lambda into: _plainly(door, _listed(door, uid), into)))
            ours.append(_cost(lambda into: fetch.fetch(door, _listed(door, uid), into)))
        size = _listed(door, uid)[0].instances[0].size
    return Comparison(
        instances,
        size,
        ours_per_s=instances / statistics.median(one.seconds for one in ours),
        plain_per_s=instances / statistics.median(one.seconds for one in plain),
        ours_cpu_s=statistics.median(one.cpu_seconds for one in ours),
        plain_cpu_s=statistics.median(one.cpu_seconds for one in plain),
        ours_memory_mib=max(one.memory_mib for one in ours),
    )


def _listed(door: Door, uid: str) -> tuple[Series, ...]:
    return fetch.listed(door, [uid])


@dataclass(frozen=True)
class _Cost:
    seconds: float
    cpu_seconds: float
    memory_mib: float


def _cost(work: Callable[[Path], None]) -> _Cost:
    with tempfile.TemporaryDirectory() as folder:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak counts from here
        before_mib, cpu, start = _memory_mib("VmRSS"), time.process_time(), time.perf_counter()
        work(Path(folder))
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
        return _Cost(seconds, cpu_seconds, _memory_mib("VmHWM") - before_mib)


def _memory_mib(name: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(f"{name}:")) / 1024


def _plainly(door: Door, found: tuple[Series, ...], into: Path) -> None:
    mine = threading.local()
    address = door.address
    headers = {"Authorization": address.authorization} if address.authorization else {}

    def copy(orthanc_id: str) -> None:
        if not hasattr(mine, "connection"):
            mine.connection = http.client.HTTPConnection(address.host, address.port)
        mine.connection.request("GET", f"{address.prefix}/instances/{orthanc_id}/file", headers=headers)
        (into / orthanc_id).write_bytes(mine.connection.getresponse().read())

    with ThreadPoolExecutor(fetch.WORKERS) as pool:
        list(pool.map(copy, (one.orthanc_id for series in found for one in series.instances)))


@contextmanager
def _stored(door: Door, instances: int, side: int) -> Iterator[str]:
    series = generate_uid()
    parents = {door.post("/instances", content)["ParentSeries"] for content in _images(series, instances, side)}
    try:
        yield str(series)
    finally:
        for parent in parents:
            door.delete(f"/series/{parent}")


def _images(series: str, instances: int, side: int) -> Iterator[bytes]:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = MRImageStorage
    ds.PatientID, ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = "benchmark", generate_uid(), series, "MR"
    ds.Rows = ds.Columns = side
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 15, 0, 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelData = np.random.default_rng(0).integers(0, 4095, (side, side), dtype=np.uint16).tobytes()
    for number in range(1, instances + 1):
        ds.InstanceNumber = number
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        file = io.BytesIO()
        ds.save_as(file, enforce_file_format=True)
        yield file.getvalue()


def figures(instances: int = 3440, *, sides: Sequence[int] = (64, 256), rounds: int = 3) -> str:
    """A section of a page: what an Orthanc started for it lets through. Needs tests/servers on the path."""
    servers = importlib.import_module("orthanc_for_tests")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        server = servers.OrthancServer(Path(folder) / "orthanc")
        with server, Door(server.connection(Path(folder) / "secret")) as door:
            for side in sides:
                found = compare(door, instances=instances, side=side, rounds=rounds)
                rows.append(_row(found))
    told = (
        f"Median of {rounds} rounds that alternate; Orthanc and both clients on one machine. Plain: {fetch.WORKERS} "
        "threads with a kept connection each, every answer to a file, nothing looked at. Ours compares every "
        "SOPInstanceUID and length with Orthanc's index. Wanted: a share of 60 % or more, memory below that of the "
        "acquisition."
    )
    return f"## Fetching\n\n{told}\n\n" + pages.table(_HEAD, rows)


_HEAD = (
    "images", "ours, 1/s", "plain, 1/s", "share", "CPU s, ours · plain", "most memory, MiB", "acquisition, MiB"
)  # fmt: skip


def _row(found: Comparison) -> tuple[str, ...]:
    return (
        f"{found.instances} of {found.instance_bytes / 1024:.0f} KiB",
        f"{found.ours_per_s:.0f}",
        f"{found.plain_per_s:.0f}",
        f"{100 * found.share:.0f} %",
        f"{found.ours_cpu_s:.1f} · {found.plain_cpu_s:.1f}",
        f"{found.ours_memory_mib:.1f}",
        f"{found.instances * found.instance_bytes / 2**20:.0f}",
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connection", type=Path)
    parser.add_argument("--instances", type=int, default=3440)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    if asked.connection is None:
        sys.path.insert(0, str(ROOT / "tests/servers"))
        print(figures(asked.instances, sides=(asked.side,), rounds=asked.rounds))
        return
    with Door(asked.connection) as door:
        print(
            pages.table(_HEAD, [_row(compare(door, instances=asked.instances, side=asked.side, rounds=asked.rounds))])
        )


if __name__ == "__main__":
    main()
