"""What intake writes to a series in Orthanc: a state for people, a marker and a fingerprint for itself. Pure.

The marker makes looking again cheap and needless looking impossible: it holds hashes of what was looked at. All of it
may be lost; then the same conclusions are drawn anew, and the same names found to exist.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from qsm_acquisition import Reason

STATE_NAME, MARKER_NAME, CONTENT_NAME = "qsm-state", "qsm-marker", "qsm-content"
"""Names to register under Orthanc's UserMetadata, for three numbers in a row."""
MAX_STATE_LETTERS = 240

_VERSION = "1"
_NOTHING = "-"

INTRINSIC = frozenset(
    {
        Reason.NOT_AN_IMAGE,
        Reason.OWN_RESULT,
        Reason.DERIVED,
        Reason.LOCALIZER,
        Reason.NOT_GRADIENT_ECHO,
        Reason.FILTERED_PHASE,
    }
)
"""Reasons that lie in the images of a series themselves: no other series can change them."""


class Kind(StrEnum):
    """What became of a series, as far as intake is concerned."""

    QUEUED = "queued"
    UNMATCHED = "unmatched"
    WAITING = "waiting"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Marker:
    """What was concluded about a series, and from what."""

    kind: Kind
    reason: str
    """A `Reason`, or `-`."""
    ids: str
    """Hash of the identifiers of its instances."""
    seen: str
    """Hash of them and of the moment the last one was stored."""
    study: str
    """Hash over `seen` of every series it was judged with."""
    routes: str = _NOTHING
    """UNMATCHED: hash of the routes that were asked. QUEUED: hashes of routes that were paused, joined by commas."""

    def text(self) -> str:
        """As it is written."""
        return " ".join([_VERSION, self.kind, self.reason or _NOTHING, self.ids, self.seen, self.study, self.routes])

    @property
    def paused(self) -> frozenset[str]:
        """Routes that were paused when it was queued."""
        return frozenset(self.routes.split(",")) - {_NOTHING} if self.kind is Kind.QUEUED else frozenset()

    @property
    def is_intrinsic(self) -> bool:
        """Whether it was refused for what its own images are."""
        return self.kind is Kind.REFUSED and self.reason in INTRINSIC


def read_marker(text: str | None) -> Marker | None:
    """What a marker says; none where there is none, or it is of another version or not ours."""
    words = (text or "").split(" ")
    if len(words) != 7 or words[0] != _VERSION or words[1] not in set(Kind):
        return None
    return Marker(Kind(words[1]), *words[2:])


@dataclass(frozen=True, slots=True)
class Content:
    """Fingerprint of a series: names of its files in Orthanc's storage, and their MD5s."""

    files: str
    md5: str

    def text(self) -> str:
        """As it is written."""
        return f"{_VERSION} {self.files} {self.md5}"


def read_content(text: str | None) -> Content | None:
    """What a fingerprint says; none where there is none."""
    words = (text or "").split(" ")
    return Content(words[1], words[2]) if len(words) == 3 and words[0] == _VERSION else None


def of_name(metadata: Mapping[str, str], number: int, name: str) -> str | None:
    """A piece of metadata, listed by number or, where it is registered, by name."""
    return metadata.get(str(number), metadata.get(name))


def digest(parts: Iterable[Any]) -> str:
    """Short hash of a set of things, whatever their order."""
    return hashlib.sha256("\n".join(sorted(map(str, parts))).encode()).hexdigest()[:16]


def queued(names: Iterable[str]) -> str:
    """State of a series that has its jobs."""
    return _short(f"queued ({', '.join(names)})")


def names_in(state: str | None) -> tuple[str, ...]:
    """The jobs a state names."""
    if not state or not state.startswith("queued (") or not state.endswith(")"):
        return ()
    return tuple(state.removeprefix("queued (").removesuffix(")").split(", "))


def waiting(reason: Reason, message: str) -> str:
    """State of a series that is not complete yet."""
    if reason is Reason.NO_PHASE:
        return "waiting for phase series"
    if reason is Reason.NO_MAGNITUDE:
        return "waiting for magnitude series"
    return _short(f"incomplete ({message})")


def refused(reason: str, message: str = "") -> str:
    """State of a series of which no map is made."""
    return _short(f"not suitable ({reason}: {message})" if message else f"not suitable ({reason})")


RECEIVED = "received"
PAUSED = "received (route paused)"
NO_ROUTE = "not suitable (NoRoute)"


def _short(state: str) -> str:
    return state if len(state) <= MAX_STATE_LETTERS else f"{state[: MAX_STATE_LETTERS - 4]}...)"
