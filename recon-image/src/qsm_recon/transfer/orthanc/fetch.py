"""Series from Orthanc to a folder: every instance, whole, and the one it should be; or none and a reason."""

import errno
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event

from qsm_acquisition import read_header
from qsm_acquisition.elements import text
from qsm_acquisition.refusals import Refusal
from qsm_recon.dicom.heading import is_dicom, stated_uid
from qsm_recon.errors import InputError, TransientError
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.transfer.orthanc.door import Door
from qsm_recon.transfer.orthanc.failures import NotThereError, UnexpectedAnswerError
from qsm_recon.transfer.orthanc.patience import again
from qsm_recon.transfer.orthanc.pipe import Pipe
from qsm_recon.transfer.orthanc.series import Instance, Series, fingerprint, missing, the_one

WORKERS = 4
"""Files under way at once: more brought nothing, and Orthanc serves others meanwhile."""

_TELL_S = 0.2
"""How often progress is told."""


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

    Raises
    ------
    ReconError
        As `copy`.
    """
    numbered = enumerate((one for series in found for one in series.instances), 1)
    copy(door, [(one, into / f"{number:06d}.dcm") for number, one in numbered], progress)


def copy(door: Door, wanted: Sequence[tuple[Instance, Path]], progress: Progress = silent) -> None:
    """Write each instance to its file, several at once. Memory holds one piece of each, never an acquisition.

    Raises
    ------
    TransientError
        `OrthancUnavailable`, `UnexpectedAnswer`, `SeriesMissing` (deleted meanwhile), `DiskFull`.
    ReconError
        See `failures`.
    """
    waiting: SimpleQueue[tuple[Instance, Path]] = SimpleQueue()
    for one in wanted:
        waiting.put(one)
    stop = Event()
    pipes = [Pipe(door.address, door.patience) for _ in range(WORKERS)]
    pool = ThreadPoolExecutor(WORKERS)
    try:
        open_ones = {pool.submit(_drain, door, pipe, waiting, stop) for pipe in pipes}
        while open_ones:
            done, open_ones = wait(open_ones, _TELL_S, FIRST_EXCEPTION)
            for one_done in done:
                one_done.result()
            progress(1 - waiting.qsize() / max(len(wanted), 1))
    except NotThereError:
        raise missing(door, "an image of the series") from None
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            text = "no space left in the scratch folder for the images; give it more"
            raise TransientError("DiskFull", text) from error
        raise
    finally:
        # Whatever ended it: nobody waits for a slow answer that nobody wants.
        stop.set()
        for pipe in pipes:
            pipe.abort()
        pool.shutdown(wait=True)
        for pipe in pipes:
            pipe.close()


def _drain(door: Door, pipe: Pipe, waiting: SimpleQueue[tuple[Instance, Path]], stop: Event) -> None:
    """Copy one instance after the other until none is left, or somebody else has failed."""
    try:
        while not stop.is_set():
            instance, target = waiting.get_nowait()
            copied = partial(pipe.copy, f"/instances/{instance.orthanc_id}/file", target, instance.size)
            check_file(door, target, again(door.patience, copied, stop), instance.sop_instance_uid)
    except Empty:
        return


def check_file(door: Door, path: Path, heading: bytes, sop_instance_uid: str) -> None:
    """Raise `UnexpectedAnswerError` unless the file, which begins with `heading`, is DICOM and that instance."""
    if not is_dicom(heading):
        what = "a web page" if heading.lstrip()[:1] == b"<" else "something that is no DICOM"
        raise UnexpectedAnswerError(door.name, f"{what} in place of an image")
    if stated_uid(heading) == sop_instance_uid:
        return
    header = read_header(path)  # a careless anonymiser leaves the old UID in the heading
    if isinstance(header, Refusal) or text(header, "SOPInstanceUID") != sop_instance_uid:
        raise UnexpectedAnswerError(door.name, "another image than was asked for")
