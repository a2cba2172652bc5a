"""From one attempt of a QSMJob to the manifest of its Kubernetes Job. Pure: the same in, the same out."""

import json
from collections.abc import Mapping
from typing import Any

from qsm_operator.lifecycle import request
from qsm_operator.resources.custom import (
    API_VERSION,
    ATTEMPT_LABEL,
    BACKEND_LABEL,
    GPU,
    JOB_LABEL,
    PIPELINE_ANNOTATION,
    PIPELINE_LABEL,
    QUEUE_LABEL,
    Attempt,
    Pipeline,
    QSMJob,
)
from qsm_operator.settings import Settings
from qsm_operator.tracing.traces import of_attempt

CONTAINER = "recon"
"""Name of the container that reconstructs."""

FINAL_EXIT_CODES = (64, 65, 69, 70, 71, 78, 137)
"""Trying the same again cannot help (docs/contract.md; 137 is the end for lack of memory). 75 is not among them."""


def job_name(qsmjob: str, index: int) -> str:
    """Name of the Kubernetes Job of an attempt: doing it twice is a conflict, never a second pod."""
    return f"{qsmjob}-a{index}"


def job_manifest(job: QSMJob, pipeline: Pipeline, attempt: Attempt, settings: Settings) -> dict[str, Any]:
    """The Kubernetes Job of an attempt."""
    backend = pipeline.backend(attempt.backend) or {}
    site = pipeline.spec.get("podMetadata") or {}
    labels = dict(site.get("labels") or {}) | _labels(job, pipeline, attempt)
    annotations = dict(site.get("annotations") or {})
    deadline = job.deadline_seconds(pipeline)
    job_labels = labels | ({QUEUE_LABEL: job.queue_name} if job.queue_name else {})
    kept = {"name": pipeline.name, "uid": pipeline.uid, "generation": pipeline.generation, "spec": pipeline.spec}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": attempt.jobName,
            "namespace": job.namespace,
            "labels": job_labels,
            # A later attempt must run the same method, even where the QSMPipeline was deleted meanwhile.
            "annotations": annotations | {PIPELINE_ANNOTATION: json.dumps(kept, separators=(",", ":"), sort_keys=True)},
            "ownerReferences": [owner_reference(job)],
        },
        "spec": {
            # Kueue lets it go; whether it is installed or not, nothing runs past the queue that was asked for.
            "suspend": bool(job.queue_name),
            "backoffLimit": 0,  # each try is an attempt of its own, seen and counted in the status
            "completions": 1,
            "parallelism": 1,
            "podReplacementPolicy": "Failed",  # one pod at a time, also while another ends
            # Waiting for a node is bounded here, running is bounded in the pod.
            "activeDeadlineSeconds": deadline + settings.pending_limit_seconds,
            "ttlSecondsAfterFinished": settings.job_ttl_seconds,
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": CONTAINER,
                            "operator": "In",
                            "values": list(FINAL_EXIT_CODES),
                        },
                    },
                ]
            },
            "template": {
                "metadata": {"labels": labels, "annotations": annotations},
                "spec": _pod(job, pipeline, attempt, backend) | {"activeDeadlineSeconds": deadline},
            },
        },
    }


def owner_reference(job: QSMJob) -> dict[str, Any]:
    """What makes a thing go when its QSMJob goes."""
    return {
        "apiVersion": API_VERSION,
        "kind": "QSMJob",
        "name": job.name,
        "uid": job.uid,
        "controller": True,
        "blockOwnerDeletion": False,  # true would need the right to write finalizers
    }


def _labels(job: QSMJob, pipeline: Pipeline, attempt: Attempt) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "qsm-recon",
        "app.kubernetes.io/component": "reconstruction",
        "app.kubernetes.io/part-of": "qsm-operator",
        "app.kubernetes.io/managed-by": "qsm-operator",
        JOB_LABEL: job.name,
        ATTEMPT_LABEL: str(attempt.index),
        PIPELINE_LABEL: pipeline.name,
        BACKEND_LABEL: attempt.backend.lower(),
    }


def _pod(job: QSMJob, pipeline: Pipeline, attempt: Attempt, backend: Mapping[str, Any]) -> dict[str, Any]:
    users = pipeline.spec.get("securityContext") or {}
    volumes, mounts = _volumes(job, pipeline, backend)
    optional = {
        "nodeSelector": backend.get("nodeSelector"),
        "tolerations": backend.get("tolerations"),
        "affinity": backend.get("affinity"),
        "runtimeClassName": backend.get("runtimeClassName"),
        "imagePullSecrets": pipeline.spec.get("imagePullSecrets"),
        "priorityClassName": job.execution.get("priorityClassName"),
    }
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            **{name: value for name, value in users.items() if value},
            **({"fsGroupChangePolicy": "OnRootMismatch"} if users.get("fsGroup") else {}),
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": CONTAINER,
                "image": attempt.image,
                "args": ["job"],
                "env": [
                    {
                        "name": "QSM_REQUEST",
                        "value": request.encoded(request.request_document(job, pipeline, attempt)),
                    },
                    {"name": "HOME", "value": request.SCRATCH},
                    *_traceparent(job, attempt),
                ],
                "resources": resources(job, pipeline, attempt),
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                    "runAsNonRoot": True,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "volumeMounts": mounts,
            }
        ],
        "volumes": volumes,
        **{name: value for name, value in optional.items() if value},
    }


def _traceparent(job: QSMJob, attempt: Attempt) -> list[dict[str, str]]:
    """The span of the attempt, for images that trace themselves; ours does not."""
    if job.trace is None:
        return []
    return [{"name": "TRACEPARENT", "value": of_attempt(job.uid, job.trace, attempt.index).traceparent}]


def resources(job: QSMJob, pipeline: Pipeline, attempt: Attempt) -> dict[str, dict[str, str]]:
    """Requests and limits: the pipeline's, then the job's, then the memory of this attempt."""
    said = (pipeline.backend(attempt.backend) or {}).get("resources") or {}
    over = job.execution.get("resources") or {}
    requests, limits = (
        {name: str(amount) for part in (said, over) for name, amount in (part.get(kind) or {}).items()}
        for kind in ("requests", "limits")
    )
    usual = limits.get("memory")
    if attempt.memoryLimit and attempt.memoryLimit != usual:
        # More memory after an OutOfMemory must be there, not merely allowed.
        limits["memory"] = requests["memory"] = attempt.memoryLimit
    if attempt.backend == GPU:
        key, count = pipeline.device
        limits[key] = requests[key] = str(count)
    return {"limits": limits, **({"requests": requests} if requests else {})}


def _volumes(
    job: QSMJob, pipeline: Pipeline, backend: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    scratch = {"name": "scratch", "emptyDir": {"sizeLimit": str(backend.get("scratchSize", "20Gi"))}}
    volumes: list[dict[str, Any]] = [scratch]
    mounts: list[dict[str, Any]] = [
        {"name": "scratch", "mountPath": request.SCRATCH},
        {"name": "scratch", "mountPath": "/tmp", "subPath": "tmp"},  # noqa: S108 - a mount of its own
    ]
    if backend.get("sharedMemorySize"):
        shared = {"medium": "Memory", "sizeLimit": str(backend["sharedMemorySize"])}
        volumes.append({"name": "shared-memory", "emptyDir": shared})
        mounts.append({"name": "shared-memory", "mountPath": "/dev/shm"})  # noqa: S108 - the same
    for number, secret in enumerate(request.connections(job, pipeline)):
        # The Secret's name may be longer than a volume's.
        name = f"connection-{number}"
        volumes.append({"name": name, "secret": {"secretName": secret, "defaultMode": 0o440}})
        mounts.append({"name": name, "mountPath": f"{request.CONNECTIONS}/{secret}", "readOnly": True})
    read, written = request.claims(job)
    for number, claim in enumerate([*read, *written]):
        name = f"volume-{number}"
        volumes.append({"name": name, "persistentVolumeClaim": {"claimName": claim}})
        mount = {"name": name, "mountPath": f"{request.VOLUMES}/{claim}"}
        mounts.append(mount | ({"readOnly": True} if claim in read else {}))
    return volumes, mounts
