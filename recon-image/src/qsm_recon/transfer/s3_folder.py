"""Objects below a prefix as a folder: images come from there, results go there."""

import errno
import hashlib
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from qsm_recon.errors import ReconError, TransientError
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.transfer.s3 import Bucket

RECORD = "job.json"
"""Written last; what it lies beside is complete."""
RECORD_BYTES = 1_000_000
_PLAIN = re.compile(r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$")
THREADS = 8
"""Images are small objects: waiting, not bytes, is what takes time."""


def fetch(connection: Path, uri: str, into: Path, progress: Progress = silent) -> None:
    """Every object below `uri` as a file in `into`, checked.

    Names are kept where all of them are plain ones, as in what `deliver` wrote; otherwise files are numbered.

    Raises
    ------
    ReconError
        `SourceMissing` where there is no object, `ObjectDamaged`, `DiskFull`, or why the store cannot be read.
    """
    bucket = Bucket.at(connection, uri)
    bucket.check()
    entries = [entry for entry in bucket.entries("") if entry.bytes]
    if not entries:
        raise TransientError("SourceMissing", "there is no object below the source's prefix (yet); send the images")
    total, done = sum(entry.bytes for entry in entries), 0
    files = _local_names([entry.name for entry in entries])
    with _disk(), ThreadPoolExecutor(THREADS) as pool:
        for folder in {into, *((into / file).parent for file in files)}:
            folder.mkdir(parents=True, exist_ok=True)
        waiting = [
            pool.submit(bucket.get_file, entry.name, into / file) for entry, file in zip(entries, files, strict=True)
        ]
        try:
            for entry, one in zip(entries, waiting, strict=True):
                one.result()
                done += entry.bytes
                progress(done / total)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def find_record(connection: Path, uri: str) -> dict[str, Any] | None:
    """The record of a delivered result below `uri`; None where none was delivered, {} where it cannot be read.

    Raises
    ------
    ReconError
        Why the store cannot be read.
    """
    bucket = Bucket.at(connection, uri)
    bucket.check()
    content = bucket.get(RECORD, RECORD_BYTES)
    if content is None:
        return None
    try:
        record = json.loads(content)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def is_empty(connection: Path, uri: str) -> bool:
    """Whether nothing lies below `uri`.

    Raises
    ------
    ReconError
        Why the store cannot be read.
    """
    return next(Bucket.at(connection, uri).entries(""), None) is None


def deliver(connection: Path, uri: str, made: Path, record: dict[str, Any]) -> None:
    """Write every file below `made` as an object below `uri`, then the record; doing it twice is harmless.

    Raises
    ------
    ReconError
        Why the store cannot be written; the record is not there then.
    """
    bucket = Bucket.at(connection, uri)
    files = sorted(path for path in made.rglob("*") if path.is_file())
    with ThreadPoolExecutor(THREADS) as pool:
        waiting = [pool.submit(_send, bucket, path.relative_to(made).as_posix(), path) for path in files]
        try:
            for one in waiting:
                one.result()
        except ReconError:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    content = (json.dumps(record, indent=2) + "\n").encode()
    bucket.put(RECORD, lambda: BytesIO(content), len(content), hashlib.sha256(content).hexdigest())


def _local_names(names: list[str]) -> list[str]:
    """A file's name below a folder for each object's."""
    parts = [name.split("/") for name in names]
    folders = {"/".join(part[:depth]) for part in parts for depth in range(1, len(part))}
    if all(_PLAIN.match(word) for part in parts for word in part) and not folders & set(names):
        return names
    return [f"{number:06d}" for number in range(1, len(names) + 1)]


def _send(bucket: Bucket, name: str, path: Path) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
    bucket.put(name, lambda: path.open("rb"), size, digest)


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise TransientError(
                "DiskFull", "no space is left for the images; free some, or give more scratch"
            ) from error
        raise
