"""What a look at a QSMJob starts from and what it comes to: facts in, decision out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from qsm_operator.lifecycle.backends import Choice
from qsm_operator.resources.conditions import Active
from qsm_operator.resources.custom import Pipeline, QSMJob
from qsm_operator.resources.observed import SeenJob, SeenNode, SeenPod
from qsm_operator.resources.progress import Progress
from qsm_operator.resources.report import Report


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a decision rests on."""

    job: QSMJob
    pipeline: Pipeline | None
    """The QSMPipeline of that name as it is now; none where there is none."""
    now: datetime
    jobs: tuple[SeenJob, ...] = ()
    pods: tuple[SeenPod, ...] = ()
    nodes: tuple[SeenNode, ...] | None = None
    """None where nodes may not be seen."""
    may_start: bool = True
    """Whether it is this job's turn to start something."""
    trouble: str = ""
    """Why the API server does not accept its Job, or the Job's pod, at the moment."""
    is_refused: bool = False
    """Whether that is for good."""
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class CreateJob:
    """Create the Kubernetes Job of an attempt."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete a Kubernetes Job that is as it was seen, with its pods."""

    name: str
    uid: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class DeleteQSMJob:
    """Delete a QSMJob whose time to live is over."""

    uid: str


@dataclass(frozen=True, slots=True)
class Event:
    """What people see in `kubectl describe`."""

    kind: str
    """Normal or Warning."""
    reason: str
    message: str
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Final:
    """It is over."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Wait:
    """It goes on by itself, or waits."""

    reason: Active
    message: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """The next attempt can start, once it is the job's turn."""

    choice: Choice
    image: str


Action = CreateJob | DeleteJob | DeleteQSMJob


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write and what to do, in this order: status, actions, events."""

    status: Mapping[str, Any]
    actions: tuple[Action, ...] = ()
    events: tuple[Event, ...] = field(default=())
    wake: datetime | None = None
    """When to look again although nothing has changed."""
    wants_start: bool = False
    """It waits for its turn."""
    report: Report | None = None
    """What the pod of the attempt that has just ended left."""
