"""Where temporary files can go, also in a container whose file system is read-only."""

import tempfile

_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - whoever uses it makes a private folder inside
"""Can be written in every container, also where no temporary space is mounted."""


def place() -> str:
    """Folder for temporary files: as TMPDIR and its like say, else shared memory."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        return _SHARED_MEMORY
