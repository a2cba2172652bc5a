"""Traces: what a span is, whether anybody wants it, and the door to OpenTelemetry."""
