"""The store in a local folder: the same names as in a bucket, each a file."""

import errno
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from qsm_recon.arriving import Arriving
from qsm_recon.errors import ReconError, StorageError, TransientError
from qsm_recon.store.backing import Backing, Content, Entry

RETENTION = "lifecycle.json"
PART = ".part"
"""Ending of files that are being written; a hidden name, so nothing takes them for finished."""
_CHUNK = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT}
_RIGHTS = {errno.EACCES, errno.EPERM, errno.EROFS}
_SHAPE = {errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}


class FolderBacking(Backing):
    """Files below one folder, which is made when the first is written."""

    where = "the store's folder"

    def __init__(self, root: Path) -> None:
        self._root = root

    def write(self, name: str, content: Content, sha256: str) -> None:  # noqa: ARG002 - names hold the hash
        """Write beside the place, then rename: readers see all of it or nothing."""
        path = self._path(name)
        part = path.with_name(f".{path.name}.{secrets.token_hex(6)}{PART}")
        with _explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with part.open("xb") as target, content.open() as source:
                    while piece := source.read(_CHUNK):
                        target.write(piece)
                # No fsync: what a power cut leaves cut short fails its hash, and is made again.
                part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise

    def read_hashed(self, name: str, limit: int) -> tuple[memoryview, str] | None:
        """The whole file, hashed piece by piece while the piece is in the cache."""
        with _explained():
            try:
                with self._path(name).open("rb", buffering=0) as file:
                    size = os.fstat(file.fileno()).st_size
                    if size > limit:
                        return None
                    arriving = Arriving(size)
                    while count := file.readinto(arriving.room(_CHUNK)):
                        arriving.took(count)
                    return arriving.whole()
            except FileNotFoundError:
                return None

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Walk the folder."""
        with _explained():
            found = [
                path
                for path in (self._root / prefix).rglob("*")
                if path.is_file() and not (path.name.startswith(".") and not path.name.endswith(PART))
            ]
            for path in sorted(found):
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue  # another run has just renamed it
                modified = datetime.fromtimestamp(status.st_mtime, tz=UTC)
                yield Entry(path.relative_to(self._root).as_posix(), status.st_size, modified)

    expires_by_itself = False

    def retention(self) -> dict[str, int]:
        """What `set_retention` left."""
        content = self.read(RETENTION, 10_000)
        try:
            said = json.loads(content) if content is not None else {}
            return {str(name): int(days) for name, days in said.items()}
        except (ValueError, AttributeError, TypeError):
            raise StorageError("StoreInvalid", f"{RETENTION} in {self.where} cannot be read; remove it") from None

    def set_retention(self, days: dict[str, int]) -> None:
        """Note it for `store gc`."""
        path = self._path(RETENTION)
        with _explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.{secrets.token_hex(6)}{PART}")
            part.write_text(json.dumps(days) + "\n", encoding="utf-8")
            part.replace(path)

    def remove(self, name: str) -> None:
        """Unlink the file."""
        with _explained():
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._root.joinpath(*name.split("/"))


@contextmanager
def _explained() -> Iterator[None]:
    """The operating system's errors in our words."""
    try:
        yield
    except OSError as error:
        raise _explain(error) from error


def _explain(error: OSError) -> ReconError:
    if error.errno in _FULL:
        return TransientError("StoreFull", "no space is left in the store's folder; free some, or run gc")
    if error.errno in _RIGHTS:
        return StorageError("StoreReadOnly", "the store's folder may not be written or read here; check its rights")
    if error.errno in _SHAPE:
        return StorageError("StoreInvalid", "the store's path is no folder; name a folder")
    return TransientError("StoreUnreachable", f"the store's folder failed ({error.strerror}); check the disk")
