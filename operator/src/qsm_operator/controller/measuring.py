"""What the gauges say of all QSMJobs as they are now; done when they are read, in one pass over all of them."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from qsm_operator.controller.store import Store
from qsm_operator.metrics import Metrics
from qsm_operator.resources.conditions import Active
from qsm_operator.resources.custom import QSMJob

_WAITS = frozenset({"New", *map(str, Active)} - {str(Active.SUSPENDED)})
"""States in which a job that grows old is worth a look; held on purpose it may."""


def measure_jobs(metrics: Metrics, store: Store, now: datetime) -> list[QSMJob]:
    """Set every gauge that is a count or an age of QSMJobs, attempts or deliveries; the jobs that are not finished."""
    unfinished: list[QSMJob] = []
    counts: Counter[tuple[str, str]] = Counter()
    oldest = dict.fromkeys(sorted(_WAITS), 0.0)
    pending: Counter[str] = Counter()
    waits: dict[str, list[float]] = {"GPU": [], "CPU": []}
    for key, job in store.qsmjobs.items():
        status, state = _answer(job)
        counts[key[0], state] += 1
        if status in {"True", "False"}:
            continue
        unfinished.append(job)
        if state in oldest:
            oldest[state] = max(oldest[state], (now - job.created).total_seconds())
        pending.update(
            entry["destination"] for entry in job.status.get("deliveries") or [] if entry.get("state") == "Pending"
        )
        since = [pod.unschedulable_since for pod in store.pods_of(key) if pod.is_live and pod.unschedulable_since]
        backend = str(job.status.get("backend", ""))
        if since and backend in waits:
            waits[backend].append((now - min(since)).total_seconds())
    metrics.jobs.clear()
    for (namespace, state), count in counts.items():
        metrics.jobs.labels(namespace, state).set(count)
    for state, seconds in oldest.items():
        metrics.oldest.labels(state).set(seconds)
    metrics.delivery.pending.clear()
    for destination, count in pending.items():
        metrics.delivery.pending.labels(destination).set(count)
    for backend, seconds_each in waits.items():
        metrics.unschedulable.labels(backend).set(len(seconds_each))
        metrics.unschedulable_oldest.labels(backend).set(max(seconds_each, default=0.0))
    return unfinished


def expect_ends(metrics: Metrics, store: Store, unfinished: Iterable[QSMJob]) -> None:
    """Have counters begin before what they count: an alert cannot see the first of a series."""
    for _, name in store.pipelines:
        metrics.expect(name)
    names = {"source"}
    for job in unfinished:
        for entry in job.spec.get("destinations") or ():
            names.add(entry["name"])
    for name in names:
        metrics.delivery.expect(name)


def _answer(job: QSMJob) -> tuple[str, str]:
    """Status and reason of Complete. A plain loop: this runs for every QSMJob there is, at every scrape."""
    for condition in job.status.get("conditions") or ():
        if condition.get("type") == "Complete":
            return condition.get("status", ""), condition.get("reason", "New")
    return "", "New"
