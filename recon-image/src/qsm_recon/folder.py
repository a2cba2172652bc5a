"""All or nothing: an output folder that appears complete, or not at all.

Everything is written into a hidden sibling of the folder, flushed to disk, and renamed in one step. A refusal,
a crash, a signal or a full disk removes the sibling; a reader never sees half a result.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from qsm_recon.errors import ReconError, TransientError, UsageError

_FLUSHING_THREADS = 8

_FULL = {errno.ENOSPC, errno.EDQUOT}
_USAGE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ENOENT}


def refuse_existing(target: Path) -> None:
    """Raise `UsageError` where `target` exists (even empty, even a dangling link): nothing is overwritten."""
    if os.path.lexists(target):
        raise UsageError(f"the output {target} exists already; name a new folder", reason="OutputExists")


def check_target(target: Path) -> None:
    """Find out before minutes of work, not after, that `target` exists or cannot be made.

    Raises
    ------
    UsageError
        `target` exists, or the nearest existing folder above it cannot be written.
    """
    refuse_existing(target)
    parent = target.absolute().parent
    while not os.path.lexists(parent):
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write into {parent}", reason="OutputNotWritable")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A hidden staging folder that becomes `target` when the body ends well, and vanishes otherwise.

    Raises
    ------
    UsageError
        `target` exists or cannot be written.
    TransientError
        The disk is full (`DiskFull`) or failed (`OutputFailed`).
    """
    refuse_existing(target)
    target = target.absolute()
    with _explained(target):
        made = _make_parents(target.parent)
        try:
            staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
            try:
                yield staging
                _flush(staging)
                staging.chmod(0o777 & ~_umask())  # mkdtemp is private; a result has the user's usual rights
                refuse_existing(target)
                staging.rename(target)
                _flush_directory(target.parent)
            except BaseException:
                shutil.rmtree(staging, ignore_errors=True)
                raise
        except BaseException:
            _remove_empty(made)
            raise


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """A hidden staging file with the same endings that replaces `target` when the body ends well.

    Raises
    ------
    UsageError
        The folder of `target` is missing or cannot be written.
    TransientError
        The disk is full or failed.
    """
    target = target.absolute()
    if target.is_dir():
        raise UsageError(f"the output {target} is a folder; name a file")
    with _explained(target):
        # A folder of its own keeps the file's endings, which tell NIfTI writers how to compress.
        holder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
        try:
            yield holder / target.name
            _flush(holder)
            (holder / target.name).replace(target)
            _flush_directory(target.parent)
        finally:
            shutil.rmtree(holder, ignore_errors=True)


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    """Turn the operating system's errors about writing into ours."""
    try:
        yield
    except ReconError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise TransientError(
                "DiskFull", f"no space left while writing {target}; nothing was kept, free space and run again"
            ) from error
        if error.errno in _USAGE:
            raise UsageError(f"cannot write {target}: {error.strerror}", reason="OutputNotWritable") from error
        if error.errno == errno.EIO:
            raise TransientError("OutputFailed", f"the disk failed while writing {target}; nothing was kept") from error
        raise


def _make_parents(folder: Path) -> list[Path]:
    """Create missing parents; return those made, deepest first."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir()
    return missing


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _umask() -> int:
    mask = os.umask(0o022)  # the only portable way to read it is to set it
    os.umask(mask)
    return mask


def _flush(folder: Path) -> None:
    """Have every file and directory on disk before the rename makes them visible."""
    found = [(Path(root), files) for root, _folders, files in os.walk(folder, topdown=False)]
    # Disks take many requests at once, and a series has hundreds of files.
    with ThreadPoolExecutor(_FLUSHING_THREADS) as pool:
        list(pool.map(_flush_file, [root / name for root, files in found for name in files]))
    for root, _files in found:
        _flush_directory(root)


def _flush_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
