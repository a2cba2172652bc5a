"""A small OpenTelemetry collector: takes OTLP over HTTP and remembers the spans as they came over the wire."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """What has come; `status` is what it answers with, `silence` how many seconds it waits before that."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.status, self.silence = 200, 0.0
        self.url = ""
        self.ended = threading.Event()

    @property
    def text(self) -> str:
        """Everything that came, for people and for canaries."""
        return "".join(map(str, self.requests))

    @property
    def spans(self) -> list[dict[str, Any]]:
        """Every span: service, name, ids, times, attributes."""
        return [
            {
                "service": _plain(part.resource.attributes)["service.name"],
                "name": span.name,
                "trace": span.trace_id.hex(),
                "id": span.span_id.hex(),
                "parent": span.parent_span_id.hex(),
                "begin": span.start_time_unix_nano / 1e9,
                "end": span.end_time_unix_nano / 1e9,
                "failed": span.status.code == span.status.STATUS_CODE_ERROR,
                "events": [(event.name, _plain(event.attributes)) for event in span.events],
                **_plain(span.attributes),
            }
            for request in self.requests
            for part in request.resource_spans
            for scope in part.scope_spans
            for span in scope.spans
        ]


def _plain(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@contextmanager
def collector() -> Iterator[Collector]:
    """One on a free port."""
    kept = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.ended.wait(kept.silence)
            if kept.status == 200 and self.path == "/v1/traces":
                kept.requests.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(kept.status if self.path == "/v1/traces" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    kept.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield kept
    finally:
        kept.ended.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
