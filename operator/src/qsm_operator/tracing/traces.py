"""What a trace is made of here: W3C trace context, and spans as plain data. Nothing of it knows OpenTelemetry.

Identifiers that several programs must agree on are derived, not drawn: an operator that was started anew gives the
spans of a QSMJob the same ones as the operator before it, and nothing has to be kept for that.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED = 1

Attributes = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class TraceContext:
    """One span's place: which trace, which span."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    is_sampled: bool = True

    @property
    def traceparent(self) -> str:
        """As W3C Trace Context writes it."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.is_sampled):02x}"


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time. Attributes hold names of our objects and closed words, never anything of a patient."""

    name: str
    context: TraceContext
    parent_id: str
    """Empty for the first of a trace."""
    begin: datetime
    end: datetime
    attributes: Attributes = field(default_factory=dict)
    events: tuple[tuple[str, Attributes], ...] = ()
    """What is known of its end, each with a name."""
    is_failed: bool = False


def read_traceparent(text: object) -> TraceContext | None:
    """The context a `traceparent` names; none where it is not valid."""
    found = _TRACEPARENT.fullmatch(text) if isinstance(text, str) else None
    if found is None or not int(found[1], 16) or not int(found[2], 16):
        return None
    return TraceContext(found[1], found[2], bool(int(found[3], 16) & _SAMPLED))


def new_trace() -> TraceContext:
    """The first span of a new trace."""
    return TraceContext(secrets.token_hex(16), secrets.token_hex(8))


def below(parent: TraceContext, *names: object) -> TraceContext:
    """A span below another: the same names give the same identifier."""
    return TraceContext(parent.trace_id, _hash(8, parent.span_id, *names), parent.is_sampled)


def of_job(uid: str, parent: TraceContext | None) -> TraceContext:
    """The span of a QSMJob, in the trace that intake began; without one, in a trace of its own."""
    trace_id = parent.trace_id if parent else _hash(16, uid)
    return TraceContext(trace_id, _hash(8, uid), parent.is_sampled if parent else True)


def of_attempt(uid: str, parent: TraceContext | None, index: int) -> TraceContext:
    """The span of one of its attempts."""
    return below(of_job(uid, parent), "attempt", index)


def _hash(size: int, *parts: object) -> str:
    return hashlib.blake2b("\n".join(map(str, parts)).encode(), digest_size=size).hexdigest()
