"""Whether anybody wants traces, and where spans go then. Set by OpenTelemetry's own variables (docs/monitoring.md)."""

import asyncio
import logging
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from qsm_operator.settings import SettingsError
from qsm_operator.tracing.traces import Span, TraceContext, new_trace

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_CLOSE_SECONDS = 3.0

logger = logging.getLogger(__name__)


class Sends(Protocol):
    """Takes spans; `send` never waits."""

    def samples(self, trace_id: str) -> bool:
        """Whether a trace of this identifier is wanted."""

    def send(self, span: Span) -> None:
        """Put it into the line."""

    def close(self) -> None:
        """Send what waits."""


class Tracing:
    """Where spans go; without a sender nowhere."""

    def __init__(self, sender: Sends | None = None) -> None:
        self._sender = sender

    @property
    def is_on(self) -> bool:
        """Whether anybody wants spans."""
        return self._sender is not None

    def begin(self) -> TraceContext:
        """The first span of a new trace; not sampled where it is not wanted."""
        made = new_trace()
        return replace(made, is_sampled=self._sender is not None and self._sender.samples(made.trace_id))

    def tell(self, spans: Iterable[Span]) -> None:
        """Have spans sent some time soon."""
        if self._sender is not None:
            for span in spans:
                self._sender.send(span)

    async def close(self) -> None:
        """Send what waits, as far as that is possible within three seconds."""
        if self._sender is None:
            return
        # A thread of our own: the end of the program waits for those of a pool, however long they take.
        thread = threading.Thread(target=self._sender.close, name="traces-end", daemon=True)
        thread.start()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                while thread.is_alive():  # noqa: ASYNC110 - a thread has no event to wait for
                    await asyncio.sleep(0.02)


OFF = Tracing()


def tracing_from(environment: Mapping[str, str], service: str, version: str) -> Tracing:
    """As the environment says: off where it names no collector.

    Raises
    ------
    SettingsError
        A collector is named, and OpenTelemetry is not installed or would have to speak another protocol.
    """
    if not any(environment.get(name, "").strip() for name in ENDPOINTS):
        return OFF
    for name in PROTOCOLS:
        if environment.get(name, _PROTOCOL) != _PROTOCOL:
            raise SettingsError(f"{name} must be {_PROTOCOL}: traces are sent in no other way")
    try:
        from qsm_operator.tracing.otlp import Sender  # noqa: PLC0415 - an extra, of some megabytes in memory
    except ImportError:
        raise SettingsError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and OpenTelemetry is not installed: install qsm-operator[tracing]"
        ) from None
    logger.info("traces are sent")
    return Tracing(Sender(service, version))
