"""Where a trace begins: at the webhook. What intake remembers of hints until their acquisition becomes QSMJobs."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from qsm_operator.tracing.tracer import OFF, Tracing
from qsm_operator.tracing.traces import Span, TraceContext, below

_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class OrderTrace:
    """One acquisition on its way to QSMJobs."""

    context: TraceContext
    began: datetime
    hinted: tuple[datetime, ...]

    @property
    def traceparent(self) -> str:
        """What a QSMJob carries on."""
        return self.context.traceparent


@dataclass(slots=True)
class HintTraces:
    """When series were hinted at, for all Orthancs."""

    tracing: Tracing = OFF
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _hinted: OrderedDict[tuple[str, str], datetime] = field(default_factory=OrderedDict)

    def hint(self, connection: str, series_id: str) -> None:
        """A hint came; the newest one counts, an older one may be of what the series was before."""
        if self.tracing.is_on:
            self._hinted[connection, series_id] = self.now()
            self._hinted.move_to_end((connection, series_id))
            if len(self._hinted) > _REMEMBERED:
                self._hinted.popitem(last=False)

    def begin(self, connection: str, series_ids: Iterable[str]) -> OrderTrace | None:
        """QSMJobs are about to be made of these series; none where nobody wants traces."""
        if not self.tracing.is_on:
            return None
        moments = [self._hinted[connection, one] for one in series_ids if (connection, one) in self._hinted]
        return OrderTrace(self.tracing.begin(), self.now(), tuple(sorted(moments)))

    def end(self, order: OrderTrace, connection: str, acquisition: str, jobs: int) -> None:
        """They are made: tell how it came to that. `acquisition` is its hash, as in labels and logs."""
        root, end = order.context, self.now()
        about = {"qsm.connection": connection, "qsm.acquisition": acquisition}
        begin = min(order.hinted, default=order.began)
        spans = [Span("acquisition", root, "", begin, end, about | {"qsm.jobs": jobs})]
        spans += [Span("hint", below(root, "hint", n), root.span_id, at, at) for n, at in enumerate(order.hinted)]
        if order.hinted:
            spans.append(Span("look", below(root, "look"), root.span_id, max(order.hinted), order.began))
        spans.append(Span("order", below(root, "order"), root.span_id, order.began, end))
        self.tracing.tell(spans)
