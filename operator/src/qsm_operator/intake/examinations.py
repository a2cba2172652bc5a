"""One examination judged: which state each series gets, and which QSMJobs are to be. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset

from qsm_acquisition import Acquisition, Reason, Refusal, Survey
from qsm_acquisition.elements import number, text
from qsm_operator.intake.marks import (
    INTRINSIC,
    NO_ROUTE,
    PAUSED,
    Kind,
    Marker,
    digest,
    queued,
    refused,
    waiting,
)
from qsm_operator.orthanc.answers import SeriesState
from qsm_operator.routes.matching import Outcome, Route, asked_tags, decide, traits
from qsm_operator.routes.orders import manifests

NOT_YET = frozenset({Reason.INCOMPLETE, Reason.NO_PHASE, Reason.NO_MAGNITUDE, Reason.INCOMPLETE_COMPLEX})
"""Reasons that images which are still to come can take away."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A series, with hashes of what of it was looked at."""

    state: SeriesState
    marker: Marker | None

    @property
    def ids(self) -> str:
        """Hash of its instances' identifiers."""
        return digest(self.state.instance_ids)

    @property
    def seen(self) -> str:
        """The same, and of when the last one was stored."""
        return digest([*self.state.instance_ids, self.state.last_update])

    @property
    def is_unchanged(self) -> bool:
        """Whether it is as the marker describes it."""
        return self.marker is not None and self.marker.seen == self.seen


@dataclass(frozen=True, slots=True)
class Order:
    """A complete acquisition that one or several routes take."""

    acquisition: Acquisition
    series_ids: tuple[str, ...]
    routes: tuple[Route, ...]
    sop_uids: tuple[str, ...]
    paused: frozenset[str]
    """Routes that would be asked, were they not paused."""
    is_revisit: bool
    """Its jobs were made before; only for routes that were paused then."""

    def jobs(self, server: str, revision: str = "") -> tuple[dict[str, Any], ...]:
        """The QSMJobs it wants."""
        return manifests(self.acquisition.series_instance_uids, self.sop_uids, self.routes, server, revision)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be written to a series."""

    series_id: str
    marker: Marker
    state: str
    scanner: str = ""
    """Where it stands for a whole refusal, to be counted: the scanner's name for statistics."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """All that follows from looking at an examination."""

    orders: tuple[Order, ...]
    verdicts: tuple[Verdict, ...]
    """Of series that have no order."""
    study: str
    """Hash over all series that could be part of an acquisition."""


def route_hash(route: Route) -> str:
    """A route, for a marker."""
    return digest([f"{route.namespace}/{route.name}"])[:8]


def routes_digest(routes: Iterable[Route]) -> str:
    """All that routes say, in short: it changes when any of them does."""
    return digest(repr((route.name, sorted(route.spec.items(), key=str))) for route in routes)


def judge(
    found: Survey,
    series: Iterable[Seen],
    headers: Mapping[str, Dataset],
    routes: tuple[Route, ...],
    *,
    age_seconds: float,
    deadline_seconds: float,
) -> Judgement:
    """Orders and verdicts.

    Parameters
    ----------
    found
        The survey of all instances of `series`, named by Orthanc's identifiers.
    series
        Series that are stable and were read.
    headers
        Header by instance.
    routes
        Routes of the namespace for this server.
    age_seconds
        Since the last image of the examination was stored.
    deadline_seconds
        How long incomplete ones are waited for.
    """
    by_id = {one.state.id: one for one in series}
    home = {instance: one.state.id for one in by_id.values() for instance in one.state.instance_ids}
    refusals = _refusals(found.refusals, home)
    in_use = {home[source] for acquisition in found.acquisitions for source in acquisition.sources}
    study = digest(
        one.seen
        for one in by_id.values()
        if one.state.id in in_use or one.state.id not in refusals or refusals[one.state.id].reason not in INTRINSIC
    )
    may_wait = age_seconds < deadline_seconds
    orders: list[Order] = []
    verdicts: dict[str, Verdict] = {}
    for acquisition in found.acquisitions:
        own = tuple(sorted({home[source] for source in acquisition.sources}))
        hindrance = _hindrance(acquisition, [by_id[one] for one in own], headers, may_wait=may_wait)
        if hindrance is not None:
            kind, reason, state = hindrance
            for one in own:
                verdicts[one] = Verdict(one, _marker(by_id[one], study, kind, reason), state)
            continue
        order = _order(acquisition, own, by_id, headers, routes)
        if order.routes or order.is_revisit:
            orders.append(order)
            continue
        state = PAUSED if order.paused else NO_ROUTE
        for one in own:
            marker = _marker(by_id[one], study, Kind.UNMATCHED, "-", routes_digest(routes))
            verdicts[one] = Verdict(one, marker, state)
    counted: set[int] = set()
    for series_id, refusal in sorted(refusals.items()):
        if series_id not in in_use:
            scanner = refusal.scanner or "unknown" if id(refusal) not in counted else ""
            counted.add(id(refusal))
            verdicts[series_id] = _refused(by_id[series_id], study, refusal, scanner, may_wait=may_wait)
    return Judgement(tuple(orders), tuple(verdicts[one] for one in sorted(verdicts)), study)


def done(order: Order, one: Seen, names: Iterable[str], study: str) -> Verdict:
    """The verdict for a series whose jobs are there."""
    marker = _marker(one, study, Kind.QUEUED, "-", ",".join(sorted(order.paused)) or "-")
    return Verdict(one.state.id, marker, queued(names))


def needs_look(one: Seen, study: str, routes: tuple[Route, ...], *, is_late: bool) -> bool:
    """Whether looking at a series again can lead to anything new; `is_late`: the deadline is over."""
    if one.marker is None or not one.is_unchanged:
        return True
    match one.marker.kind:
        case Kind.WAITING:
            return is_late or one.marker.study != study
        case Kind.UNMATCHED:
            return one.marker.routes != routes_digest(routes)
        case Kind.QUEUED:
            return bool(one.marker.paused & {route_hash(route) for route in routes if not route.is_paused})
        case Kind.REFUSED:
            return not one.marker.is_intrinsic and one.marker.study != study


def _order(
    acquisition: Acquisition,
    own: tuple[str, ...],
    by_id: Mapping[str, Seen],
    headers: Mapping[str, Dataset],
    routes: tuple[Route, ...],
) -> Order:
    senders = [by_id[one].state.metadata.get("RemoteAET", "") for one in own]
    decisions = decide(traits(acquisition, headers, asked_tags(routes), senders), routes)
    taken = [decision.route for decision in decisions if decision.outcome is Outcome.TAKEN]
    paused = {route_hash(decision.route) for decision in decisions if decision.outcome is Outcome.PAUSED}
    before = _paused_before([by_id[one] for one in own])
    if before is not None:
        # Routes that were edited since do not change what was decided: only those that slept are asked.
        taken = [route for route in taken if route_hash(route) in before]
        paused &= before
    instances = sorted(instance for one in own for instance in by_id[one].state.instance_ids)
    uids = tuple(text(headers[instance], "SOPInstanceUID") for instance in instances)
    return Order(acquisition, own, tuple(taken), uids, frozenset(paused), before is not None)


def _paused_before(own: Iterable[Seen]) -> frozenset[str] | None:
    """Routes that were paused when this very acquisition was queued; none where it was not, or has changed."""
    paused: frozenset[str] = frozenset()
    for one in own:
        if one.marker is None or one.marker.kind is not Kind.QUEUED or not one.is_unchanged:
            return None
        paused |= one.marker.paused
    return paused


def _hindrance(
    acquisition: Acquisition, own: list[Seen], headers: Mapping[str, Dataset], *, may_wait: bool
) -> tuple[Kind, Reason, str] | None:
    """What keeps a full matrix from being reconstructed, if anything does.

    Scanners disagree about what they count in ImagesInAcquisition, so this number only makes us wait; the matrix
    decides.
    """
    broken = sum(instance not in headers for one in own for instance in one.state.instance_ids)
    if broken:
        message = f"{broken} of the images cannot be read by Orthanc: its file is gone or damaged"
        if may_wait:
            return Kind.WAITING, Reason.UNREADABLE, waiting(Reason.UNREADABLE, message)
        return Kind.REFUSED, Reason.UNREADABLE, refused(Reason.UNREADABLE, message)
    stated = int(number(headers[acquisition.sources[0]], "ImagesInAcquisition") or 0)
    expected = max([stated, *(one.state.expected or 0 for one in own)])
    count = sum(len(one.state.instance_ids) for one in own)
    if count < expected and may_wait:
        message = f"{count} of {expected} images that the scanner states"
        return Kind.WAITING, Reason.INCOMPLETE, waiting(Reason.INCOMPLETE, message)
    return None


def _refusals(found: Iterable[Refusal], home: Mapping[str, str]) -> dict[str, Refusal]:
    """For each series the refusal that concerns most of it; one of `INTRINSIC` only where there is no other."""
    counts: dict[str, list[tuple[bool, int, bool, str, Refusal]]] = {}
    for refusal in found:
        numbers: dict[str, int] = {}
        for source in refusal.sources:
            numbers[home[source]] = numbers.get(home[source], 0) + 1
        for series_id, count in numbers.items():
            rank = (refusal.reason not in INTRINSIC, count, refusal.reason in NOT_YET, str(refusal.reason), refusal)
            counts.setdefault(series_id, []).append(rank)
    return {series_id: max(entries, key=lambda entry: entry[:4])[4] for series_id, entries in counts.items()}


def _refused(one: Seen, study: str, refusal: Refusal, scanner: str, *, may_wait: bool) -> Verdict:
    if refusal.reason in NOT_YET and may_wait:
        marker = _marker(one, study, Kind.WAITING, refusal.reason)
        return Verdict(one.state.id, marker, waiting(refusal.reason, refusal.message))
    said = refusal.message if refusal.reason is Reason.INCOMPLETE else ""
    marker = _marker(one, study, Kind.REFUSED, refusal.reason)
    return Verdict(one.state.id, marker, refused(refusal.reason, said), scanner)


def _marker(one: Seen, study: str, kind: Kind, reason: str, routes: str = "-") -> Marker:
    return Marker(kind, reason, one.ids, one.seen, study, routes)
