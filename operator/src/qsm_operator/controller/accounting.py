"""From one written change of a QSMJob to log lines and metrics.

Called once for each status that the API server took. It takes one only over the version that was seen, so whoever
wrote the end of a job is the only one who counts it: a restart, a resync or a second operator finds it finished.
"""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from qsm_operator.lifecycle.backends import FALLBACK_REASONS
from qsm_operator.lifecycle.decisions import Decision
from qsm_operator.metrics import Metrics
from qsm_operator.metrics.labels import KEPT_STAGES
from qsm_operator.resources.conditions import SUCCEEDED, Type, find
from qsm_operator.resources.custom import QSMJob
from qsm_operator.resources.report import Report
from qsm_operator.resources.times import moment

logger = logging.getLogger(__name__)

_QUALITY = {
    "phase_residual_median": "phase_residual",
    "mask_volume_ml": "mask_volume_ml",
    "reference_offset_ppb": "reference_ppb",
    "noise_median_ppb": "noise_ppb",
}
"""Figure of the report to attribute of `Quality`."""

_EXEMPLAR_LETTERS = 128
"""Of all names and values of one exemplar together."""

STORE_REASONS = "Store"
"""So begin the reasons of a report that blame the store of interim data, such as StoreFull."""


def log_changes(before: QSMJob, decision: Decision, now: datetime) -> None:
    """One line for each Event, with the same word."""
    for event in decision.events:
        fields = {
            "namespace": before.namespace,
            "qsmjob": before.name,
            "pipeline": before.pipeline_name,
            "attempt": event.attempt,
            "backend": decision.status.get("backend", ""),
            "seconds": round((now - before.created).total_seconds(), 3),
            "reason": event.reason,
            "trace": before.trace.trace_id if before.trace else "",
        }
        level = logging.WARNING if event.kind == "Warning" else logging.INFO
        logger.log(level, "%s", event.message, extra=fields)


def count_changes(metrics: Metrics, before: QSMJob, decision: Decision, now: datetime) -> None:
    """Everything that has become true between the status before and the one just written."""
    old, new = before.status, decision.status
    _count_attempts(metrics, before, new)
    _count_deliveries(metrics, old, new)
    if decision.report is not None:
        _count_store(metrics, decision.report)
    complete = find(new.get("conditions") or [], Type.COMPLETE) or {}
    if complete.get("status") not in {"True", "False"} or before.is_finished:
        return
    reason, backend, pipeline = complete["reason"], new.get("backend", "none"), before.pipeline_name
    result = SUCCEEDED if reason == SUCCEEDED else "Failed"
    metrics.finished.labels(pipeline, backend, result, reason).inc()
    if result != SUCCEEDED:
        return
    exemplar = _exemplar(before)
    metrics.duration.labels(pipeline, backend).observe(_seconds(before.created, now), exemplar)
    if before.last_image is not None:
        metrics.latency.labels(pipeline).observe(_seconds(before.last_image, now), exemplar)
    for stage, seconds in _numbers(new.get("stageSeconds"), "stage", "seconds").items():
        metrics.stage_seconds.labels(pipeline, stage, backend).inc(max(0.0, seconds))
    if decision.report is not None and decision.report.scanner:
        _set_quality(metrics, pipeline, decision.report.scanner, _numbers(new.get("metrics"), "name", "value"))


def _count_attempts(metrics: Metrics, before: QSMJob, new: Mapping[str, Any]) -> None:
    known = int(before.status.get("attemptCount", 0))
    ended = {attempt.index for attempt in before.attempts if not attempt.is_open}
    for attempt in new.get("attempts") or []:
        if attempt["index"] > known and attempt.get("backendReason") in FALLBACK_REASONS:
            metrics.fallbacks.labels(attempt["backendReason"]).inc()
        if attempt.get("result") and attempt["index"] not in ended:
            metrics.attempts.labels(attempt.get("backend", "none"), attempt["result"]).inc()
    had_run = any(attempt.runTime for attempt in before.attempts)
    began = next((attempt for attempt in new.get("attempts") or [] if attempt.get("runTime")), None)
    if began and not had_run:
        waited = _seconds(before.created, moment(began["runTime"]) or before.created)
        metrics.queue_wait.labels(began.get("backend", "none")).observe(waited)


def _count_deliveries(metrics: Metrics, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    was = {entry["destination"]: entry.get("state") for entry in old.get("deliveries") or []}
    for entry in new.get("deliveries") or []:
        name, state = entry["destination"], entry.get("state")
        if state not in {"Delivered", "Failed"} or was.get(name) == state:
            continue
        metrics.delivery.finished.labels(name, state).inc()
        if entry.get("instances"):
            metrics.delivery.instances.labels(name).inc(entry["instances"])
        if entry.get("commitment"):
            metrics.delivery.commitment.labels(name, entry["commitment"]).inc()


def _count_store(metrics: Metrics, report: Report) -> None:
    store = report.store
    for direction, word in (("read", "Read"), ("written", "Written")):
        metrics.interim.bytes.labels(direction).inc(store.get(f"bytes{word}", 0))
        metrics.interim.seconds.labels(direction).inc(store.get(f"seconds{word}", 0))
    cached = set(report.cached)
    for stage in cached:
        metrics.interim.stages.labels(stage, "cached").inc()
    for entry in report.stage_seconds:
        if entry["stage"] in KEPT_STAGES and entry["stage"] not in cached:
            metrics.interim.stages.labels(entry["stage"], "computed").inc()
    if report.reason.startswith(STORE_REASONS):
        metrics.interim.errors.labels(report.reason).inc()


def _set_quality(metrics: Metrics, pipeline: str, scanner: str, figures: Mapping[str, float]) -> None:
    for figure, gauge in _QUALITY.items():
        if figure in figures:
            getattr(metrics.quality, gauge).labels(pipeline, scanner).set(figures[figure])
    if "csf_voxels" in figures:
        metrics.quality.csf_found.labels(pipeline, scanner).set(float(figures["csf_voxels"] > 0))


def _exemplar(job: QSMJob) -> dict[str, str]:
    """What leads from a bucket to a job, its trace first; OpenMetrics allows so many letters in all."""
    told: dict[str, str] = {}
    parts = {"trace_id": job.trace.trace_id if job.trace else "", "qsmjob": job.name, "namespace": job.namespace}
    for name, value in parts.items():
        if value and sum(map(len, (*told, *told.values(), name, value))) <= _EXEMPLAR_LETTERS:
            told[name] = value
    return told


def _numbers(entries: Any, key: str, value: str) -> dict[str, float]:
    """Names and numbers of a list in a status; the report was read strictly before it came there."""
    return {entry[key]: float(entry[value]) for entry in entries or []}


def _seconds(since: datetime, until: datetime) -> float:
    return max(0.0, (until - since).total_seconds())
