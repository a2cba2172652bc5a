"""How a metric is declared: once, with its labels bounded, and remembered for the table in docs/metrics.md."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics import MetricWrapperBase

from qsm_operator.metrics.labels import LABELS, OTHER, Bounds

M = TypeVar("M", bound=MetricWrapperBase)

# A series for the moment each series began would double their number, and nobody asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Declared:
    """What the table in docs/metrics.md says of one metric."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    most_series: int


class Family(Generic[M]):
    """A metric with labels. Whatever values are given, the number of its series stays bounded."""

    def __init__(self, metric: M, labels: tuple[str, ...], bounds: Bounds, most: int) -> None:
        self._metric, self._labels, self._bounds, self._most = metric, labels, bounds, most
        self._told: set[tuple[str, ...]] = set()

    def labels(self, *values: str) -> M:
        """The series with these values, in the order they were declared in."""
        told = tuple(self._bounds.of(name, value) for name, value in zip(self._labels, values, strict=True))
        if told not in self._told:
            if len(self._told) >= self._most:
                told = (OTHER,) * len(self._labels)
            self._told.add(told)
        return self._metric.labels(*told)

    def expect(self, *values: str) -> None:
        """Have the series begin with 0 before anything happens.

        Prometheus sees no increase in a counter whose first value is 1, so an alert would miss the first failure. What
        really happens keeps a quarter of the room.
        """
        if len(self._told) < 3 * self._most // 4:
            self.labels(*values)

    def clear(self) -> None:
        """Forget all series, before they are set anew."""
        self._told.clear()
        self._metric.clear()


class Declaring:
    """Makes the metrics of one program, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.declared: list[Declared] = []
        self._bounds = Bounds()

    def counter(self, name: str, text: str, *labels: str, most: int = 40) -> Family[Counter]:
        """Only grows; begins anew with the program. `most` label sets are told apart."""
        return self._family(Counter(name, text, labels, registry=self.registry), name, "counter", text, labels, most, 1)

    def gauge(self, name: str, text: str, *labels: str, most: int = 40) -> Family[Gauge]:
        """How it is now."""
        return self._family(Gauge(name, text, labels, registry=self.registry), name, "gauge", text, labels, most, 1)

    def histogram(
        self, name: str, text: str, *labels: str, buckets: Sequence[float], most: int = 40
    ) -> Family[Histogram]:
        """How often, by size."""
        metric = Histogram(name, text, labels, registry=self.registry, buckets=buckets)
        return self._family(metric, name, "histogram", text, labels, most, len(buckets) + 3)

    def total(self, name: str, text: str) -> Counter:
        """A counter without labels."""
        self.declared.append(Declared(name, "counter", text, (), 1))
        return Counter(name, text, registry=self.registry)

    def level(self, name: str, text: str) -> Gauge:
        """A gauge without labels."""
        self.declared.append(Declared(name, "gauge", text, (), 1))
        return Gauge(name, text, registry=self.registry)

    def sizes(self, name: str, text: str, *, buckets: Sequence[float]) -> Histogram:
        """A histogram without labels."""
        self.declared.append(Declared(name, "histogram", text, (), len(buckets) + 3))
        return Histogram(name, text, registry=self.registry, buckets=buckets)

    def _family(
        self, metric: M, name: str, kind: str, text: str, labels: Sequence[str], most: int, each: int
    ) -> Family[M]:
        bound = 1
        for label in labels:
            bound *= LABELS[label].bound
        self.declared.append(Declared(name, kind, text, tuple(labels), min(bound, most + 1) * each))
        return Family(metric, tuple(labels), self._bounds, most)
