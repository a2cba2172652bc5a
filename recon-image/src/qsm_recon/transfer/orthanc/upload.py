"""Results into Orthanc: harmless when repeated, never over something else, and looked at afterwards."""

import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
from pydicom import Dataset, dcmread

from qsm_recon.errors import InputError, TransientError
from qsm_recon.transfer.orthanc import series as listing
from qsm_recon.transfer.orthanc.door import Door
from qsm_recon.transfer.orthanc.failures import NotThereError, UnexpectedAnswerError, shaped

WORKERS = 4

_GEOMETRY = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept")


class ResultDiffersError(InputError):
    """Another image is there under the UID of ours; it is not touched."""

    def __init__(self, server: str) -> None:
        super().__init__(
            "ResultDiffers",
            f"Orthanc {server} holds an image with the UID of one of the results and other pixels (another device made "
            "it, or somebody changed it); look at it, delete that series, and make a new job",
        )


def upload(door: Door, files: Mapping[str, Path]) -> str:
    """Store one series; Orthanc's identifier of it.

    Parameters
    ----------
    door
        Where to.
    files
        SOPInstanceUID to file.

    Raises
    ------
    ResultDiffersError
        An image of that UID is there and differs.
    InputError
        `ResultRejected`: the server's own filter does not let it in.
    TransientError
        `ResultIncomplete`: not everything was there afterwards; and see `failures`.
    """
    stop = Event()
    pool = ThreadPoolExecutor(WORKERS)
    try:
        parents = set(pool.map(lambda path: _put(door, path, stop), files.values()))
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)  # after a failure nobody waits for what is still under way
    if len(parents) != 1:
        raise UnexpectedAnswerError(door.name, "several series for the images of one")
    (orthanc_id,) = parents
    verify(door, orthanc_id, files)
    return orthanc_id


def verify(door: Door, orthanc_id: str, files: Mapping[str, Path]) -> None:
    """Raise unless the series holds exactly these instances; one of them is read back and compared."""
    found = listing.opened(door, orthanc_id)
    if found is None or found.sop_instance_uids != set(files):
        there = 0 if found is None else len(found.sop_instance_uids & set(files))
        raise TransientError(
            "ResultIncomplete",
            f"Orthanc {door.name} holds {there} of {len(files)} result images after all were stored; somebody deletes "
            "or adds images there",
        )
    middle = sorted(found.instances, key=lambda one: one.sop_instance_uid)[len(found.instances) // 2]
    _compare(door, middle.orthanc_id, files[middle.sop_instance_uid].read_bytes())


def _put(door: Door, path: Path, stop: Event) -> str:
    content = path.read_bytes()
    answer = door.post("/instances", content, stop=stop)
    with shaped(door.name):
        status, orthanc_id, parent = answer["Status"], str(answer["ID"]), str(answer["ParentSeries"])
    if status == "AlreadyStored":
        _compare(door, orthanc_id, content)
    elif status != "Success":
        raise InputError(
            "ResultRejected", f"Orthanc {door.name} filters the results out; look at its ReceivedInstanceFilter"
        )
    return parent


def _compare(door: Door, orthanc_id: str, content: bytes) -> None:
    """Raise `ResultDiffersError` unless the instance there is ours, dates of creation and transfer syntax aside."""
    try:
        there = door.content(f"/instances/{orthanc_id}/file")
    except NotThereError:
        raise TransientError(
            "ResultIncomplete", f"a result image vanished from Orthanc {door.name} while it was stored"
        ) from None
    if there == content:
        return
    try:
        found = dcmread(io.BytesIO(there))
        same = _same(found, dcmread(io.BytesIO(content)))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - pydicom raises anything on foreign content; then it is not our image
        same = False
    if not same:
        raise ResultDiffersError(door.name)


def _same(one: Dataset, other: Dataset) -> bool:
    geometry = all(one.get(keyword) == other.get(keyword) for keyword in _GEOMETRY)
    return geometry and np.array_equal(one.pixel_array, other.pixel_array)
