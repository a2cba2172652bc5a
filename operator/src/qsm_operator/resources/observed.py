"""What was seen of the Kubernetes Jobs, pods and nodes: as little of each as decisions need."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from qsm_operator.resources.custom import ATTEMPT_LABEL, BACKEND_LABEL, GROUP, JOB_LABEL, PIPELINE_ANNOTATION
from qsm_operator.resources.times import moment

CONTAINER = "recon"


@dataclass(frozen=True, slots=True)
class SeenJob:
    """A Kubernetes Job of ours."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    owner_uid: str
    qsmjob: str
    attempt: int
    created: datetime | None
    is_deleting: bool
    is_suspended: bool
    finished: str
    """Complete or Failed once it is, else empty."""
    reason: str
    message: str
    backend: str
    image: str
    pipeline_json: str
    """The pipeline it runs, as it was written into its annotation."""

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "SeenJob":
        """From the object of the API. Whatever is missing there is empty here."""
        metadata, status = body.get("metadata") or {}, body.get("status") or {}
        labels = metadata.get("labels") or {}
        number = str(labels.get(ATTEMPT_LABEL, ""))
        ended: Mapping[str, Any] = next(
            (
                condition
                for condition in status.get("conditions") or []
                if condition.get("type") in {"Complete", "Failed"} and condition.get("status") == "True"
            ),
            {},
        )
        return cls(
            namespace=metadata.get("namespace", ""),
            name=metadata.get("name", ""),
            uid=metadata.get("uid", ""),
            resource_version=metadata.get("resourceVersion", ""),
            owner_uid=_owner(metadata, "QSMJob"),
            qsmjob=labels.get(JOB_LABEL, ""),
            attempt=int(number) if number.isdecimal() and len(number) < 5 else 0,
            created=moment(metadata.get("creationTimestamp")),
            is_deleting=bool(metadata.get("deletionTimestamp")),
            is_suspended=bool((body.get("spec") or {}).get("suspend")),
            finished=ended.get("type", ""),
            reason=ended.get("reason", ""),
            message=ended.get("message", ""),
            backend=str(labels.get(BACKEND_LABEL, "")).upper(),
            image=_image(body),
            pipeline_json=_shared((metadata.get("annotations") or {}).get(PIPELINE_ANNOTATION, "")),
        )


@dataclass(frozen=True, slots=True)
class SeenPod:
    """A pod of such a Job."""

    namespace: str
    name: str
    uid: str
    job_uid: str
    job_name: str
    qsmjob: str
    phase: str
    is_deleting: bool
    node: str
    unschedulable_since: datetime | None
    """Since when the scheduler has found no node; none where it has, or has not looked."""
    scheduler_says: str
    waiting: str
    """Why the container does not start, such as ImagePullBackOff; empty while nothing is wrong."""
    waiting_says: str
    """What the node says of that."""
    started: datetime | None
    reason: str
    """Why the pod as a whole ended, such as Evicted."""
    message: str
    is_disrupted: bool
    exit_code: int | None
    exit_reason: str
    report: str
    finished: datetime | None

    @property
    def is_live(self) -> bool:
        """Whether it may still do something."""
        return self.phase not in {"Succeeded", "Failed"}

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "SeenPod":
        """From the object of the API. Whatever is missing there is empty here."""
        metadata, status = body.get("metadata") or {}, body.get("status") or {}
        labels = metadata.get("labels") or {}
        conditions = {condition.get("type"): condition for condition in status.get("conditions") or []}
        scheduled = conditions.get("PodScheduled") or {}
        waits = scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable"
        state = next(
            (
                container.get("state") or {}
                for container in status.get("containerStatuses") or []
                if container.get("name") == CONTAINER
            ),
            {},
        )
        ended = state.get("terminated") or {}
        waiting = state.get("waiting") or {}
        is_usual = waiting.get("reason") in {"ContainerCreating", "PodInitializing"}
        running = state.get("running") or {}
        code = ended.get("exitCode")
        return cls(
            namespace=metadata.get("namespace", ""),
            name=metadata.get("name", ""),
            uid=metadata.get("uid", ""),
            job_uid=_owner(metadata, "Job"),
            job_name=labels.get("batch.kubernetes.io/job-name", labels.get("job-name", "")),
            qsmjob=labels.get(JOB_LABEL, ""),
            phase=status.get("phase", "Pending"),
            is_deleting=bool(metadata.get("deletionTimestamp")),
            node=(body.get("spec") or {}).get("nodeName", "") or "",
            unschedulable_since=moment(scheduled.get("lastTransitionTime")) if waits else None,
            scheduler_says=scheduled.get("message", "") if waits else "",
            waiting="" if is_usual else waiting.get("reason", ""),
            waiting_says=waiting.get("message", "") or "",
            started=moment(running.get("startedAt") or ended.get("startedAt")),
            reason=status.get("reason", "") or "",
            message=status.get("message", "") or "",
            is_disrupted=(conditions.get("DisruptionTarget") or {}).get("status") == "True",
            exit_code=code if isinstance(code, int) else None,
            exit_reason=ended.get("reason", "") or "",
            report=ended.get("message", "") or "",
            finished=moment(ended.get("finishedAt")),
        )


@dataclass(frozen=True, slots=True)
class SeenNode:
    """What a node offers, and its labels."""

    allocatable: Mapping[str, str]
    labels: Mapping[str, str]


def offers(nodes: tuple[SeenNode, ...], resource: str, count: int, selector: Mapping[str, str]) -> bool:
    """Whether any node has so much of a resource in all, free or not, and the labels that are asked for."""
    return any(
        node.allocatable.get(resource, "0").isdecimal()
        and int(node.allocatable.get(resource, "0")) >= count
        and all(node.labels.get(key) == value for key, value in selector.items())
        for node in nodes
    )


@lru_cache(maxsize=256)
def _shared(text: str) -> str:
    """The same text, the same object: thousands of Jobs carry few pipelines, of some kilobytes each."""
    return text


def _image(body: Mapping[str, Any]) -> str:
    template = ((body.get("spec") or {}).get("template") or {}).get("spec") or {}
    images = [container.get("image", "") for container in template.get("containers") or []]
    return str(images[0]) if images else ""


def _owner(metadata: Mapping[str, Any], kind: str) -> str:
    for reference in metadata.get("ownerReferences") or []:
        group = str(reference.get("apiVersion", "")).split("/")[0]
        if reference.get("kind") == kind and reference.get("controller") and group in {GROUP, "batch"}:
            return str(reference.get("uid", ""))
    return ""
