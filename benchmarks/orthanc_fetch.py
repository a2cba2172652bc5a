"""Fetching a series from Orthanc: our door against a plain parallel loop over the same REST API.

    python -m benchmarks.orthanc_fetch CONNECTION [--instances 3440] [--side 64] [--rounds 3]

CONNECTION is the folder of a connection Secret (docs/contract.md) of an Orthanc made for this: a series is stored there
and deleted afterwards. The plain loop does what anybody would write first with the fastest client of Python's own
library, `http.client`: threads with a kept connection each, every answer to a file, nothing checked.
"""

import argparse
import http.client
import io
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

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

    @property
    def share(self) -> float:
        """Of the plain loop's throughput."""
        return self.ours_per_s / self.plain_per_s


def compare(door: Door, *, instances: int = 3440, side: int = 64, rounds: int = 3) -> Comparison:
    """Store a series of `instances` images of `side` x `side`, fetch it both ways, delete it."""
    with _stored(door, instances, side) as uid:
        ours, plain = [], []
        for _ in range(rounds):
            plain.append(_seconds(lambda into: _plainly(door, _listed(door, uid), into)))
            ours.append(_seconds(lambda into: fetch.fetch(door, _listed(door, uid), into)))
        size = _listed(door, uid)[0].instances[0].size
    return Comparison(instances, size, instances / statistics.median(ours), instances / statistics.median(plain))


def _listed(door: Door, uid: str) -> tuple[Series, ...]:
    return fetch.listed(door, [uid])


def _seconds(work: Callable[[Path], None]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        work(Path(folder))
        return time.perf_counter() - start


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


def main() -> None:
    """Print one line of a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("connection", type=Path)
    parser.add_argument("--instances", type=int, default=3440)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with Door(asked.connection) as door:
        found = compare(door, instances=asked.instances, side=asked.side, rounds=asked.rounds)
    print("| instances | bytes each | ours, 1/s | plain loop, 1/s | share |\n|---|---|---|---|---|")
    print(
        f"| {found.instances} | {found.instance_bytes} | {found.ours_per_s:.0f} | {found.plain_per_s:.0f} "
        f"| {100 * found.share:.0f} % |"
    )


if __name__ == "__main__":
    main()
