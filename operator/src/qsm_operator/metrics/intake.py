"""What intake sees of Orthanc, and what it makes of it."""

from qsm_operator.metrics.health import Health

_LATE = (1, 2, 5, 10, 15, 30, 60, 120, 300, 900, 3600, 14400)

IGNORED = frozenset({"NoImages", "NotAnImage", "NotGradientEcho", "Derived", "OwnResult", "Localizer"})
"""Reasons that every examination gives: its other series. The rest tells of a protocol or a sender to repair."""


class IntakeMetrics(Health):
    """The metrics of one intake program, in a registry of its own."""

    def __init__(self) -> None:
        super().__init__()
        declare = self.declare
        self.hints = declare.counter(
            "qsm_intake_hints_total",
            "Calls of the webhook; result is accepted, repeated, unauthorized, malformed or throttled.",
            "result",
            most=8,
        )
        for result in ("accepted", "repeated", "unauthorized", "malformed", "throttled"):
            self.hints.expect(result)
        self.received = declare.counter(
            "qsm_intake_series_received_total", "Series seen for the first time.", "found_by", most=3
        )
        self.acquisitions = declare.counter(
            "qsm_intake_acquisitions_total",
            "Acquisitions that were decided about: complete, refused, or ignored as nothing to reconstruct.",
            "scanner",
            "outcome",
            most=204,
        )
        self.refused = declare.counter(
            "qsm_intake_refused_total", "Acquisitions that were refused or ignored.", "reason", most=60
        )
        self.unmatched = declare.total("qsm_intake_unmatched_total", "Complete acquisitions that no QSMRoute wants.")
        self.jobs_created = declare.counter(
            "qsm_intake_jobs_created_total", "QSMJobs that intake created.", "pipeline", most=20
        )
        self.waiting = declare.level(
            "qsm_intake_waiting", "Acquisitions that are not complete yet and still have time."
        )
        self.waiting_oldest = declare.level(
            "qsm_intake_waiting_oldest_seconds", "How long ago the last image of the stillest of them came."
        )
        self.cursor_lag = declare.gauge(
            "qsm_intake_cursor_lag_changes", "Changes in Orthanc that intake has not read yet.", "connection", most=16
        )
        self.cursor_read = declare.gauge(
            "qsm_intake_cursor_last_read_timestamp_seconds",
            "When Orthanc's changes were last read to their end.",
            "connection",
            most=16,
        )
        self.last_image = declare.gauge(
            "qsm_intake_last_image_timestamp_seconds", "When the newest image came.", "connection", most=16
        )
        self.image_to_job = declare.sizes(
            "qsm_intake_image_to_job_seconds", "From the last image of an acquisition to its QSMJob.", buckets=_LATE
        )
        self.orthanc_requests = declare.counter(
            "qsm_orthanc_requests_total",
            "Requests to Orthanc; code is the HTTP status, or Unreachable.",
            "op",
            "code",
            most=80,
        )
        self.orthanc_seconds = declare.histogram(
            "qsm_orthanc_request_duration_seconds",
            "Time of a request to Orthanc.",
            "op",
            buckets=(0.02, 0.1, 0.5, 2, 10, 30),
            most=16,
        )
        self.orthanc_answered = declare.gauge(
            "qsm_orthanc_last_answer_timestamp_seconds", "When Orthanc last gave a good answer.", "connection", most=16
        )
        self.scans = declare.counter(
            "qsm_intake_scans_total",
            "Scans of all of Orthanc; result is done or failed.",
            "connection",
            "result",
            most=32,
        )
        self.scan_seconds = declare.sizes(
            "qsm_intake_scan_duration_seconds", "Time of such a scan.", buckets=(1, 5, 15, 60, 300, 1800)
        )
        self.last_scan = declare.gauge(
            "qsm_intake_scan_last_success_timestamp_seconds", "When the last good scan ended.", "connection", most=16
        )

    def complete(self, scanner: str) -> None:
        """An acquisition is complete and can be reconstructed."""
        self._decided(scanner, "complete")

    def refuse(self, scanner: str, reason: str) -> None:
        """An acquisition cannot be reconstructed. What nobody meant to be is ignored: no reason to worry."""
        self.refused.labels(reason).inc()
        self._decided(scanner, "ignored" if reason in IGNORED else "refused")

    def _decided(self, scanner: str, outcome: str) -> None:
        for other in ("complete", "ignored", "refused"):
            self.acquisitions.expect(scanner, other)
        self.acquisitions.labels(scanner, outcome).inc()

    def orthanc(self, op: str, code: str, seconds: float) -> None:
        """Note a request to Orthanc."""
        self.orthanc_requests.labels(op, code).inc()
        self.orthanc_seconds.labels(op).observe(seconds)
