"""docs/metrics.md: every metric and label, written from their declarations (`make sync`)."""

from qsm_operator.metrics import IntakeMetrics, Metrics
from qsm_operator.metrics.declaring import Declared
from qsm_operator.metrics.labels import LABELS

_INTRODUCTION = """\
Written by `make sync` from `qsm_operator/metrics/`; edits here are lost. What to do with them:
[monitoring.md](monitoring.md).

Both programs answer on `/metrics`, in Prometheus' text format or, where asked for, in OpenMetrics with exemplars that
name the QSMJob. Pods of reconstructions are not scraped: their reports carry the numbers, and the operator counts them
once for each finished QSMJob. Counters begin anew with the program; a finished job is never counted again.

`series` is the most there can be. Values beyond the bound of a label become `other`; no label tells a job, a study, a
UID or a person."""


def markdown() -> str:
    """The page."""
    operator, intake = Metrics().declare.declared, IntakeMetrics().declare.declared
    shared = {metric.name for metric in operator} & {metric.name for metric in intake}
    parts = [
        "# Metrics",
        _INTRODUCTION,
        "## Of both programs",
        _table([metric for metric in operator if metric.name in shared]),
        "Beside them `process_*`: CPU seconds, memory, open files and start time of the program.",
        "## Of the operator",
        _table([metric for metric in operator if metric.name not in shared]),
        "## Of intake",
        _table([metric for metric in intake if metric.name not in shared]),
        "## Labels",
        _labels({label for metric in (*operator, *intake) for label in metric.labels}),
    ]
    return "\n\n".join(parts) + "\n"


def _table(metrics: list[Declared]) -> str:
    rows = [
        f"| `{metric.name}` | {metric.kind} | {', '.join(metric.labels)} | {metric.most_series} | {metric.help} |"
        for metric in sorted(metrics, key=lambda metric: metric.name)
    ]
    return "\n".join(["| name | kind | labels | series | meaning |", "|---|---|---|---|---|", *rows])


def _labels(used: set[str]) -> str:
    rows = []
    for name in sorted(used):
        label = LABELS[name]
        values = ", ".join(f"`{value}`" for value in label.closed) or f"up to {label.most}, then `other`"
        rows.append(f"| `{name}` | {label.meaning} | {values} |")
    return "\n".join(["| label | tells | values |", "|---|---|---|", *rows])
