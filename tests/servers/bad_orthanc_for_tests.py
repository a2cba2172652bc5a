"""A server that answers as told, instead of Orthanc or in front of it: errors, garbage, silence, half answers."""

import http.client
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class BadServer:
    """`behaviour` is good (hands on to `behind`), a status, or: html, cut, json, drip, silent, slow, huge, reset."""

    def __init__(self, behind: tuple[str, int] | None = None) -> None:
        self.behaviour: Any = "good"
        self.times = -1
        """How often it behaves so before it is good again; -1: always."""
        self.asked: list[tuple[str, str]] = []
        self.only = ""
        """Only to requests with this method, where one is said."""
        self.slow_seconds = 1.0
        self.behind = behind
        self.replaced: dict[str, bytes] = {}
        """Answers by path, where it is good and nothing is behind it."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                return

            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.asked.append((self.command, self.path))
                behaviour = outer.next() if outer.only in {"", self.command} else "good"
                try:
                    outer.answer(self, behaviour, body)
                except OSError:
                    self.close_connection = True

            do_GET = do_POST = do_PUT = do_DELETE = _any  # noqa: N815 - the names of the base class

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                return  # the other side hung up, as was to be expected

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def next(self) -> Any:
        if self.behaviour == "good" or self.times == 0:
            return "good"
        self.times -= 1
        return self.behaviour

    def answer(self, handler: BaseHTTPRequestHandler, behaviour: Any, body: bytes) -> None:
        if behaviour == "silent":
            time.sleep(20)
            return
        if behaviour == "reset":
            handler.close_connection = True
            handler.connection.close()
            return
        if behaviour in {"huge", "drip"}:
            self._endless(handler, b" " * (1 << 20) if behaviour == "huge" else b" ")
            return
        if behaviour == "slow":
            time.sleep(self.slow_seconds)
        status, content = self._content(handler, behaviour, body)
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content) + (10 if behaviour == "cut" else 0)))
        handler.end_headers()
        handler.wfile.write(content)
        handler.close_connection = behaviour == "cut"

    def _endless(self, handler: BaseHTTPRequestHandler, piece: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(1 << 40))
        handler.end_headers()
        for _ in range(2000):
            handler.wfile.write(piece)
            time.sleep(0.02 if len(piece) == 1 else 0)

    def _content(self, handler: BaseHTTPRequestHandler, behaviour: Any, body: bytes) -> tuple[int, bytes]:
        if isinstance(behaviour, int):
            return behaviour, b'{"Message": "CANARY^NAME"}'
        if behaviour == "html":
            return 200, b"<html>CANARY^NAME please log in</html>"
        if behaviour == "json":
            return 200, b'["CANARY", 5]'
        return self._good(handler, body)

    def _good(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        if self.behind is None:
            return 200, self.replaced.get(handler.path, b"{}")
        connection = http.client.HTTPConnection(*self.behind, timeout=30)
        try:
            kept = {name: value for name, value in handler.headers.items() if name in {"Authorization", "Content-Type"}}
            connection.request(handler.command, handler.path, body, kept)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 502, b""
        finally:
            connection.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
