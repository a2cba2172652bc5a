"""The life of QSMJobs: how many, how they ended, how long it took, on what."""

from qsm_operator.lifecycle.backends import FALLBACK_REASONS
from qsm_operator.metrics.declaring import Declaring
from qsm_operator.resources.conditions import SUCCEEDED, Failure

_LONG = (10, 30, 60, 120, 180, 300, 600, 1800, 3600, 14400)
"""10 s to 4 h, seconds."""


class Jobs:
    """Metrics of QSMJobs and their attempts."""

    def __init__(self, declare: Declaring) -> None:
        self.jobs = declare.gauge(
            "qsm_jobs", "QSMJobs by state (reason of the condition Complete).", "namespace", "state", most=100
        )
        self.oldest = declare.gauge(
            "qsm_jobs_oldest_seconds",
            "Age of the oldest QSMJob in each state that is not an end; not counting those held on purpose.",
            "state",
            most=8,
        )
        self.finished = declare.counter(
            "qsm_jobs_finished_total",
            "QSMJobs that finished while this operator ran; result is Succeeded or Failed.",
            "pipeline",
            "backend",
            "result",
            "reason",
            most=200,
        )
        self.duration = declare.histogram(
            "qsm_job_duration_seconds",
            "From the creation of a QSMJob to its good end.",
            "pipeline",
            "backend",
            buckets=_LONG,
            most=12,
        )
        self.queue_wait = declare.histogram(
            "qsm_job_queue_wait_seconds",
            "From the creation of a QSMJob to its first running pod.",
            "backend",
            buckets=_LONG,
            most=2,
        )
        self.latency = declare.histogram(
            "qsm_image_to_delivered_seconds",
            "From the last image of an acquisition at Orthanc to its results delivered: what a radiologist waits.",
            "pipeline",
            buckets=_LONG,
            most=8,
        )
        self.stage_seconds = declare.counter(
            "qsm_job_stage_seconds_total",
            "Seconds spent in each stage of the reconstructions that succeeded, as the pods reported them.",
            "pipeline",
            "stage",
            "backend",
            most=150,
        )
        self.attempts = declare.counter(
            "qsm_job_attempts_total",
            "Attempts that ended; result is Succeeded, the reason of the failure, or the interruption.",
            "backend",
            "result",
            most=40,
        )
        self.fallbacks = declare.counter(
            "qsm_backend_fallbacks_total", "Attempts on the CPU instead of a GPU.", "reason", most=4
        )
        for reason in sorted(FALLBACK_REASONS):
            self.fallbacks.expect(str(reason))
        self.unschedulable = declare.gauge(
            "qsm_attempts_unschedulable", "Attempts whose pod no node takes at the moment.", "backend", most=2
        )
        self.unschedulable_oldest = declare.gauge(
            "qsm_attempts_unschedulable_oldest_seconds", "Wait of the one that waits longest.", "backend", most=2
        )
        self.turns_waiting = declare.level(
            "qsm_jobs_waiting_for_turn", "QSMJobs held back by the operator's own limits."
        )
        self._expected: set[str] = set()

    def expect(self, pipeline: str) -> None:
        """Something will run with it, and end well or not."""
        if pipeline not in self._expected:
            self._expected.add(pipeline)
            for backend in ("CPU", "GPU"):
                self.finished.expect(pipeline, backend, SUCCEEDED, SUCCEEDED)
                for reason in Failure:
                    self.finished.expect(pipeline, backend, "Failed", str(reason))
