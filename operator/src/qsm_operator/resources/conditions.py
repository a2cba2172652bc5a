"""Conditions of a QSMJob and the closed lists of their reasons: the words programs may rely on."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

MAX_MESSAGE = 1024
"""Longest message the schema takes."""


class Type(StrEnum):
    """Which question a condition answers."""

    COMPLETE = "Complete"
    FAILED = "Failed"
    SUSPENDED = "Suspended"
    INPUT_STAGED = "InputStaged"
    RECONSTRUCTED = "Reconstructed"
    RESULTS_STORED = "ResultsStored"
    RESULTS_DELIVERED = "ResultsDelivered"


class Active(StrEnum):
    """Reasons of Complete while it is Unknown: where the job is."""

    QUEUED = "Queued"
    SUSPENDED = "Suspended"
    STAGING = "Staging"
    RUNNING = "Running"
    DELIVERING = "Delivering"
    PIPELINE_NOT_FOUND = "PipelineNotFound"
    """It waits a little for a pipeline that is perhaps being created just now."""


SUCCEEDED = "Succeeded"
"""Reason of Complete when it is True."""


class Failure(StrEnum):
    """Reasons of Failed, and of Complete when it is False; also how a failed attempt ended."""

    INVALID_INPUT = "InvalidInput"
    """The images or the recipe cannot give a correct map (exit codes 65, 78)."""
    PIPELINE_NOT_FOUND = "PipelineNotFound"
    """The QSMPipeline does not exist, or was replaced while the job still needed it."""
    UNSCHEDULABLE = "Unschedulable"
    """No node took the pod in the time allowed."""
    OUT_OF_MEMORY = "OutOfMemory"
    """The memory limit was reached and there is no more to give (exit code 71, OOMKilled)."""
    DEVICE_ERROR = "DeviceError"
    """The GPU or its driver failed (exit code 69)."""
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    """The attempt ran longer than activeDeadlineSeconds."""
    RECON_ERROR = "ReconError"
    """The program failed, or ended in a way the contract does not know."""
    DELIVERY_FAILED = "DeliveryFailed"
    """A destination did not take the results, for good or until deliveryDeadlineSeconds were over."""
    UNAVAILABLE = "Unavailable"
    """Something it needs was not reachable (exit code 75), as often as it was tried."""
    SCRATCH_EXCEEDED = "ScratchExceeded"
    """The pod wrote more than scratchSize."""
    EVICTED = "Evicted"
    """It was evicted, or its node lost, more often than is reasonable."""
    REFUSED = "Refused"
    """The API server does not accept the Job: a policy or an impossible value."""


class Interruption(StrEnum):
    """How an attempt ended that says nothing about the job."""

    SUSPENDED = "Suspended"
    JOB_DELETED = "JobDeleted"
    EVICTED = "Evicted"


class Held(StrEnum):
    """Reasons of Suspended."""

    REQUESTED = "Requested"
    OUTSIDE_WINDOW = "OutsideWindow"
    NOT_SUSPENDED = "NotSuspended"


class Step(StrEnum):
    """Reasons of InputStaged, Reconstructed, ResultsStored and ResultsDelivered."""

    PENDING = "Pending"
    DONE = "Done"
    NOT_REACHED = "NotReached"
    RETRYING = "Retrying"
    """Of ResultsDelivered: a destination does not take them now; it is tried again until deliveryDeadlineSeconds."""


class NotFailed(StrEnum):
    """Reason of Failed while it is False."""

    NOT_FAILED = "NotFailed"


def find(conditions: Iterable[Mapping[str, Any]], kind: str) -> Mapping[str, Any] | None:
    """The condition of that type."""
    return next((condition for condition in conditions if condition.get("type") == kind), None)


def is_finished(conditions: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the job is complete or has failed; it is never judged again then."""
    conditions = list(conditions)
    complete = find(conditions, Type.COMPLETE) or {}
    failed = find(conditions, Type.FAILED) or {}
    return complete.get("status") in {"True", "False"} or failed.get("status") == "True"


def condition(
    before: Iterable[Mapping[str, Any]], kind: Type, status: str, reason: str, message: str, generation: int, now: str
) -> dict[str, Any]:
    """A condition; its lastTransitionTime stays while the answer stays."""
    old = find(before, kind) or {}
    same = old.get("status") == status
    return {
        "type": str(kind),
        "status": status,
        "reason": str(reason),
        "message": message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…",
        "lastTransitionTime": old.get("lastTransitionTime", now) if same else now,
        "observedGeneration": generation,
    }
