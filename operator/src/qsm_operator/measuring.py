"""What the gauges say of all QSMJobs as they are now; done when they are read."""

from collections import Counter
from datetime import datetime

from qsm_operator.conditions import Active
from qsm_operator.metrics import Metrics
from qsm_operator.store import Store

_WAITS = frozenset({"New", *map(str, Active)} - {str(Active.SUSPENDED)})


def measure_jobs(metrics: Metrics, store: Store, now: datetime) -> None:
    """Set every gauge that is a count or an age of QSMJobs, attempts or deliveries."""
    counts: Counter[tuple[str, str]] = Counter()
    oldest: dict[str, float] = dict.fromkeys(sorted(_WAITS), 0.0)
    pending: Counter[str] = Counter()
    for (namespace, _), job in store.qsmjobs.items():
        state = job.state
        counts[namespace, state] += 1
        if state in oldest:
            oldest[state] = max(oldest[state], (now - job.created).total_seconds())
        if not job.is_finished:
            for entry in job.status.get("deliveries") or []:
                pending[entry["destination"]] += entry.get("state") == "Pending"
    metrics.jobs.clear()
    for (namespace, state), count in counts.items():
        metrics.jobs.labels(namespace, state).set(count)
    for state, seconds in oldest.items():
        metrics.oldest.labels(state).set(seconds)
    metrics.delivery.pending.clear()
    for destination, count in pending.items():
        metrics.delivery.pending.labels(destination).set(count)
    _measure_waits(metrics, store, now)


def _measure_waits(metrics: Metrics, store: Store, now: datetime) -> None:
    waits: dict[str, list[float]] = {"GPU": [], "CPU": []}
    for key, job in store.qsmjobs.items():
        if job.is_finished:
            continue
        since = [pod.unschedulable_since for pod in store.pods_of(key) if pod.is_live and pod.unschedulable_since]
        backend = str(job.status.get("backend", ""))
        if since and backend in waits:
            waits[backend].append((now - min(since)).total_seconds())
    for backend, seconds in waits.items():
        metrics.unschedulable.labels(backend).set(len(seconds))
        metrics.unschedulable_oldest.labels(backend).set(max(seconds, default=0.0))
