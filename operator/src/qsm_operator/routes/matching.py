"""QSMRoutes: which of them take an acquisition, and why. Pure: the same in, the same out.

    routes = tuple(Route.from_resource(body) for body in bodies)
    seen = traits(acquisition, headers, asked_tags(routes), senders)
    for decision in decide(seen, routes): ...

Reasons name fields and attributes, never what an image says in them: they may be logged.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydicom.dataset import Dataset

from qsm_acquisition import Acquisition
from qsm_acquisition.attributes import NOTHING, Stated, stated
from qsm_acquisition.elements import tag_of
from qsm_operator.routes.criteria import Criterion, Range, RouteError, known, read_criterion, read_range, text

DEFAULT_ORDER = 100
_STATION_NAME = tag_of("StationName")
_FIELD_STRENGTH = tag_of("MagneticFieldStrength")
_SPEC = (
    "description", "paused", "order", "onMatch", "source", "match", "pipelines", "destinations", "execution", "job",
    "schedule",
)  # fmt: skip
_JOB = (
    "retryLimit", "activeDeadlineSeconds", "deliveryDeadlineSeconds", "ttlSecondsAfterFinished", "suspend", "cleanup",
)  # fmt: skip
_HANDED_ON = {"destinations": list, "execution": dict, "schedule": dict, "job": dict}
_MATCH = ("everything", "stations", "fieldStrengthTesla", "echoCount", "all", "any", "none")


@dataclass(frozen=True, slots=True)
class Traits:
    """What routes may ask about one acquisition."""

    stated: Mapping[int, Stated]
    """By tag: what its images say, in any of them."""
    stations: frozenset[str]
    """StationName and the AE titles that sent the images."""
    field_strength_t: float
    echo_count: int


@dataclass(frozen=True, slots=True)
class Match:
    """What must hold, all of it."""

    everything: bool = False
    stations: frozenset[str] = frozenset()
    field_strength_t: Range | None = None
    echo_count: Range | None = None
    all: tuple[Criterion, ...] = ()
    any: tuple[Criterion, ...] = ()
    none: tuple[Criterion, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """A QSMRoute that makes sense."""

    namespace: str
    name: str
    order: int
    is_paused: bool
    takes_alone: bool
    """onMatch Stop: no route after it is asked about what it has taken."""
    connection: str
    """Name of the Secret of the Orthanc it watches."""
    match: Match
    spec: Mapping[str, Any]
    """All of it, for the jobs it makes."""

    @classmethod
    def from_resource(cls, body: Mapping[str, Any]) -> "Route":
        """From the object of the API, or from a file written by hand.

        Raises
        ------
        RouteError
            A field that decides about matching cannot be understood; the message names it.
        """
        metadata = body.get("metadata")
        spec = body.get("spec")
        if not isinstance(metadata, Mapping) or not isinstance(spec, Mapping):
            raise RouteError("a QSMRoute needs metadata and spec")
        name = text(metadata, "name", "metadata")
        known(spec, _SPEC, "spec")
        order = spec.get("order", DEFAULT_ORDER)
        if not isinstance(order, int) or isinstance(order, bool):
            raise RouteError("spec.order must be a whole number")
        on_match = spec.get("onMatch", "Stop")
        if on_match not in ("Stop", "Continue"):
            raise RouteError("spec.onMatch must be Stop or Continue")
        _check_handed_on(spec)
        paused = spec.get("paused", False)
        if not isinstance(paused, bool):
            raise RouteError("spec.paused must be true or false")
        return cls(
            namespace=str(metadata.get("namespace", "")),
            name=name,
            order=order,
            is_paused=paused,
            takes_alone=on_match == "Stop",
            connection=_connection(spec),
            match=_match(spec.get("match")),
            spec=spec,
        )


class Outcome(StrEnum):
    """What a route says to an acquisition."""

    TAKEN = "Taken"
    NOT_MATCHED = "NotMatched"
    PAUSED = "Paused"
    NOT_ASKED = "NotAsked"
    """A route before it took the acquisition alone."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One question of a route, and its answer."""

    field: str
    """Where it stands in the route, such as match.all[0]."""
    question: str
    """What is asked, as a statement: ProtocolName is 'qsm'."""
    holds: bool
    """Whether the statement is true of the acquisition."""
    hinders: bool
    """Whether the answer keeps the route from taking it."""
    tag: int | None = None
    """The attribute it asks about, to look up what the images say; for a terminal, never for a log."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One route and one acquisition."""

    route: Route
    outcome: Outcome
    reason: str
    """One sentence without any value of the images: fit for logs and events."""
    findings: tuple[Finding, ...] = ()
    """Everything it asks for, in the order of the schema; empty where it was not asked."""


def in_order(routes: Iterable[Route]) -> tuple[Route, ...]:
    """As they are asked: lowest order first, equal ones by name."""
    return tuple(sorted(routes, key=lambda route: (route.order, route.name)))


def asked_tags(routes: Iterable[Route]) -> frozenset[int]:
    """Attributes these routes ask about; no other is ever looked at."""
    return frozenset(
        criterion.tag
        for route in routes
        for criterion in (*route.match.all, *route.match.any, *route.match.none)
    )  # fmt: skip


def traits(
    acquisition: Acquisition, headers: Mapping[str, Dataset], tags: Iterable[int], senders: Iterable[str] = ()
) -> Traits:
    """What an acquisition says to the attributes that are asked about.

    Where its images differ (magnitude and phase have their own SeriesDescription, each echo its EchoTime) it says
    all of it: one value that fits is enough.

    Parameters
    ----------
    acquisition
        From the survey.
    headers
        Header by source, of at least the acquisition's sources.
    tags
        From `asked_tags`.
    senders
        AE titles of the applications that sent the images, where known.
    """
    images = [headers[source] for source in acquisition.sources]
    found = stated(images, {*tags, _STATION_NAME})
    return Traits(
        stated=found,
        stations=found[_STATION_NAME].texts | {sender.strip() for sender in senders if sender.strip()},
        field_strength_t=acquisition.field_strength_t,
        echo_count=acquisition.echo_count,
    )


def decide(seen: Traits, routes: Iterable[Route]) -> tuple[Decision, ...]:
    """What each route says, in the order they are asked."""
    decisions: list[Decision] = []
    taker = ""
    for route in in_order(routes):
        if route.is_paused:
            decisions.append(Decision(route, Outcome.PAUSED, "the route is paused"))
        elif taker:
            decisions.append(Decision(route, Outcome.NOT_ASKED, f"route {taker} took it alone (onMatch: Stop)"))
        else:
            decision = _ask(seen, route)
            decisions.append(decision)
            if decision.outcome is Outcome.TAKEN and route.takes_alone:
                taker = route.name
    return tuple(decisions)


def _ask(seen: Traits, route: Route) -> Decision:
    findings = tuple(_findings(seen, route.match))
    against = [finding for finding in findings if finding.hinders]
    if not against:
        return Decision(route, Outcome.TAKEN, "all that it asks for is so", findings)
    first = against[0]
    more = f", and {len(against) - 1} more" if len(against) > 1 else ""
    answer = "is so, but may not be" if first.holds else "is not so"
    return Decision(route, Outcome.NOT_MATCHED, f"{first.field}: {first.question}: {answer}{more}", findings)


def _findings(seen: Traits, match: Match) -> Iterator[Finding]:
    """Every question and its answer, in the order of the schema."""
    if match.stations:
        holds = bool(match.stations & seen.stations)
        question = "station or sender is " + " or ".join(sorted(match.stations))
        yield Finding("match.stations", question, holds, not holds, _STATION_NAME)
    if match.field_strength_t:
        holds = match.field_strength_t.includes(seen.field_strength_t)
        question = f"field strength in tesla {match.field_strength_t.wish}"
        yield Finding("match.fieldStrengthTesla", question, holds, not holds)
    if match.echo_count:
        holds = match.echo_count.includes(seen.echo_count)
        yield Finding("match.echoCount", f"number of echoes {match.echo_count.wish}", holds, not holds)
    yield from _answers(seen, match.all, hinders_where=False)
    some = [one for one in match.any if _holds(seen, one)]
    yield from (Finding(one.field, one.wish, one in some, not some, one.tag) for one in match.any)
    yield from _answers(seen, match.none, hinders_where=True)


def _answers(seen: Traits, criteria: Iterable[Criterion], *, hinders_where: bool) -> Iterator[Finding]:
    for one in criteria:
        holds = _holds(seen, one)
        yield Finding(one.field, one.wish, holds, holds is hinders_where, one.tag)


def _holds(seen: Traits, criterion: Criterion) -> bool:
    return criterion.question.holds(seen.stated.get(criterion.tag, NOTHING))


def _check_handed_on(spec: Mapping[str, Any]) -> None:
    """What goes into the jobs word for word: its shape only, the schema of QSMJob judges the rest."""
    pipelines = spec.get("pipelines")
    if not isinstance(pipelines, list) or not pipelines:
        raise RouteError("spec.pipelines needs at least one pipeline")
    for number, entry in enumerate(pipelines):
        field = f"spec.pipelines[{number}]"
        if not isinstance(entry, Mapping):
            raise RouteError(f"{field} must have a name")
        known(entry, ("name", "parameters"), field)
        text(entry, "name", field)
        _check_parameters(entry.get("parameters"), f"{field}.parameters")
    for name, kind in _HANDED_ON.items():
        if not isinstance(spec.get(name, kind()), kind):
            raise RouteError(f"spec.{name} must be {'a list' if kind is list else 'an object'}")
    known(spec.get("job") or {}, _JOB, "spec.job")


def _check_parameters(document: Any, field: str) -> None:
    if document is None:
        return
    if not isinstance(document, list) or not all(isinstance(entry, Mapping) for entry in document):
        raise RouteError(f"{field} must be a list of name and value")
    for number, entry in enumerate(document):
        text(entry, "name", f"{field}[{number}]")
        text(entry, "value", f"{field}[{number}]")


def _connection(spec: Mapping[str, Any]) -> str:
    place: Any = spec
    for name in ("source", "orthanc", "connectionRef"):
        place = place.get(name)
        if not isinstance(place, Mapping):
            raise RouteError("spec.source.orthanc.connectionRef is needed")
    return text(place, "name", "spec.source.orthanc.connectionRef")


def _match(document: Any) -> Match:
    if not isinstance(document, Mapping):
        raise RouteError("spec.match is needed: write everything: true where every acquisition is meant")
    known(document, _MATCH, "spec.match")
    everything = document.get("everything", False)
    if not isinstance(everything, bool):
        raise RouteError("spec.match.everything must be true or false")
    others = [name for name in _MATCH[1:] if document.get(name) is not None]
    if everything and others:
        raise RouteError("spec.match.everything stands alone: with it, no other criterion has a meaning")
    if not everything and not others:
        raise RouteError(
            "spec.match is empty and would take every acquisition: write everything: true if that is meant"
        )
    strength, echoes = document.get("fieldStrengthTesla"), document.get("echoCount")
    return Match(
        everything=everything,
        stations=_stations(document.get("stations")),
        field_strength_t=None if strength is None else read_range(strength, "match.fieldStrengthTesla"),
        echo_count=None if echoes is None else read_range(echoes, "match.echoCount"),
        all=_criteria(document.get("all"), "match.all"),
        any=_criteria(document.get("any"), "match.any"),
        none=_criteria(document.get("none"), "match.none"),
    )


def _stations(document: Any) -> frozenset[str]:
    if document is None:
        return frozenset()
    if not isinstance(document, list) or not document or not all(isinstance(one, str) and one for one in document):
        raise RouteError("spec.match.stations must be a list of names")
    return frozenset(one.strip() for one in document)


def _criteria(document: Any, field: str) -> tuple[Criterion, ...]:
    if document is None:
        return ()
    if not isinstance(document, list) or not document:
        raise RouteError(f"spec.{field} must be a list with at least one criterion")
    return tuple(read_criterion(one, f"{field}[{number}]") for number, one in enumerate(document))
