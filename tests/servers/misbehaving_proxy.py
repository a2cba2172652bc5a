"""A TCP proxy that misbehaves as it is told: hangs, cuts, answers for the server, flips a bit."""

import contextlib
import socket
import threading
from dataclasses import dataclass, field
from typing import Self

CHUNK = 65536


def saying(status: str, body: bytes, kind: str = "application/xml") -> bytes:
    """An HTTP answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


SLOW_DOWN = saying(
    "503 Slow Down", b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>slow down</Message></Error>'
)


@dataclass
class Fault:
    """What to do to a connection; `times` connections suffer, later ones pass."""

    hang: bool = False
    """Take the request, never answer."""
    answer: bytes = b""
    """Say this instead of the server."""
    cut_up_after: int = -1
    """Close both sides after so many bytes from the client."""
    cut_down_after: int = -1
    """... from the server."""
    flip_up_at: int = -1
    """Flip a bit of that byte from the client."""
    flip_down_at: int = -1
    """... from the server."""
    again_every: int = 0
    """... and of every so manieth byte from there on."""
    times: int = 1_000_000


@dataclass
class Proxy:
    """Between a client and `target`; `fault` may be changed while it runs."""

    target: tuple[str, int]
    fault: Fault = field(default_factory=Fault)
    connections: int = 0

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        with self._lock:
            for one in self._open:
                _close(one)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                fault = Fault()
                if self.fault.times > 0:
                    self.fault.times -= 1
                    fault = self.fault
                self._open.append(client)
            threading.Thread(target=self._serve, args=(client, fault), daemon=True).start()

    def _serve(self, client: socket.socket, fault: Fault) -> None:
        if fault.answer:
            with contextlib.suppress(OSError):
                client.recv(CHUNK)
                client.sendall(fault.answer)
                client.shutdown(socket.SHUT_WR)
                while client.recv(CHUNK):  # a reset would lose the answer
                    pass
            _close(client)
            return
        if fault.hang:
            return  # stays open, says nothing
        server = socket.create_connection(self.target)
        with self._lock:
            self._open.append(server)
        up = (client, server, fault.cut_up_after, fault.flip_up_at, fault.again_every)
        threading.Thread(target=_pump, args=up, daemon=True).start()
        _pump(server, client, fault.cut_down_after, fault.flip_down_at, fault.again_every)


def _pump(source: socket.socket, sink: socket.socket, cut_after: int, flip_at: int, again_every: int) -> None:
    passed = 0
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            while 0 <= flip_at - passed < len(data):
                changed = bytearray(data)
                changed[flip_at - passed] ^= 1
                data = bytes(changed)
                flip_at = flip_at + again_every if again_every else -1
            if 0 <= cut_after < passed + len(data):
                sink.sendall(data[: cut_after - passed])
                break
            sink.sendall(data)
            passed += len(data)
    _close(source)
    _close(sink)


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
