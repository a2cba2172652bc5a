"""Every Prometheus metric of the operator, declared once. No label ever tells a job, a study or a person."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_LONG = (10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800)


class Metrics:
    """The metrics of one operator, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        here = self.registry
        self.jobs = Gauge(
            "qsm_jobs", "QSMJobs by state (reason of the condition Complete).", ["namespace", "state"], registry=here
        )
        self.finished = Counter(
            "qsm_jobs_finished_total",
            "QSMJobs that finished while this operator ran.",
            ["namespace", "pipeline", "backend", "result"],
            registry=here,
        )
        self.duration = Histogram(
            "qsm_job_duration_seconds",
            "From the creation of a QSMJob to its end.",
            ["pipeline", "backend", "result"],
            buckets=_LONG,
            registry=here,
        )
        self.queue_wait = Histogram(
            "qsm_job_queue_wait_seconds",
            "From the creation of a QSMJob to its first running pod.",
            buckets=_LONG,
            registry=here,
        )
        self.stage_duration = Histogram(
            "qsm_job_stage_duration_seconds",
            "Time in a stage of the reconstruction, as the pods reported it.",
            ["stage", "backend"],
            buckets=(1, 3, 10, 30, 60, 120, 300, 600, 1800, 3600),
            registry=here,
        )
        self.fallbacks = Counter(
            "qsm_backend_fallbacks_total", "Attempts on another backend than first wanted.", ["reason"], registry=here
        )
        self.reconciles = Counter("qsm_reconcile_total", "Looks at a QSMJob.", ["result"], registry=here)
        self.reconcile_seconds = Histogram(
            "qsm_reconcile_duration_seconds", "Time of one look at a QSMJob.", registry=here
        )
        self.queue_depth = Gauge("qsm_workqueue_depth", "QSMJobs waiting to be looked at.", registry=here)
        self.queue_oldest = Gauge("qsm_workqueue_oldest_seconds", "Wait of the one that waits longest.", registry=here)
        self.turns_waiting = Gauge(
            "qsm_jobs_waiting_for_turn", "QSMJobs held back by the operator's own limits.", registry=here
        )
        self.events_dropped = Counter(
            "qsm_events_dropped_total", "Kubernetes Events that were not posted.", ["why"], registry=here
        )
        self.outages = Counter(
            "qsm_kube_outages_total", "Times the API server did not answer, after which all was listed.", registry=here
        )
        self.last_event = Gauge(
            "qsm_watch_last_event_timestamp_seconds", "When a watch last told something.", ["resource"], registry=here
        )
        self.corrections = Counter(
            "qsm_resync_corrections_total",
            "Changes that a full list found and no watch had told.",
            ["resource"],
            registry=here,
        )
        self.last_resync = Gauge(
            "qsm_resync_last_success_timestamp_seconds", "When everything was last listed.", registry=here
        )
        self.requests = Histogram(
            "qsm_kube_request_duration_seconds",
            "Requests to the Kubernetes API.",
            ["verb", "resource", "code"],
            registry=here,
        )
        self.build = Gauge("qsm_operator_build_info", "Constant 1, with the version.", ["version"], registry=here)

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """Note a request to the API server."""
        self.requests.labels(verb, resource, code).observe(seconds)
