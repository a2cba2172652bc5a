"""Series from Orthanc to a folder: every instance, whole, and the one it should be; or none and a reason."""

import errno
import struct
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Event, local

from qsm_acquisition import read_header
from qsm_acquisition.elements import text
from qsm_acquisition.refusals import Refusal
from qsm_recon.errors import InputError, TransientError
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.transfer.orthanc.door import Door
from qsm_recon.transfer.orthanc.failures import NotThereError, UnexpectedAnswerError
from qsm_recon.transfer.orthanc.patience import again
from qsm_recon.transfer.orthanc.pipe import Pipe
from qsm_recon.transfer.orthanc.series import Instance, Series, fingerprint, missing, the_one

WORKERS = 4
"""Files under way at once: more brought nothing, and Orthanc serves others meanwhile."""

_PREAMBLE = 128
_LONG_VRS = frozenset({b"OB", b"OW", b"OF", b"UN", b"SQ", b"UT"})


def listed(door: Door, series_instance_uids: Iterable[str]) -> tuple[Series, ...]:
    """The series of these UIDs, in this order.

    Raises
    ------
    TransientError
        `SeriesMissing`.
    InputError
        `AmbiguousSeries`.
    """
    uids = list(series_instance_uids)
    return tuple(the_one(door, uid, f"series {number} of {len(uids)}") for number, uid in enumerate(uids, 1))


def check_unchanged(door: Door, found: Iterable[Series], count: int, sha256: str) -> None:
    """Raise `InstancesChanged` where the series are not what they were when the job was made."""
    uids = [one.sop_instance_uid for series in found for one in series.instances]
    if fingerprint(uids) == sha256 and len(uids) == count:
        return
    more = len(uids) - count
    change = f"{more} came since" if more > 0 else f"{-more} are gone" if more < 0 else "some were exchanged"
    raise InputError(
        "InstancesChanged",
        f"the series in Orthanc {door.name} hold {len(uids)} instances where the job names {count}: {change}; "
        "make a new job of what is there now",
    )


def fetch(door: Door, found: Iterable[Series], into: Path, progress: Progress = silent) -> None:
    """Copy every instance into the folder, which must exist, under numbers for names.

    Memory holds one piece of each file under way, never an acquisition.

    Raises
    ------
    TransientError
        `OrthancUnavailable`, `UnexpectedAnswer`, `SeriesMissing` (deleted meanwhile), `DiskFull`.
    ReconError
        See `failures`.
    """
    work = [one for series in found for one in series.instances]
    stop, mine, pipes = Event(), local(), list[Pipe]()

    def copy(number: int, instance: Instance) -> None:
        if stop.is_set():
            return
        if not hasattr(mine, "pipe"):
            mine.pipe = Pipe(door.address, door.patience)
            pipes.append(mine.pipe)
        target = into / f"{number:06d}.dcm"
        route = f"/instances/{instance.orthanc_id}/file"
        heading = again(door.patience, lambda: mine.pipe.copy(route, target, instance.size), stop)
        check_file(door, target, heading, instance.sop_instance_uid)

    pool = ThreadPoolExecutor(WORKERS)
    try:
        copies = [pool.submit(copy, number, one) for number, one in enumerate(work, 1)]
        for done, one in enumerate(as_completed(copies), 1):
            one.result()
            progress(done / len(copies))
    except NotThereError:
        raise missing(door, "an image of the series") from None
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise TransientError(
                "DiskFull", "no space left in the scratch folder for the images; give it more"
            ) from error
        raise
    finally:
        # Whatever ended it: nobody waits for a slow answer that nobody wants.
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        for pipe in pipes:
            pipe.abort()
        pool.shutdown(wait=True)
        for pipe in pipes:
            pipe.close()


def check_file(door: Door, path: Path, heading: bytes, sop_instance_uid: str) -> None:
    """Raise `UnexpectedAnswerError` unless the file, which begins with `heading`, is DICOM and that instance."""
    if heading[_PREAMBLE : _PREAMBLE + 4] != b"DICM":
        what = "a web page" if heading.lstrip()[:1] == b"<" else "something that is no DICOM"
        raise UnexpectedAnswerError(door.name, f"{what} in place of an image")
    if stated_uid(heading) == sop_instance_uid:
        return
    header = read_header(path)  # a careless anonymiser leaves the old UID in the heading
    if isinstance(header, Refusal) or text(header, "SOPInstanceUID") != sop_instance_uid:
        raise UnexpectedAnswerError(door.name, "another image than was asked for")


def stated_uid(heading: bytes) -> str:
    """MediaStorageSOPInstanceUID (0002,0003) in the first bytes of a DICOM file; empty where it is not among them."""
    place = _PREAMBLE + 4
    while place + 12 <= len(heading) and heading[place : place + 2] == b"\x02\x00":
        (element,) = struct.unpack_from("<H", heading, place + 2)
        if heading[place + 4 : place + 6] in _LONG_VRS:
            (length,), start = struct.unpack_from("<L", heading, place + 8), place + 12
        else:
            (length,), start = struct.unpack_from("<H", heading, place + 6), place + 8
        if element == 3:
            return heading[start : start + length].rstrip(b"\0 ").decode("ascii", "replace")
        place = start + length
    return ""
