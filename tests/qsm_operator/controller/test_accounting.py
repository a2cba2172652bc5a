"""What is counted when a QSMJob changes, and that nothing is counted twice."""

import asyncio
import json
from datetime import timedelta

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics

from qsm_operator.cluster.asking import ApiError
from qsm_operator.cluster.door import Cluster
from qsm_operator.cluster.transport import Response
from qsm_operator.controller.accounting import count_changes
from qsm_operator.controller.admission import Turns
from qsm_operator.controller.log_reading import LogReading
from qsm_operator.controller.look import Controller
from qsm_operator.controller.store import Store
from qsm_operator.lifecycle.reconcile import reconcile
from qsm_operator.metrics import Metrics
from qsm_operator.resources.custom import LAST_IMAGE_ANNOTATION, TRACEPARENT_ANNOTATION, QSMJob
from qsm_operator.resources.times import stamp
from qsm_operator.settings import Settings
from qsm_operator.workqueue import WorkQueue

REPORT = {
    "outputs": [{"kind": "ChiMap", "seriesInstanceUID": "1.2.3"}],
    "scanner": "siemens Prisma #7c1e",
    "metrics": {
        "phase_residual_median": 1.1,
        "mask_volume_ml": 1403.5,
        "noise_median_ppb": 2.5,
        "reference_offset_ppb": -12.5,
        "csf_voxels": 512,
    },
    "stageSeconds": {"masking": 3.5, "inversion": 40.25},
    "cached": ["masking"],
    "store": {"bytesRead": 1000, "bytesWritten": 5000, "secondsRead": 0.5, "secondsWritten": 1.5},
}


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


def counted_life(world, metrics, annotations=None, **how):
    """A life in which each written change is counted, as the controller does it."""
    life = world()
    last_image = {LAST_IMAGE_ANNOTATION: stamp(life.now - timedelta(seconds=20))}
    life.body["metadata"]["annotations"] = last_image | (annotations or {})
    decide = life.look

    def look(**_):
        before = QSMJob.from_body(json.loads(json.dumps(life.body)))
        decision = reconcile(life.facts(), life.settings)
        if decision.status != before.status:
            count_changes(metrics, before, decision, life.now)
        return decide()

    life.look = look
    life.settle()
    life.later(30).pod_runs()
    life.settle()
    life.later(60).pod_ends(**how)
    return life.settle()


def test_a_good_end(world):
    metrics = Metrics()
    counted_life(world, metrics, report=json.dumps(REPORT))
    end = {"pipeline": "medi0-v1", "backend": "GPU", "result": "Succeeded", "reason": "Succeeded"}
    assert value(metrics, "qsm_jobs_finished_total", **end) == 1
    assert value(metrics, "qsm_job_attempts_total", backend="GPU", result="Succeeded") == 1
    assert value(metrics, "qsm_job_queue_wait_seconds_sum", backend="GPU") == 30
    assert value(metrics, "qsm_job_duration_seconds_sum", pipeline="medi0-v1", backend="GPU") == 90
    assert value(metrics, "qsm_image_to_delivered_seconds_sum", pipeline="medi0-v1") == 110
    stage = {"pipeline": "medi0-v1", "backend": "GPU"}
    assert value(metrics, "qsm_job_stage_seconds_total", stage="inversion", **stage) == 40.25
    of = {"pipeline": "medi0-v1", "scanner": "siemens Prisma #7c1e"}
    assert value(metrics, "qsm_quality_phase_residual_ratio", **of) == 1.1
    assert value(metrics, "qsm_quality_mask_volume_ml", **of) == 1403.5
    assert value(metrics, "qsm_quality_reference_mean_ppb", **of) == -12.5
    assert value(metrics, "qsm_quality_field_noise_ppb", **of) == 2.5
    assert value(metrics, "qsm_quality_csf_found", **of) == 1
    assert value(metrics, "qsm_store_bytes_total", direction="written") == 5000
    assert value(metrics, "qsm_store_seconds_total", direction="read") == 0.5
    assert value(metrics, "qsm_store_stages_total", stage="masking", result="cached") == 1
    assert value(metrics, "qsm_store_stages_total", stage="inversion", result="computed") == 1


def test_an_exemplar_leads_from_the_metric_to_the_job(world):
    metrics = Metrics()
    counted_life(world, metrics, report=json.dumps(REPORT))
    assert b'# {namespace="mri",qsmjob="scan"}' in openmetrics(metrics.registry)
    assert b"qsmjob" not in generate_latest(metrics.registry)


def test_an_exemplar_is_never_longer_than_allowed_and_the_trace_comes_first(world):
    metrics, life = Metrics(), world()
    life.body["metadata"] |= {"name": "q" * 52, "namespace": "n" * 63}
    counted_life(lambda: life, metrics, report=json.dumps(REPORT))
    assert b'# {qsmjob="' + 52 * b"q" + b'"}' in openmetrics(metrics.registry)
    life = world()
    trace = f"00-{'ab' * 16}-{'cd' * 8}-01"
    counted_life(lambda: life, metrics, annotations={TRACEPARENT_ANNOTATION: trace}, report=json.dumps(REPORT))
    assert b'trace_id="' + 16 * b"ab" + b'"' in openmetrics(metrics.registry)


def test_a_bad_end(world):
    metrics = Metrics()
    counted_life(world, metrics, code=65, report=json.dumps({"reason": "NoPhase", "message": "magnitude alone"}))
    end = {"pipeline": "medi0-v1", "backend": "GPU", "result": "Failed", "reason": "InvalidInput"}
    assert value(metrics, "qsm_jobs_finished_total", **end) == 1
    assert value(metrics, "qsm_job_duration_seconds_count", pipeline="medi0-v1", backend="GPU") is None


@pytest.mark.parametrize(
    "report",
    [
        {"scanner": "Doe^John"},
        {"scanner": 7},
        {"metrics": {"mask_volume_ml": "many"}},
        {"store": {"bytesRead": -5, "bytesWritten": 1e300, "secondsRead": True}},
        {"store": [1], "cached": "masking"},
        {"stageSeconds": {"inversion": -3}},
    ],
    ids=str,
)
def test_a_hostile_report_counts_nothing_wrong(world, report):
    metrics = Metrics()
    counted_life(world, metrics, report=json.dumps({"outputs": REPORT["outputs"]} | report))
    text = generate_latest(metrics.registry).decode()
    assert "Doe" not in text
    assert value(metrics, "qsm_store_bytes_total", direction="read") == 0
    assert value(metrics, "qsm_store_bytes_total", direction="written") == 0


def test_deliveries_are_counted_when_they_end(world):
    metrics, life = Metrics(), world()
    before = QSMJob.from_body(life.body | {"status": {"deliveries": [{"destination": "pacs", "state": "Pending"}]}})
    decision = reconcile(life.facts(), life.settings)
    ended = {"destination": "pacs", "state": "Delivered", "instances": 84, "commitment": "Confirmed"}
    still = {"destination": "archive", "state": "Pending"}
    decision.status["deliveries"] = [ended, still]
    count_changes(metrics, before, decision, life.now)
    again = QSMJob.from_body(life.body | {"status": dict(decision.status)})
    count_changes(metrics, again, decision, life.now)
    assert value(metrics, "qsm_deliveries_total", destination="pacs", result="Delivered") == 1
    assert value(metrics, "qsm_delivery_instances_total", destination="pacs") == 84
    assert value(metrics, "qsm_delivery_commitments_total", destination="pacs", result="Confirmed") == 1
    assert value(metrics, "qsm_deliveries_total", destination="archive", result="Delivered") is None


class ServerThatTakes:
    """An API server that takes a status and refuses or takes everything else."""

    def __init__(self, life, posts):
        self.life, self.posts, self.version = life, posts, 1

    async def send(self, method, _path, _query, body, _content_type):
        if method == "PATCH":
            self.version += 1
            self.life.body["status"] = json.loads(body)["status"]
            self.life.body["metadata"]["resourceVersion"] = str(self.version)
            return Response(200, json.dumps(self.life.body).encode())
        if method == "POST":
            return Response(self.posts, b"{}")
        return Response(200, b'{"items": [], "metadata": {}}')


def operator_beside(life, server, metrics):
    """A new operator, as after a restart: it knows what the API server has, and nothing else."""
    store, queue = Store(), WorkQueue(lambda: 0.0)
    store.put("qsmjobs", life.body)
    store.put("qsmpipelines", {"metadata": {"name": "medi0-v1", "namespace": "mri"}, "spec": life.pipeline.spec})
    for kind, bodies in (("jobs", life.jobs), ("pods", life.pods)):
        for body in bodies.values():
            body["metadata"] |= {"namespace": "mri"}
            body["metadata"].setdefault("labels", {})["qsm-operator.io/job"] = "scan"
            store.put(kind, body)
    cluster = Cluster(server, longest_pause_seconds=0.001)
    logs = LogReading(cluster, store, queue, lambda: 0.0)

    def told_in_vain(*_):
        raise ApiError(500, "", "no Event today")

    tell = told_in_vain if server.posts == 500 else lambda *_: None
    turns = Turns(lambda: 0.0)
    return Controller(Settings(), cluster, store, queue, turns, metrics, logs, tell, lambda: life.now)


@pytest.mark.parametrize("posts", [201, 500], ids=["events taken", "events refused"])
def test_a_finished_job_is_counted_once_whatever_follows(world, posts):
    life, metrics = world(), Metrics()
    life.settle()
    life.pod_runs()
    life.settle()
    life.pod_ends(report=json.dumps(REPORT))
    server = ServerThatTakes(life, posts)
    for _ in range(3):
        operator = operator_beside(life, server, metrics)
        for _ in range(3):  # a resync looks at it again, and so does a repetition after the refused Event
            try:
                asyncio.run(operator.look(("mri", "scan")))
            except ApiError:
                assert posts == 500
    assert life.state == ("True", "Succeeded")
    end = {"pipeline": "medi0-v1", "backend": "GPU", "result": "Succeeded", "reason": "Succeeded"}
    assert value(metrics, "qsm_jobs_finished_total", **end) == 1
