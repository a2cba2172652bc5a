"""A hospital in fast motion: days of traffic written into our own real registries, healthy or with one thing broken.

Times are seconds since the start, as `promtool test rules` counts them. Everything goes through the same methods that
the operator and intake call; what comes out is what they expose.
"""

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from qsm_operator.metrics import IntakeMetrics, Metrics
from qsm_operator.metrics.labels import KEPT_STAGES, STAGES

MINUTE, HOUR, DAY = 60, 3600, 86400
SCANNERS = ("siemens Prisma #7c1e", "ge Signa Premier #02fa", "philips Ingenia Elition X #91b3")
PIPELINES = {"medi0-v1": 95.0, "fast-v1": 40.0}
"""Seconds each takes on its processor."""
ACTIVE = ("New", "Queued", "Staging", "Running", "Delivering", "PipelineNotFound")


@dataclass
class Site:
    """Its state and what may be wrong with it; a scenario changes the second half as time goes on."""

    seed: int = 7
    now: float = 0.0
    begins_at: float = 6.0
    """Hour of the day at which the clock is zero."""
    scans_per_hour: float = 6.0
    gpu: bool = True
    fallback_share: float = 0.02
    failed_share: float = 0.01
    failure: str = "ReconError"
    refused_share: dict[str, float] = field(default_factory=dict)
    extra_seconds: float = 0.0
    stands: str = ""
    """A state in which all jobs stay."""
    pacs: str = "up"
    """up, down (pending) or refuses (failed)."""
    store_reason: str = ""
    intake_up: bool = True
    operator_up: bool = True
    intake_reads: bool = True
    orthanc_up: bool = True
    hints_forged: bool = False
    scanners_off: bool = False
    defects: bool = False
    api_up: bool = True
    stuck_queue: bool = False
    shift: dict[str, float] = field(default_factory=dict)
    half_acquisition_since: float | None = None
    certificate_ends: float = 90 * DAY
    metrics: Metrics = field(default_factory=Metrics)
    intake: IntakeMetrics = field(default_factory=IntakeMetrics)
    _jobs: list[dict] = field(default_factory=list)
    _ready: float = 0.0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311 - traffic, no secret
        self.metrics.build.labels("0.1.0").set(1)
        self.intake.build.labels("0.1.0").set(1)

    def step(self, seconds: float) -> None:
        """Let so much time pass."""
        self.now += seconds
        hour = (self.begins_at + self.now / HOUR) % 24
        busy = self.scans_per_hour if 7 <= hour < 19 else self.scans_per_hour / 12
        chance = 0 if self.scanners_off else busy * seconds / HOUR
        for _ in range(int(chance) + (self.random.random() < chance % 1)):
            self._scan()
        self._run()
        self._gauges()

    def _scan(self) -> None:
        scanner = self.random.choice(SCANNERS)
        found_by = "hint" if self.random.random() < 0.9 else "changes"
        if not (self.intake_reads and self.orthanc_up):
            return
        self.intake.hints.labels("accepted").inc()
        self.intake.received.labels(found_by).inc()
        for op in ("changes", "series", "tags"):
            self.intake.orthanc(op, "200", 0.03)
        self.intake.last_image.labels("main").set(self.now)
        self.intake.refuse(scanner, "NotGradientEcho")
        if self.random.random() < self.refused_share.get(scanner, 0.04):
            self.intake.refuse(scanner, "NoPhase")
            return
        self.intake.complete(scanner)
        self.intake.image_to_job.observe(self.random.uniform(0.2, 4))
        if self.random.random() < 0.02:
            self.intake.unmatched.inc()
            return
        for pipeline in PIPELINES:
            self.intake.jobs_created.labels(pipeline).inc()
            job = {"pipeline": pipeline, "scanner": scanner, "created": self.now, "extra": self.extra_seconds}
            self._jobs.append(job)

    def _run(self) -> None:
        """Jobs end one after the other when their time has come; two machines share the work."""
        for job in list(self._jobs):
            if self.stands or not self.operator_up:
                return
            if "delivering" in job and self.pacs == "down":
                continue
            wait = self.random.uniform(3, 12)
            start = max(job["created"] + wait, self._ready)
            end = start + PIPELINES[job["pipeline"]] * self.random.uniform(0.85, 1.3) + job["extra"]
            if end > self.now:
                return
            if not self.gpu and job["pipeline"] == "medi0-v1":
                return
            self._ready = start + (end - start) / 2
            if self.pacs == "down":
                job["delivering"] = True
                continue
            self._jobs.remove(job)
            self._finish(job, start - job["created"], end - job["created"])

    def _finish(self, job: dict, wait: float, seconds: float) -> None:
        metrics, pipeline = self.metrics, job["pipeline"]
        backend = "GPU" if pipeline == "medi0-v1" else "CPU"
        if backend == "GPU" and self.random.random() < self.fallback_share:
            metrics.attempts.labels("GPU", "Unschedulable").inc()
            metrics.fallbacks.labels("Unschedulable").inc()
            backend = "CPU"
        if self.store_reason:
            metrics.interim.errors.labels(self.store_reason).inc()
        failed = self.random.random() < self.failed_share
        metrics.attempts.labels(backend, self.failure if failed else "Succeeded").inc()
        metrics.queue_wait.labels(backend).observe(wait)
        if failed:
            metrics.finished.labels(pipeline, backend, "Failed", self.failure).inc()
            return
        delivered = "Failed" if self.pacs == "refuses" else "Delivered"
        for destination in ("source", "pacs"):
            metrics.delivery.finished.labels(destination, delivered if destination == "pacs" else "Delivered").inc()
            metrics.delivery.instances.labels(destination).inc(112)
        metrics.delivery.commitment.labels("pacs", "Confirmed").inc()
        metrics.finished.labels(pipeline, backend, "Succeeded", "Succeeded").inc()
        metrics.duration.labels(pipeline, backend).observe(seconds)
        metrics.latency.labels(pipeline).observe(seconds + 2)
        for stage in STAGES:
            share = 0.6 if stage == "inversion" else 0.4 / (len(STAGES) - 1)
            metrics.stage_seconds.labels(pipeline, stage, backend).inc(share * seconds)
        for stage in KEPT_STAGES:
            cached = stage in {"masking", "unwrapping"} and self.random.random() < 0.05
            metrics.interim.stages.labels(stage, "cached" if cached else "computed").inc()
        for direction, amount in (("read", 3e7), ("written", 1.2e9)):
            metrics.interim.bytes.labels(direction).inc(amount)
            metrics.interim.seconds.labels(direction).inc(amount / 2e8)
        self._quality(pipeline, job["scanner"])

    def _quality(self, pipeline: str, scanner: str) -> None:
        quality, gauss, shift = self.metrics.quality, self.random.gauss, self.shift.get(scanner, 0.0)
        quality.phase_residual.labels(pipeline, scanner).set(gauss(1.05, 0.04))
        quality.mask_volume_ml.labels(pipeline, scanner).set(gauss(1350, 110))
        quality.csf_found.labels(pipeline, scanner).set(float(self.random.random() < 0.98))
        quality.reference_ppb.labels(pipeline, scanner).set(gauss(-12 + shift, 4))
        quality.noise_ppb.labels(pipeline, scanner).set(gauss(2.4, 0.2))

    def _gauges(self) -> None:
        metrics, intake = self.metrics, self.intake
        counts: dict[str, int] = defaultdict(int)
        self._jobs.sort(key=lambda job: "delivering" not in job)
        first = sum("delivering" in job for job in self._jobs)
        states = [self._state(job, number - first) for number, job in enumerate(self._jobs)]
        for state in states:
            counts[state] += 1
        metrics.jobs.clear()
        for state in ACTIVE:
            ages = [self.now - job["created"] for job, has in zip(self._jobs, states, strict=True) if has == state]
            metrics.jobs.labels("mri", state).set(len(ages))
            metrics.oldest.labels(state).set(max(ages, default=0.0))
        metrics.jobs.labels("mri", "Succeeded").set(200)
        without_gpu = [
            self.now - job["created"] for job in self._jobs if job["pipeline"] == "medi0-v1" and not self.gpu
        ]
        metrics.unschedulable.labels("GPU").set(len(without_gpu))
        metrics.unschedulable_oldest.labels("GPU").set(max(without_gpu, default=0.0))
        metrics.unschedulable.labels("CPU").set(0)
        metrics.unschedulable_oldest.labels("CPU").set(0)
        metrics.delivery.pending.labels("pacs").set(sum("delivering" in job for job in self._jobs))
        metrics.delivery.pending.labels("source").set(0)
        metrics.turns_waiting.set(counts["Queued"])
        metrics.queue_depth.set(400 if self.stuck_queue else counts["New"])
        metrics.queue_oldest.set(300 if self.stuck_queue else 0.1)
        for resource in ("qsmjobs", "jobs", "pods"):
            metrics.last_event.labels(resource).set(self.now - 5)
            metrics.request("GET", resource, "200", 0.02)
            metrics.corrections.labels(resource).inc(0)
        for _ in range(4):
            metrics.request("PATCH", "qsmjobs", "200" if self.api_up else "503", 0.05)
        if self.api_up:
            metrics.last_resync.set(self.now - self.now % 300)
        metrics.reconciles.labels("defect" if self.defects else "done").inc(3)
        metrics.reconcile_seconds.observe(0.01)
        metrics.credential_expiry.labels("api_token").set(self.now + 2400)
        intake.credential_expiry.labels("webhook_certificate").set(self.certificate_ends)
        since = self.half_acquisition_since
        intake.waiting.set(since is not None)
        intake.waiting_oldest.set(0 if since is None else self.now - since)
        intake.scans.labels("main", "done").inc()
        intake.scan_seconds.observe(4)
        intake.last_scan.labels("main").set(self.now)
        if self.hints_forged:
            intake.hints.labels("unauthorized").inc(10)
        if self.orthanc_up:
            intake.orthanc("changes", "200", 0.02)
            intake.orthanc_answered.labels("main").set(self.now)
        else:
            intake.orthanc("changes", "Unreachable", 5)
        if self.intake_reads and self.orthanc_up:
            intake.cursor_lag.labels("main").set(0)
            intake.cursor_read.labels("main").set(self.now)

    def _state(self, job: dict, number: int) -> str:
        if self.stands:
            return self.stands
        if "delivering" in job:
            return "Delivering"
        if not self.gpu and job["pipeline"] == "medi0-v1":
            return "Queued"
        return "Running" if number < 2 else "Queued"


Sample = tuple[str, tuple[tuple[str, str], ...]]


def scrape(site: Site) -> dict[Sample, float]:
    """What Prometheus would read now. A program that is down has nothing to read."""
    found: dict[Sample, float] = {}
    for job, metrics, is_up in (
        ("operator", site.metrics, site.operator_up),
        ("intake", site.intake, site.intake_up),
    ):
        if not is_up:
            continue
        for family in metrics.registry.collect():
            if family.name.startswith("process_"):
                continue
            for sample in family.samples:
                labels = {**sample.labels, "job": job, "instance": f"{job}-0"}
                found[sample.name, tuple(sorted(labels.items()))] = sample.value
    return found


def replay(
    site: Site, hours: float, happens: Callable[[Site], None] = lambda _: None, step: float = MINUTE
) -> dict[Sample, list[float | None]]:
    """Every series of the time, one value for each step; `happens` may break something before each."""
    series: dict[Sample, list[float | None]] = {}
    steps = int(hours * HOUR / step)
    for number in range(steps):
        happens(site)
        site.step(step)
        for sample, value in scrape(site).items():
            series.setdefault(sample, [None] * number).append(value)
        for values in series.values():
            if len(values) <= number:
                values.append(None)
    return series
