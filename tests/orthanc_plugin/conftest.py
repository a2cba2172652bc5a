"""Receivers of hints: one that listens, and ones that make trouble."""

import contextlib
import json
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Receiver:
    """What intake is to the script: takes hints and remembers them. Each of its habits may be changed at any time."""

    def __init__(self):
        self.hints, self.tokens, self.bodies, self.times = [], [], [], []
        self.status, self.hangs_seconds, self.location = 204, 0.0, ""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.times.append(time.monotonic())
                owner.bodies.append(body)
                owner.hints.append(json.loads(body)["series"])
                owner.tokens.append(self.headers["Authorization"])
                time.sleep(owner.hangs_seconds)
                self.send_response(owner.status)
                if owner.location:
                    self.send_header("Location", owner.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def handle(self):
                with contextlib.suppress(OSError):  # whoever sent the hint waits no longer
                    super().handle()

            def log_message(self, *_):
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_port}/hint"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def with_tls(self, certificate, key):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = self.url.replace("http://", "https://")
        return self

    def until(self, count, seconds=10.0):
        end = time.monotonic() + seconds
        while len(self.hints) < count and time.monotonic() < end:
            time.sleep(0.02)
        return len(self.hints) >= count

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver():
    one = Receiver()
    yield one
    one.close()


@pytest.fixture
def second_receiver():
    one = Receiver()
    yield one
    one.close()


@pytest.fixture
def babbler():
    """Address of something that takes connections and answers with what is no HTTP."""
    listener = socket.create_server(("127.0.0.1", 0))

    def babble():
        while True:
            try:
                connection, _ = listener.accept()
                connection.sendall(b"\x00\xff" * 4000)
                connection.close()
            except OSError:
                if listener.fileno() < 0:
                    return

    threading.Thread(target=babble, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/hint"
    listener.close()
