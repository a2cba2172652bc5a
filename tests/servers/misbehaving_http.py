"""An HTTP server that answers as a test wants: late, wrong, in pieces, or not at all."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Looks the answer up by path; keeps what it was asked."""

    protocol_version = "HTTP/1.1"
    server: "Misbehaving"

    def _any(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path))
        self.server.headers_seen.append(dict(self.headers))
        for beginning, answers in self.server.answers.items():
            if self.path.startswith(beginning):
                answers[min(self.server.count(beginning), len(answers)) - 1](self)
                return
        text(404, "")(self)

    do_GET = do_POST = do_PUT = do_DELETE = _any  # noqa: N815 - the library's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Be silent."""


class Misbehaving(ThreadingHTTPServer):
    """`answers`: beginning of a path to the answers to give, one after the other; the last one stays."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[tuple[str, str]] = []
        self.headers_seen: list[dict[str, str]] = []
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def count(self, beginning: str) -> int:
        with self._lock:
            self._counts[beginning] = self._counts.get(beginning, 0) + 1
            return self._counts[beginning]

    def handle_error(self, *_: Any) -> None:
        """A client that hung up is no news."""

    def connection(self, folder: Path, **more: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, value in {"url": f"http://127.0.0.1:{self.server_port}", **more}.items():
            (folder / name).write_text(value)
        return folder


@contextmanager
def misbehaving() -> Iterator[Misbehaving]:
    server = Misbehaving()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def text(status: int, body: str | bytes, kind: str = "text/plain", **headers: str) -> Answer:
    content = body.encode() if isinstance(body, str) else body

    def answer(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def as_json(value: Any, status: int = 200) -> Answer:
    return text(status, json.dumps(value), "application/json")


def page(status: int = 200) -> Answer:
    return text(status, "<!DOCTYPE html><html><body>Please log in, MILLER^ANNE</body></html>", "text/html")


def cut(content: bytes, after: int) -> Answer:
    """Promises everything, sends a part, hangs up."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:after])
        handler.wfile.flush()
        handler.connection.close()
        handler.close_connection = True

    return answer


def late(seconds: float, then: Answer) -> Answer:
    def answer(handler: Handler) -> None:
        time.sleep(seconds)
        then(handler)

    return answer


def dripping(content: bytes, pause_s: float, *, first: int | None = None) -> Answer:
    """A byte now and then, each in time, the whole never. `first`: so many bytes drip, the others come at once."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        for byte in content[:first]:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(pause_s)
        handler.wfile.write(b"" if first is None else content[first:])

    return answer


def hang_up(handler: Handler) -> None:
    handler.connection.close()
    handler.close_connection = True
