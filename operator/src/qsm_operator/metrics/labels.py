"""What may stand in a label, and how much of it: the number of series is bounded here and nowhere else.

A value that is not allowed becomes `other`. No label ever tells a job, a study, a UID or a person.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from qsm_operator.resources.conditions import SUCCEEDED, Active, Failure, Interruption

OTHER = "other"
"""What a value beyond the bound becomes."""

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._#+/-]{0,62}")

KEPT_STAGES = (
    "field_mapping",
    "masking",
    "unwrapping",
    "background",
    "relaxometry",
    "inversion",
    "referencing",
)
"""Stages whose results may be taken from interim data."""

STAGES = ("fetch", "look", "read", "identify", *KEPT_STAGES, "write", "settle", "keep", "deliver")
"""Stages of a reconstruction whose seconds are counted, in their order: the names the pods use, held by a test."""

_WORD = re.compile(r"[A-Z][A-Za-z0-9]{0,40}")


@dataclass(frozen=True, slots=True)
class Label:
    """What one label tells, and its bound."""

    meaning: str
    closed: tuple[str, ...] = ()
    """All values there can be; empty where they come from outside."""
    most: int = 0
    """How many values from outside are told apart; the first ones win until the program starts anew."""
    pattern: re.Pattern[str] = _PLAIN

    @property
    def bound(self) -> int:
        """Most values it can have, `other` included."""
        return (len(self.closed) or self.most) + 1


LABELS: Mapping[str, Label] = {
    "namespace": Label("namespace of the QSMJob", most=20),
    "state": Label(
        "reason of the condition Complete",
        ("New", *map(str, Active), SUCCEEDED, *map(str, Failure)),
    ),
    "pipeline": Label("name of the QSMPipeline; another version is another name", most=20),
    "backend": Label("processor of the attempt", ("GPU", "CPU", "none")),
    "result": Label("how it ended; the metric's text tells the words", most=24),
    "reason": Label("why, in one word of a closed list (operator.md, contract.md)", most=60, pattern=_WORD),
    "stage": Label("stage of the reconstruction", STAGES),
    "scanner": Label("vendor, model and a short hash of the device", most=50),
    "destination": Label("name of the destination in QSMRoute or QSMJob", most=16),
    "direction": Label("read from or written to the store", ("read", "written")),
    "connection": Label("name of the connection Secret", most=16),
    "op": Label("what was asked of Orthanc, such as changes or tags", most=24),
    "code": Label("HTTP status, or Unreachable", most=24),
    "verb": Label("HTTP method", ("GET", "POST", "PATCH", "PUT", "DELETE")),
    "resource": Label("kind of Kubernetes object, in the plural", most=16),
    "found_by": Label("what led intake to it", ("hint", "changes", "scan")),
    "outcome": Label("what became of an acquisition", ("complete", "refused", "ignored")),
    "why": Label("why an Event was not posted", most=8),
    "credential": Label("which credential", most=12),
    "version": Label("version of the program", most=2),
}
"""Every label of every metric."""


@dataclass(slots=True)
class Bounds:
    """The values that one program tells apart so far; shared by all its metrics."""

    _seen: dict[str, set[str]] = field(default_factory=dict)

    def of(self, name: str, value: str) -> str:
        """The value, or `other` where it is not allowed or there are too many already."""
        label = LABELS[name]
        if label.closed:
            return value if value in label.closed else OTHER
        if value == OTHER or not label.pattern.fullmatch(value):
            return OTHER
        seen = self._seen.setdefault(name, set())
        if value not in seen:
            if len(seen) >= label.most:
                return OTHER
            seen.add(value)
        return value


RESULTS = (SUCCEEDED, *map(str, Failure), *map(str, Interruption))
"""Ends of an attempt."""
