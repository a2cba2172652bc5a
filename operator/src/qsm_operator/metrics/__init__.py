"""Every Prometheus metric, declared once, by area. No label ever tells a job, a study or a person.

`Metrics` is the operator's, `IntakeMetrics` that of intake, which is a program of its own. `make sync` writes the
table of them, docs/metrics.md.
"""

from qsm_operator.metrics.delivery import Delivery
from qsm_operator.metrics.health import Health
from qsm_operator.metrics.intake import IntakeMetrics
from qsm_operator.metrics.jobs import Jobs
from qsm_operator.metrics.quality import Quality
from qsm_operator.metrics.store import Interim

__all__ = ["IntakeMetrics", "Metrics"]


class Metrics(Jobs, Health):
    """The metrics of one operator, in a registry of its own."""

    def __init__(self) -> None:
        Health.__init__(self)
        declare = self.declare
        Jobs.__init__(self, declare)
        self.quality = Quality(declare)
        self.interim = Interim(declare)
        self.delivery = Delivery(declare)
        self.reconciles = declare.counter(
            "qsm_reconcile_total",
            "Looks at a QSMJob; result is done, conflict, api_error or defect.",
            "result",
            most=6,
        )
        for result in ("done", "conflict", "api_error", "defect"):
            self.reconciles.expect(result)
        self.reconcile_seconds = declare.sizes(
            "qsm_reconcile_duration_seconds", "Time of one look at a QSMJob.", buckets=(0.005, 0.02, 0.1, 0.5, 2, 10)
        )
        self.queue_depth = declare.level("qsm_workqueue_depth", "QSMJobs waiting to be looked at.")
        self.queue_oldest = declare.level("qsm_workqueue_oldest_seconds", "Wait of the one that waits longest.")
        self.events_dropped = declare.counter(
            "qsm_events_dropped_total", "Kubernetes Events that were not posted.", "why", most=8
        )
        self.outages = declare.total(
            "qsm_kube_outages_total", "Times the API server did not answer, after which all was listed."
        )
        self.last_event = declare.gauge(
            "qsm_watch_last_event_timestamp_seconds", "When a watch last told something.", "resource", most=8
        )
        self.corrections = declare.counter(
            "qsm_resync_corrections_total",
            "Changes that a full list found and no watch had told.",
            "resource",
            most=8,
        )
        self.last_resync = declare.level(
            "qsm_resync_last_success_timestamp_seconds", "When everything was last listed."
        )
