"""A small Kubernetes in memory: Jobs and pods that behave as told, so that reconcile can be driven through a life."""

import copy
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from qsm_operator.lifecycle.decisions import CreateJob, DeleteJob, DeleteQSMJob, Facts
from qsm_operator.lifecycle.reconcile import reconcile
from qsm_operator.resources.custom import Pipeline, QSMJob
from qsm_operator.resources.observed import SeenJob, SeenNode, SeenPod
from qsm_operator.resources.times import stamp
from qsm_operator.settings import Settings

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
IMAGE = "localhost/qsm-recon@sha256:" + 64 * "0"
GPU_NODE = SeenNode({"nvidia.com/gpu": "2"}, {})
CPU_NODE = SeenNode({"cpu": "8"}, {})
GOOD_REPORT = (
    '{"version": 1, "outputs": [{"kind": "ChiMap", "seriesInstanceUID": "1.2.3"}], "metrics": {"rms_ppb": 1.5}}'
)


def pipeline_body(**spec):
    backend = {"resources": {"limits": {"memory": "8Gi"}}, "maxMemory": "24Gi"}
    whole = {
        "version": "1.0.0",
        "image": IMAGE,
        "recipe": {"inversion": {"method": "medi"}},
        "backends": {"cpu": backend, "gpu": copy.deepcopy(backend)},
        "fallback": {"when": ["Unschedulable", "DeviceError", "OutOfMemory"], "afterSeconds": 600},
        "retryLimit": 2,
        "activeDeadlineSeconds": 3600,
    }
    return {"metadata": {"name": "medi0-v1", "uid": "p-1", "generation": 1}, "spec": whole | spec}


def qsmjob_body(**spec):
    whole = {
        "source": {"orthanc": {"connectionRef": {"name": "main"}, "seriesInstanceUIDs": ["1.2.840.1.2.3.4.5"]}},
        "pipelineRef": {"name": "medi0-v1"},
        "execution": {"backend": "Auto"},
        "suspend": False,
        "cleanup": "OnSuccess",
    }
    metadata = {"name": "scan", "namespace": "mri", "uid": "q-1", "generation": 1, "creationTimestamp": stamp(START)}
    return {"metadata": metadata, "spec": whole | spec}


class World:
    """One QSMJob and all that belongs to it."""

    def __init__(self, job=None, pipeline=None, nodes=(GPU_NODE, CPU_NODE), **settings):
        self.body = job or qsmjob_body()
        self.pipeline = Pipeline.from_body(pipeline) if pipeline else Pipeline.from_body(pipeline_body())
        self.nodes = nodes
        self.settings = Settings(**settings)
        self.now = START
        self.jobs: dict[str, dict] = {}
        self.pods: dict[str, dict] = {}
        self.events: list = []
        self.writes = 0
        self.created = 0
        self.is_gone = False
        self.may_start = True
        self.trouble, self.is_refused = "", False
        self.progress = None
        self.most_live = 0
        self._serial = 0

    # -- what the cluster does

    def seen_jobs(self):
        return tuple(SeenJob.from_body(body) for body in self.jobs.values())

    def seen_pods(self):
        return tuple(SeenPod.from_body(body) for body in self.pods.values())

    def facts(self):
        return Facts(
            job=QSMJob.from_body(self.body),
            pipeline=self.pipeline,
            now=self.now,
            jobs=self.seen_jobs(),
            pods=self.seen_pods(),
            nodes=self.nodes,
            may_start=self.may_start,
            trouble=self.trouble,
            is_refused=self.is_refused,
            progress=self.progress,
        )

    def look(self, *, crash_after_write=False):
        """One reconcile, applied."""
        decision = reconcile(self.facts(), self.settings)
        if decision.status != self.body.get("status", {}):
            self.writes += 1
            self.body["status"] = copy.deepcopy(decision.status)
            self.events += decision.events
        if not crash_after_write:
            for action in decision.actions:
                self.apply(action)
        self.most_live = max(self.most_live, sum(pod.is_live for pod in self.seen_pods()))
        return decision

    def apply(self, action):
        match action:
            case CreateJob(manifest):
                if self.trouble or manifest["metadata"]["name"] in self.jobs:
                    return
                self.created += 1
                self._serial += 1
                body = copy.deepcopy(manifest)
                body["metadata"] |= {"uid": f"j-{self._serial}", "creationTimestamp": stamp(self.now)}
                body["status"] = {}
                self.jobs[body["metadata"]["name"]] = body
            case DeleteJob(name, uid):
                if name in self.jobs and self.jobs[name]["metadata"]["uid"] == uid:
                    self.delete_job(name)
            case DeleteQSMJob():
                self.is_gone = True

    def delete_job(self, name):
        uid = self.jobs.pop(name)["metadata"]["uid"]
        for pod in self.pods.values():
            if SeenPod.from_body(pod).job_uid == uid:
                pod["metadata"]["deletionTimestamp"] = stamp(self.now)

    def settle(self, times=6):
        for _ in range(times):
            self.look()
        return self

    def later(self, seconds):
        self.now += timedelta(seconds=seconds)
        return self

    # -- what the pod does

    @property
    def open_job(self):
        """The Job that goes on."""
        return next((body for body in self.jobs.values() if not SeenJob.from_body(body).finished), None)

    def pod_appears(self, **status):
        job = self.open_job
        if job is None or job["spec"]["suspend"]:
            return None
        self._serial += 1
        name = f"{job['metadata']['name']}-{self._serial}"
        owner = {
            "kind": "Job",
            "apiVersion": "batch/v1",
            "controller": True,
            "uid": job["metadata"]["uid"],
            "name": job["metadata"]["name"],
        }
        metadata = {
            "name": name,
            "uid": name,
            "labels": dict(job["spec"]["template"]["metadata"]["labels"]),
            "ownerReferences": [owner],
        }
        self.pods[name] = {"metadata": metadata, "spec": {}, "status": {"phase": "Pending"} | status}
        return self.pods[name]

    def live_pod(self):
        return next((pod for pod in self.pods.values() if SeenPod.from_body(pod).is_live), None)

    def pod_unschedulable(self):
        pod = self.live_pod() or self.pod_appears()
        if pod is None or pod["spec"].get("nodeName"):
            return
        pod["status"]["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": "0/4 nodes are available",
                "lastTransitionTime": stamp(self.now),
            }
        ]

    def pod_waits(self, reason="ContainerCreating", message=""):
        """A node has it and does not run it."""
        pod = self.live_pod() or self.pod_appears()
        pod["spec"]["nodeName"] = "node-1"
        waiting = {"reason": reason, "message": message}
        pod["status"] = {"phase": "Pending", "containerStatuses": [{"name": "recon", "state": {"waiting": waiting}}]}

    def pod_runs(self):
        pod = self.live_pod() or self.pod_appears()
        if pod is None:
            return
        pod["spec"]["nodeName"] = "node-1"
        pod["status"] = {
            "phase": "Running",
            "containerStatuses": [{"name": "recon", "state": {"running": {"startedAt": stamp(self.now)}}}],
        }

    def pod_ends(self, code=0, report=None, reason=None, pod_reason=None, pod_message="", disrupted=False):
        pod = self.live_pod()
        if pod is None:
            return
        job = self.open_job
        if report is None:
            report = GOOD_REPORT if code == 0 else ""
        running = [one["state"].get("running") or {} for one in pod["status"].get("containerStatuses", [])]
        ended = {
            "exitCode": code,
            "reason": reason or ("Completed" if code == 0 else "Error"),
            "message": report,
            "startedAt": running[0].get("startedAt", stamp(self.now)) if running else stamp(self.now),
            "finishedAt": stamp(self.now),
        }
        pod["status"] = {
            "phase": "Succeeded" if code == 0 else "Failed",
            "containerStatuses": [{"name": "recon", "state": {"terminated": ended}}],
            "reason": pod_reason,
            "message": pod_message,
            "conditions": [{"type": "DisruptionTarget", "status": "True"}] if disrupted else [],
        }
        if job is not None and SeenPod.from_body(pod).job_uid == job["metadata"]["uid"]:
            kind, why = ("Complete", "CompletionsReached") if code == 0 else ("Failed", "BackoffLimitExceeded")
            job["status"]["conditions"] = [{"type": kind, "status": "True", "reason": why}]

    def pod_vanishes(self):
        for name, pod in list(self.pods.items()):
            if pod["metadata"].get("deletionTimestamp"):
                del self.pods[name]

    def runs_and_ends(self, **how):
        self.settle()
        self.pod_runs()
        self.settle()
        self.pod_ends(**how)
        return self.settle()

    # -- what is told

    @property
    def status(self):
        return self.body["status"]

    def condition(self, kind):
        return next(entry for entry in self.status["conditions"] if entry["type"] == kind)

    @property
    def state(self):
        complete = self.condition("Complete")
        return complete["status"], complete["reason"]

    @property
    def attempts(self):
        return [(entry["backend"], entry.get("result")) for entry in self.status.get("attempts", [])]


@pytest.fixture
def world():
    """Make a World: any spec field of the QSMJob by name, `pipeline` and `nodes` beside them."""

    def make(pipeline=None, nodes=(GPU_NODE, CPU_NODE), settings=None, **spec):
        return World(
            job=qsmjob_body(**spec),
            pipeline=pipeline_body(**(pipeline or {})),
            nodes=nodes,
            **(settings or {}),
        )

    return make


CRD = Path(__file__).resolve().parents[2] / "crds/qsmjobs.yaml"


def fits(value, schema, path="status"):
    """Whether a value is what the schema of the CRD takes."""
    kind = schema["type"]
    if kind == "object":
        unknown = set(value) - set(schema["properties"])
        assert not unknown, f"{path}: {unknown}"
        assert set(schema.get("required", [])) <= set(value), path
        for name, part in value.items():
            fits(part, schema["properties"][name], f"{path}.{name}")
    elif kind == "array":
        assert len(value) <= schema["maxItems"], path
        for part in value:
            fits(part, schema["items"], f"{path}[]")
        keys = schema.get("x-kubernetes-list-map-keys")
        if keys:
            assert len({tuple(part[key] for key in keys) for part in value}) == len(value), path
    elif kind == "string":
        assert isinstance(value, str)
        assert schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 64), path
        assert value in schema.get("enum", [value]), path
        assert re.search(schema.get("pattern", ""), value), path
    elif kind == "boolean":
        assert isinstance(value, bool)
    else:
        assert isinstance(value, int)
        assert not isinstance(value, bool)
        assert schema["minimum"] <= value <= schema.get("maximum", value), path


@pytest.fixture(scope="session")
def fits_status():
    """Check a status against the schema in crds/, which would cut or refuse what does not fit."""
    crd = yaml.safe_load(CRD.read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    return lambda status: fits(status, schema)
