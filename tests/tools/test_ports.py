"""Ports for the servers of tests."""

import socket
import subprocess
import sys
from pathlib import Path

import ports_for_tests
import pytest
from ports_for_tests import RANGE, free_port

OWN = range(RANGE.stop, RANGE.stop + 200)
"""For these tests alone."""


def test_no_port_is_given_twice() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == len(ports)
    assert set(ports) <= set(RANGE)


def test_the_kernel_gives_these_ports_to_no_outgoing_connection() -> None:
    ephemeral = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first = int(ephemeral.read_text().split()[0]) if ephemeral.exists() else 32768
    assert RANGE.stop <= first


def test_what_another_process_was_given_is_nobody_elses_until_it_ends() -> None:
    """Seen: Orthanc listened on the port that a gateway had been promised 15 s before."""
    ask = (
        "import sys; sys.path.insert(0, sys.argv[1]); from ports_for_tests import free_port;"
        "print(free_port(range(int(sys.argv[2]), int(sys.argv[3]))), flush=True); input()"
    )
    words = [str(Path(ports_for_tests.__file__).parent), str(OWN.start), str(OWN.stop)]
    with subprocess.Popen(
        [sys.executable, "-c", ask, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        given = int(other.stdout.readline())
        with pytest.raises(RuntimeError, match=f"no free port from {given}"):
            free_port([given])
        other.communicate("\n")
    assert free_port([given]) == given


def test_a_port_that_somebody_listens_on_is_passed_over() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with pytest.raises(RuntimeError, match="no free port"):
            free_port([server.getsockname()[1]])
