"""Results in a folder on a mounted claim."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

from qsm_recon import folder
from qsm_recon.errors import InputError
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.transfer import results
from qsm_recon.transfer.results import Record, Result

RECORD = "job.json"
"""In every delivered folder: the record, which names the job the folder belongs to."""


def find(directory: Path, job_uid: str) -> Record | None:
    """The record of an earlier attempt of the same job, None where nothing is there yet.

    Raises
    ------
    InputError
        `DestinationOccupied`: something else is there; it is not touched.
    """
    if not directory.exists():
        return None
    try:
        record = results.from_document(json.loads((directory / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        record = None
    if record is None:
        raise InputError(
            "DestinationOccupied",
            "the destination folder exists and is not a result of this job; empty it or name another",
        )
    if record.job_uid != job_uid:
        raise InputError(
            "DestinationOccupied", "the destination folder holds the result of another job; empty it or name another"
        )
    return record


def restore(directory: Path, into: Path, progress: Progress = silent) -> None:
    """Copy a result that `find` found to a new folder."""
    shutil.copytree(directory, into, ignore=shutil.ignore_patterns(RECORD))
    progress(1.0)


def keep(directory: Path, result: Result, job_name: str, job_uid: str) -> None:
    """Let the result appear there, complete; nothing happens where it already is.

    Raises
    ------
    InputError
        `DestinationOccupied`.
    TransientError
        `DiskFull`, `OutputFailed`.
    """
    if find(directory, job_uid) is not None:
        return
    record = replace(result.record, job_name=job_name, job_uid=job_uid)
    with folder.new_folder(directory) as staging:
        shutil.copytree(result.folder, staging, dirs_exist_ok=True)
        (staging / RECORD).write_text(json.dumps(record.document(), indent=2) + "\n", encoding="utf-8")
