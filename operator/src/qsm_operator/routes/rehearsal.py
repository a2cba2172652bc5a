"""`qsm-operator route test`: what a set of routes would do with given files, and why. No cluster, no network."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydicom.dataset import Dataset

from qsm_acquisition import Acquisition, Refusal, Survey, read_header
from qsm_acquisition.elements import text
from qsm_operator.resources.custom import API_VERSION
from qsm_operator.routes import orders
from qsm_operator.routes.criteria import RouteError
from qsm_operator.routes.matching import Decision, Outcome, Route, Traits, asked_tags, decide, traits


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One acquisition and what the routes say to it."""

    acquisition: Acquisition
    seen: Traits
    decisions: tuple[Decision, ...]
    manifests: tuple[dict[str, Any], ...]


class FilesError(ValueError):
    """A file of routes or a place of images that is not there or is none."""


def read_routes(files: Iterable[Path]) -> tuple[Route, ...]:
    """Every QSMRoute in these files; other kinds beside them are left alone.

    Raises
    ------
    RouteError
        A route cannot be understood, or there is none.
    FilesError
        A file cannot be read.
    """
    routes = []
    for file in files:
        for body in _documents(file):
            if not isinstance(body, Mapping) or body.get("kind") != "QSMRoute":
                continue
            if body.get("apiVersion") != API_VERSION:
                raise RouteError(f"{file}: apiVersion must be {API_VERSION}")
            try:
                routes.append(Route.from_resource(body))
            except RouteError as error:
                raise RouteError(f"{file}: {error}") from None
    if not routes:
        raise RouteError(f"no QSMRoute in {', '.join(str(file) for file in files)}")
    return tuple(routes)


def _documents(file: Path) -> list[Any]:
    try:
        return list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError):
        raise FilesError(f"{file} cannot be read") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise RouteError(f"{file} is no YAML{where}") from None


def read_images(places: Iterable[Path]) -> tuple[dict[str, Dataset], tuple[Refusal, ...]]:
    """Headers by path, and what is no DICOM.

    Raises
    ------
    FilesError
        A place is not there.
    """
    headers: dict[str, Dataset] = {}
    refusals: list[Refusal] = []
    for place in places:
        if not place.exists():
            raise FilesError(f"{place} is not there")
        for path in _files(place):
            outcome = read_header(path)
            if isinstance(outcome, Refusal):
                refusals.append(outcome)
            else:
                headers[str(path)] = outcome
    return headers, tuple(refusals)


def _files(place: Path) -> Iterator[Path]:
    if not place.is_dir():
        yield place
        return
    for root, folders, names in os.walk(place):
        folders.sort()
        yield from (Path(root) / name for name in sorted(names))


def rehearse(found: Survey, headers: Mapping[str, Dataset], routes: Iterable[Route]) -> tuple[Rehearsal, ...]:
    """What the routes say to each acquisition. Routes of different Orthancs never compete."""
    by_server: dict[tuple[str, str], list[Route]] = defaultdict(list)
    for route in routes:
        by_server[route.namespace, route.connection].append(route)
    tags = asked_tags(route for group in by_server.values() for route in group)
    return tuple(_rehearse(one, headers, by_server, tags) for one in found.acquisitions)


def _rehearse(
    one: Acquisition,
    headers: Mapping[str, Dataset],
    by_server: Mapping[tuple[str, str], list[Route]],
    tags: frozenset[int],
) -> Rehearsal:
    seen = traits(one, headers, tags, {_sender(headers[source]) for source in one.sources})
    instances = [
        text(header, "SOPInstanceUID")
        for header in headers.values()
        if text(header, "SeriesInstanceUID") in one.series_instance_uids
    ]
    decisions: list[Decision] = []
    manifests: list[dict[str, Any]] = []
    for (_, connection), routes in sorted(by_server.items()):
        said = decide(seen, routes)
        decisions += said
        takers = [decision.route for decision in said if decision.outcome is Outcome.TAKEN]
        manifests += orders.manifests(one.series_instance_uids, instances, takers, connection)
    return Rehearsal(one, seen, tuple(decisions), tuple(manifests))


def _sender(header: Dataset) -> str:
    """AE title that sent the image, where the file tells."""
    meta = getattr(header, "file_meta", None)
    return "" if meta is None else text(meta, "SourceApplicationEntityTitle")
