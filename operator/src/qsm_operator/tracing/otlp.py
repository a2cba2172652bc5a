"""The door to OpenTelemetry: the only file that imports it. Loaded only where spans are wanted, for it is an extra.

Sending is done beside the work by the SDK's own thread, with its timeouts and repetitions. When the collector is away
or slow, spans are dropped and work goes on.
"""

from datetime import datetime

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags

from qsm_operator.tracing.traces import Span, TraceContext


class Sender:
    """Sends spans by OTLP over HTTP to where OpenTelemetry's variables of the environment say."""

    def __init__(self, service: str, version: str) -> None:
        self._ids = _Given()
        resource = Resource.create({"service.name": service, "service.version": version})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False, id_generator=self._ids)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("qsm_operator", version)

    def samples(self, trace_id: str) -> bool:
        """Whether a trace of this identifier is wanted, by OTEL_TRACES_SAMPLER."""
        return self._provider.sampler.should_sample(None, int(trace_id, 16), "").decision is Decision.RECORD_AND_SAMPLE

    def send(self, span: Span) -> None:
        """Put it into the line of what is sent."""
        self._ids.context = span.context
        told = self._tracer.start_span(
            span.name, self._parent(span), attributes=dict(span.attributes), start_time=_nanoseconds(span.begin)
        )
        for name, attributes in span.events:
            told.add_event(name, dict(attributes), _nanoseconds(span.end))
        if span.is_failed:
            told.set_status(Status(StatusCode.ERROR))
        told.end(_nanoseconds(span.end))

    def close(self) -> None:
        """Send what waits. May take as long as the collector does."""
        self._provider.shutdown()

    def _parent(self, span: Span) -> Context:
        if not span.parent_id:
            return trace.set_span_in_context(trace.INVALID_SPAN, Context())
        ids = int(span.context.trace_id, 16), int(span.parent_id, 16)
        flags = TraceFlags(int(span.context.is_sampled and self.samples(span.context.trace_id)))
        parent = SpanContext(*ids, is_remote=True, trace_flags=flags)
        return trace.set_span_in_context(NonRecordingSpan(parent), Context())


class _Given(IdGenerator):
    """Spans have their identifiers already."""

    context = TraceContext("0" * 32, "0" * 16)

    def generate_span_id(self) -> int:
        return int(self.context.span_id, 16)

    def generate_trace_id(self) -> int:
        return int(self.context.trace_id, 16)


def _nanoseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6) * 1000
