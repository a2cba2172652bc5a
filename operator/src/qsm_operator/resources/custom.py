"""What custom resources say, typed: a QSMJob, a QSMPipeline, an attempt. Defaults are those of the schema."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from qsm_operator.resources import conditions
from qsm_operator.resources.times import moment
from qsm_operator.tracing.traces import TraceContext, read_traceparent

GROUP = "qsm-operator.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

JOB_LABEL = f"{GROUP}/job"
ATTEMPT_LABEL = f"{GROUP}/attempt"
PIPELINE_LABEL = f"{GROUP}/pipeline"
BACKEND_LABEL = f"{GROUP}/backend"
ACQUISITION_LABEL = f"{GROUP}/acquisition"
"""On a QSMJob that intake made: which acquisition, as a hash."""
ROUTE_LABEL = f"{GROUP}/route"
"""On the same: the QSMRoute that took it."""
SUPERSEDES_ANNOTATION = f"{GROUP}/supersedes"
"""On a QSMJob for images that changed: the job made for them as they were before."""
PIPELINE_ANNOTATION = f"{GROUP}/pipeline-spec"
LAST_IMAGE_ANNOTATION = f"{GROUP}/last-image-time"
"""When the last image of the acquisition came to Orthanc, as intake knows it; RFC 3339."""
TRACEPARENT_ANNOTATION = f"{GROUP}/traceparent"
"""W3C trace context: the span in which intake made the QSMJob."""
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"

GPU = "GPU"
CPU = "CPU"
MAX_ATTEMPTS_KEPT = 10
"""How many attempts the status lists; the count goes on."""

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try: one Kubernetes Job. Fields are those of ``status.attempts[]``."""

    index: int
    jobName: str  # noqa: N815 - the names of the API, here and below, so that nothing is translated
    backend: str = CPU
    backendReason: str = ""  # noqa: N815
    image: str = ""
    memoryLimit: str = ""  # noqa: N815
    startTime: str = ""  # noqa: N815
    jobUID: str = ""  # noqa: N815
    nodeName: str = ""  # noqa: N815
    runTime: str = ""  # noqa: N815
    endTime: str = ""  # noqa: N815
    result: str = ""
    counted: bool | None = None
    exitCode: int | None = None  # noqa: N815
    message: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it goes on, as far as was recorded."""
        return not self.result

    def to_status(self) -> dict[str, Any]:
        """As the status lists it: what is not known is left out."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None and value != ""}

    @classmethod
    def from_status(cls, document: Mapping[str, Any]) -> "Attempt":
        """The reverse; words of a newer version are not kept."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in document.items() if name in known})


@dataclass(frozen=True, slots=True)
class Fallback:
    """When an Auto job goes from GPU to CPU."""

    when: frozenset[str]
    after_seconds: int


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A QSMPipeline, or what was kept of it when a job started."""

    name: str
    uid: str
    generation: int
    spec: Mapping[str, Any]

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "Pipeline":
        """From the object of the API."""
        metadata = body["metadata"]
        return cls(
            metadata["name"], metadata.get("uid", ""), int(metadata.get("generation", 0)), body.get("spec") or {}
        )

    def backend(self, name: str) -> Mapping[str, Any] | None:
        """What it says about GPU or CPU; none where it does not run there."""
        found: Mapping[str, Any] | None = (self.spec.get("backends") or {}).get(name.lower())
        return found

    def image(self, backend: str) -> str:
        """The image for a backend."""
        return str((self.backend(backend) or {}).get("image") or self.spec.get("image", ""))

    @property
    def device(self) -> tuple[str, int]:
        """Key and number of the resource a GPU attempt asks for."""
        device = (self.backend(GPU) or {}).get("device") or {}
        return device.get("resourceKey", "nvidia.com/gpu"), int(device.get("count", 1))

    def digest(self, parameters: Any) -> str:
        """Hash of the whole specification and a job's parameters, the same on every machine."""
        canonical = json.dumps([self.spec, parameters], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class QSMJob:
    """A QSMJob as the API server has it."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    created: datetime
    is_deleting: bool
    spec: Mapping[str, Any]
    status: Mapping[str, Any]
    last_image: datetime | None = None
    """When the last image came; none where intake did not make the job."""
    trace: TraceContext | None = None
    """The span it was made in; none where nobody traced that."""

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "QSMJob":
        """From the object of the API."""
        metadata = body["metadata"]
        annotations = metadata.get("annotations") or {}
        return cls(
            namespace=metadata.get("namespace", ""),
            name=metadata["name"],
            uid=metadata.get("uid", ""),
            resource_version=metadata.get("resourceVersion", ""),
            generation=int(metadata.get("generation", 0)),
            created=moment(metadata.get("creationTimestamp")) or _LONG_AGO,
            is_deleting=bool(metadata.get("deletionTimestamp")),
            spec=body.get("spec") or {},
            status=body.get("status") or {},
            last_image=moment(annotations.get(LAST_IMAGE_ANNOTATION)),
            trace=read_traceparent(annotations.get(TRACEPARENT_ANNOTATION)),
        )

    @property
    def is_finished(self) -> bool:
        """Whether it is complete or has failed, for good."""
        return conditions.is_finished(self.status.get("conditions") or [])

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts the status lists, oldest first."""
        return tuple(Attempt.from_status(entry) for entry in self.status.get("attempts") or [])

    @property
    def pipeline_name(self) -> str:
        """The pipeline that was asked for."""
        return str((self.spec.get("pipelineRef") or {}).get("name", ""))

    @property
    def parameters(self) -> list[dict[str, str]]:
        """Values that differ from the recipe."""
        return list(self.spec.get("parameters") or [])

    @property
    def execution(self) -> Mapping[str, Any]:
        """On what to run."""
        return self.spec.get("execution") or {}

    @property
    def backend(self) -> str:
        """Auto, GPU or CPU."""
        return str(self.execution.get("backend", "Auto"))

    @property
    def queue_name(self) -> str:
        """Kueue's LocalQueue; empty where Kueue takes no part."""
        return str(self.execution.get("queueName", ""))

    @property
    def priority(self) -> int:
        """Who starts first."""
        return int(self.execution.get("priority", 0))

    @property
    def is_suspended(self) -> bool:
        """Whether a person holds it."""
        return bool(self.spec.get("suspend", False))

    def fallback(self, pipeline: Pipeline) -> Fallback:
        """When to go from GPU to CPU: as the job says, else the pipeline."""
        said = self.execution.get("fallback")
        if said is None:
            said = pipeline.spec.get("fallback") or {}
        when = said.get("when", ["Unschedulable", "DeviceError", "OutOfMemory"])
        return Fallback(frozenset(when) if self.backend == "Auto" else frozenset(), int(said.get("afterSeconds", 600)))

    def retry_limit(self, pipeline: Pipeline) -> int:
        """How often a counted failure is repeated."""
        return int(self.spec.get("retryLimit", pipeline.spec.get("retryLimit", 2)))

    @property
    def delivery_deadline_seconds(self) -> int:
        """How long delivery is tried again after it failed first."""
        return int(self.spec.get("deliveryDeadlineSeconds", 86400))

    def deadline_seconds(self, pipeline: Pipeline) -> int:
        """How long one attempt may run."""
        return int(self.spec.get("activeDeadlineSeconds", pipeline.spec.get("activeDeadlineSeconds", 7200)))
