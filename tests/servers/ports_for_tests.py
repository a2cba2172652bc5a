"""Ports for the servers of tests: a port that is given out is nobody else's until the process that asked has ended."""

import fcntl
import os
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path

RANGE = range(12000, 22000)
"""Below the kernel's ephemeral ports, which an outgoing connection may take; not those of tests/cluster and demo."""

_held: list[int] = []


def free_port(among: Sequence[int] = RANGE) -> int:
    """A port of this machine that nobody listens on and no other test process has been given.

    Asking the kernel for port 0 is not enough: it may give the same port to another server, or to an outgoing
    connection, in the seconds until the one it was meant for listens. A lock on a file tells the other test
    processes; it goes when this process goes, however it ends.

    Raises:
        RuntimeError: every port is taken.
    """
    folder = Path(tempfile.gettempdir()) / f"qsm-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    start = os.getpid() * 97 % len(among)  # processes that start together do not queue at the same port
    for step in range(len(among)):
        port = among[(start + step) % len(among)]
        lock = os.open(folder / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("", port))
        except OSError:
            os.close(lock)
            continue
        _held.append(lock)
        return port
    raise RuntimeError(f"no free port from {min(among)} to {max(among)}")
