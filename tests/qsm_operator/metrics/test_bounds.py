"""However much there is to tell, a scrape stays small, quick and well formed."""

import re
import shutil
import subprocess
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from qsm_acquisition.refusals import Reason
from qsm_operator.controller.measuring import expect_ends, measure_jobs
from qsm_operator.controller.store import Store
from qsm_operator.metrics import IntakeMetrics, Metrics
from qsm_operator.metrics.intake import IGNORED
from qsm_operator.metrics.labels import KEPT_STAGES, LABELS, STAGES
from qsm_operator.metrics.table import markdown
from qsm_operator.resources.conditions import Active, Failure, Interruption

ROOT = Path(__file__).resolve().parents[3]
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ENDS = ("Succeeded", *map(str, Failure))
STATES = ("New", *map(str, Active), *ENDS)


def series(metrics):
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    return [(sample.name, sample.labels) for family in families for sample in family.samples]


def fill(metrics, scanners, pipelines, destinations):
    """Everything that can happen, on every scanner with every pipeline."""
    fill_jobs(metrics, pipelines)
    for pipeline, scanner in product(pipelines, scanners):
        for name in ("phase_residual", "mask_volume_ml", "csf_found", "reference_ppb", "noise_ppb"):
            getattr(metrics.quality, name).labels(pipeline, scanner).set(1.25)
    for destination, result in product(destinations, ("Delivered", "Failed")):
        metrics.delivery.finished.labels(destination, result).inc()
        metrics.delivery.instances.labels(destination).inc()
        metrics.delivery.commitment.labels(destination, "Confirmed").inc()
    for stage, result in product(KEPT_STAGES, ("cached", "computed")):
        metrics.interim.stages.labels(stage, result).inc()
    for verb, resource, code in product(
        ("GET", "PATCH", "POST", "DELETE"), ("qsmjobs", "jobs", "pods"), ("200", "409")
    ):
        metrics.request(verb, resource, code, 0.01)
    for result in ("done", "conflict", "api_error", "defect"):
        metrics.reconciles.labels(result).inc()


def fill_jobs(metrics, pipelines):
    for pipeline, backend in product(pipelines, ("GPU", "CPU")):
        for reason in ENDS:
            metrics.finished.labels(pipeline, backend, "Succeeded" if reason == "Succeeded" else "Failed", reason).inc()
        for stage in STAGES:
            metrics.stage_seconds.labels(pipeline, stage, backend).inc(3)
        metrics.duration.labels(pipeline, backend).observe(77)
        metrics.latency.labels(pipeline).observe(99)
    for backend, result in product(("GPU", "CPU"), (*ENDS, *map(str, Interruption))):
        metrics.attempts.labels(backend, result).inc()
    for reason in ("Unschedulable", "DeviceError", "OutOfMemory"):
        metrics.fallbacks.labels(reason).inc()


def qsmjob(number):
    state = STATES[number % len(STATES)]
    status = "True" if state == "Succeeded" else "False" if state in set(Failure) and number % 2 else "Unknown"
    return {
        "metadata": {
            "name": f"qsm-{number}",
            "namespace": "mri",
            "resourceVersion": str(number + 1),
            "creationTimestamp": "2026-03-02T11:00:00Z",
        },
        "status": {"conditions": [{"type": "Complete", "status": status, "reason": state}]} if state != "New" else {},
    }


def test_a_large_site_is_small_to_scrape():
    """Few series and few bytes, whatever the number of jobs. Its CPU time: docs/monitoring.md, measured, not tested."""
    metrics, store = Metrics(), Store()
    for number in range(10_000):
        store.put("qsmjobs", qsmjob(number))
    fill(
        metrics,
        scanners=[f"siemens Prisma #{number:04x}" for number in range(50)],
        pipelines=["medi0-v1", "medi0-v2", "chla-v1", "fast-v1", "best-v1"],
        destinations=["source", "pacs", "research"],
    )
    expect_ends(metrics, store, measure_jobs(metrics, store, NOW))
    text = generate_latest(metrics.registry)
    found = series(metrics)
    assert sum(labels.get("state") is not None for name, labels in found if name == "qsm_jobs") == len(set(STATES))
    assert len(found) <= 2000, len(found)
    assert len(text) <= 200_000, len(text)


def test_no_flood_of_values_makes_more_series():
    metrics = Metrics()
    fill(
        metrics,
        scanners=[f"ge SIGNA #{number:04x}" for number in range(300)],
        pipelines=[f"p{number}" for number in range(60)],
        destinations=[f"d{number}" for number in range(60)],
    )
    for number in range(1000):
        metrics.jobs.labels(f"n{number}", "Running").set(1)
        metrics.request("GET", f"r{number}", str(number), 0.1)
        metrics.interim.errors.labels(f"Why{number}").inc()
    found = series(metrics)
    assert len(found) <= sum(declared.most_series for declared in metrics.declare.declared) + 10  # process_*
    assert len(found) <= 3500
    assert any(labels.get("scanner") == "other" for _, labels in found)


def sample(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


def test_what_an_alert_waits_for_begins_with_zero():
    """Prometheus sees no increase where the first value of a series is 1."""
    metrics, store, intake = Metrics(), Store(), IntakeMetrics()
    store.put("qsmpipelines", {"metadata": {"name": "medi0-v1", "namespace": "mri", "resourceVersion": "1"}})
    store.put("qsmjobs", qsmjob(1) | {"spec": {"destinations": [{"name": "pacs", "modality": {"name": "PACS"}}]}})
    expect_ends(metrics, store, measure_jobs(metrics, store, NOW))
    for reason in store_reasons():
        assert sample(metrics, "qsm_store_errors_total", reason=reason) == 0
    for reason in ("ReconError", "DeliveryFailed"):
        for backend in ("GPU", "CPU"):
            end = {"pipeline": "medi0-v1", "backend": backend, "result": "Failed", "reason": reason}
            assert sample(metrics, "qsm_jobs_finished_total", **end) == 0
    for name in ("source", "pacs"):
        assert sample(metrics, "qsm_deliveries_total", destination=name, result="Failed") == 0
    assert sample(metrics, "qsm_reconcile_total", result="defect") == 0
    assert sample(metrics, "qsm_backend_fallbacks_total", reason="DeviceError") == 0
    assert sample(intake, "qsm_intake_hints_total", result="unauthorized") == 0
    intake.complete("ge SIGNA #02fa")
    assert sample(intake, "qsm_intake_acquisitions_total", scanner="ge SIGNA #02fa", outcome="refused") == 0


def store_reasons():
    """Those of docs/contract.md that a pod can have."""
    text = (ROOT / "docs/contract.md").read_text().partition("## Reasons of object stores")[2]
    found = set(re.findall(r"^\| `(Store[A-Za-z]+)` \|", text, re.MULTILINE))
    assert len(found) > 10
    return found - {"StoreDamaged", "StoreExpired"}  # of `qsm-recon store` alone


def test_what_is_expected_leaves_room_for_what_happens():
    metrics, store = Metrics(), Store()
    for number in range(40):
        body = {"name": f"p{number}-v1", "namespace": "mri", "resourceVersion": "1"}
        store.put("qsmpipelines", {"metadata": body})
    expect_ends(metrics, store, measure_jobs(metrics, store, NOW))
    metrics.finished.labels("p19-v1", "GPU", "Succeeded", "Succeeded").inc()
    end = {"pipeline": "p19-v1", "backend": "GPU", "result": "Succeeded", "reason": "Succeeded"}
    assert sample(metrics, "qsm_jobs_finished_total", **end) == 1


def test_intake_too():
    metrics = IntakeMetrics()
    for number in range(1000):
        metrics.acquisitions.labels(f"ge SIGNA #{number:04x}", "refused").inc()
        metrics.refused.labels(f"Reason{number}").inc()
        metrics.orthanc(f"op{number}", str(number), 0.1)
    assert len(series(metrics)) <= 500


def test_what_every_examination_holds_is_no_refusal():
    metrics = IntakeMetrics()
    for reason in Reason:
        metrics.refuse("ge Signa #02fa", str(reason))
    name = "qsm_intake_acquisitions_total"
    counted = {one: sample(metrics, name, scanner="ge Signa #02fa", outcome=one) for one in LABELS["outcome"].closed}
    assert counted == {"complete": 0, "ignored": len(IGNORED), "refused": len(Reason) - len(IGNORED)}
    assert set(map(str, Reason)) > IGNORED


@pytest.mark.parametrize("value", ["", "Doe^Jane", "a\nb", "x" * 80, "\u00e9t\u00e9", "-"])
def test_what_is_no_plain_word_becomes_other(value):
    metrics = Metrics()
    metrics.quality.csf_found.labels("medi0-v1", value).set(1)
    assert ("qsm_quality_csf_found", {"pipeline": "medi0-v1", "scanner": "other"}) in series(metrics)


def test_every_label_is_one_that_tells_nobody():
    allowed = set(LABELS)
    for metrics in (Metrics(), IntakeMetrics()):
        for declared in metrics.declare.declared:
            assert set(declared.labels) <= allowed
    assert not allowed & {"job", "qsmjob", "uid", "patient", "study", "series", "pod", "name"}


@pytest.mark.parametrize("metrics", [Metrics, IntakeMetrics])
def test_prometheus_own_linter_is_content(metrics):
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    made = metrics()
    if isinstance(made, Metrics):
        fill(made, ["ge SIGNA"], ["medi0-v1"], ["pacs"])
    said = subprocess.run(
        ["promtool", "check", "metrics"], input=generate_latest(made.registry), capture_output=True, check=False
    )
    assert said.returncode == 0, said.stderr.decode() + said.stdout.decode()


def test_the_table_is_that_of_the_code():
    assert (ROOT / "docs/metrics.md").read_text(encoding="utf-8") == markdown(), "run `make sync`"
