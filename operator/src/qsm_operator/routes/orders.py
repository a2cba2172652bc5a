"""From an acquisition and the route that takes it to the QSMJobs that reconstruct it. Pure: the same in, the same out.

Names are deterministic: whoever comes to the same conclusion a second time (a hint, the change log, a scan, another
replica) asks for a name that exists and makes nothing new.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from qsm_acquisition import Acquisition, Reason, Refusal, Survey
from qsm_operator.resources.custom import (
    ACQUISITION_LABEL,
    API_VERSION,
    LAST_IMAGE_ANNOTATION,
    PIPELINE_LABEL,
    ROUTE_LABEL,
    SUPERSEDES_ANNOTATION,
    TRACEPARENT_ANNOTATION,
)
from qsm_operator.resources.times import stamp
from qsm_operator.routes.matching import Route

MAX_SERIES = 16
"""A QSMJob names so many series at most."""

_DIGITS = 20
"""Hexadecimal digits of a hash in names and labels: 80 bits."""

_SHARED = (
    "The series holds several complete scans, told apart by AcquisitionNumber only, and a job names whole series. "
    "Send each scan as a series of its own."
)
_TOO_MANY = f"The acquisition is spread over more than {MAX_SERIES} series. Send it as fewer series."


def orderable(found: Survey) -> Survey:
    """The same survey; acquisitions that no QSMJob can name become refusals.

    A QSMJob names whole series. Where two acquisitions share one, neither can be told from the other by name.
    """
    uses = Counter(uid for one in found.acquisitions for uid in one.series_instance_uids)
    kept, refused = [], []
    for one in found.acquisitions:
        if any(uses[uid] > 1 for uid in one.series_instance_uids):
            refused.append(_refusal(one, Reason.AMBIGUOUS_IMAGES, _SHARED))
        elif len(one.series_instance_uids) > MAX_SERIES:
            refused.append(_refusal(one, Reason.AMBIGUOUS_IMAGES, _TOO_MANY))
        else:
            kept.append(one)
    return Survey(tuple(kept), (*found.refusals, *refused))


def acquisition_key(server: str, series_instance_uids: Iterable[str]) -> str:
    """Which acquisition, as a hash that names, labels and logs may carry.

    Parameters
    ----------
    server
        What stays the same as long as it is the same Orthanc: the name of its connection.
    series_instance_uids
        Every series of the acquisition, in any order.
    """
    return _hash([server, sorted(set(series_instance_uids))])


def instances_digest(sop_instance_uids: Iterable[str]) -> dict[str, Any]:
    """`source.orthanc.instances`: what the series held, as count and hash (the schema of QSMJob tells how)."""
    uids = sorted(sop_instance_uids)
    content = "".join(f"{uid}\n" for uid in uids)
    return {"count": len(uids), "sha256": hashlib.sha256(content.encode()).hexdigest()}


def manifests(
    series_instance_uids: Iterable[str],
    sop_instance_uids: Iterable[str],
    routes: Iterable[Route],
    server: str,
    revision: str = "",
) -> tuple[dict[str, Any], ...]:
    """The QSMJobs of one acquisition: one for each pipeline, in the order of the routes.

    Where two routes ask for the same pipeline with the same parameters, the first one's job is made and no other: an
    acquisition has one map for each method.

    Parameters
    ----------
    series_instance_uids
        Every series of the acquisition.
    sop_instance_uids
        Every instance of these series, those the acquisition does not use included.
    routes
        Routes that took it, in the order they were asked.
    server
        As for `acquisition_key`.
    revision
        What tells the same instances with other content from those the first job was made for; empty for the first.
    """
    series = sorted(set(series_instance_uids))
    instances = instances_digest(sop_instance_uids)
    made: dict[str, dict[str, Any]] = {}
    for route in routes:
        for entry in route.spec.get("pipelines") or []:
            manifest = _manifest(series, instances, route, entry, server, revision)
            made.setdefault(manifest["metadata"]["name"], manifest)
    return tuple(made.values())


def linked(manifest: Mapping[str, Any], existing: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The manifest, linked to the newest job for the same acquisition and method as it was before, if there is one.

    Parameters
    ----------
    manifest
        From `manifests`.
    existing
        QSMJobs of the namespace as the API has them, at least those with the same acquisition label.
    """
    earlier = [
        (str(body["metadata"].get("creationTimestamp", "")), str(body["metadata"]["name"]))
        for body in existing
        if _subject(body) == _subject(manifest) and body["metadata"]["name"] != manifest["metadata"]["name"]
    ]
    if not earlier:
        return dict(manifest)
    return _annotated(manifest, SUPERSEDES_ANNOTATION, max(earlier)[1])


def dated(manifest: Mapping[str, Any], last_image: datetime | None) -> dict[str, Any]:
    """The manifest with the time its last image was stored: waiting for a map is counted from there."""
    if last_image is None:
        return dict(manifest)
    return _annotated(manifest, LAST_IMAGE_ANNOTATION, stamp(last_image))


def traced(manifest: Mapping[str, Any], traceparent: str) -> dict[str, Any]:
    """The manifest with the span it is made in, where there is one."""
    if not traceparent:
        return dict(manifest)
    return _annotated(manifest, TRACEPARENT_ANNOTATION, traceparent)


def _annotated(manifest: Mapping[str, Any], name: str, value: str) -> dict[str, Any]:
    annotations = {**manifest["metadata"].get("annotations", {}), name: value}
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": annotations}}


def _subject(body: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a job is about, whatever the instances: acquisition and method."""
    spec = body.get("spec") or {}
    label = (body["metadata"].get("labels") or {}).get(ACQUISITION_LABEL)
    return label, (spec.get("pipelineRef") or {}).get("name"), _sorted_parameters(spec.get("parameters"))


def _manifest(
    series: Sequence[str],
    instances: Mapping[str, Any],
    route: Route,
    entry: Mapping[str, Any],
    server: str,
    revision: str,
) -> dict[str, Any]:
    pipeline, parameters = str(entry["name"]), list(entry.get("parameters") or [])
    generation = [server, list(series), instances["sha256"], pipeline, _sorted_parameters(parameters)]
    generation += [revision] if revision else []
    metadata: dict[str, Any] = {
        "name": f"qsm-{_hash(generation)}",
        "labels": {
            "app.kubernetes.io/part-of": "qsm-operator",
            ACQUISITION_LABEL: acquisition_key(server, series),
            PIPELINE_LABEL: pipeline,
            ROUTE_LABEL: route.name,
        },
    }
    if route.namespace:
        metadata["namespace"] = route.namespace
    source = {
        "connectionRef": {"name": route.connection},
        "seriesInstanceUIDs": list(series),
        "instances": dict(instances),
    }
    spec: dict[str, Any] = {"source": {"orthanc": source}, "pipelineRef": {"name": pipeline}}
    if parameters:
        spec["parameters"] = parameters
    # What the route says is handed on word for word; what it leaves out, the schema of QSMJob fills in.
    spec |= {name: route.spec[name] for name in ("destinations", "execution", "schedule") if route.spec.get(name)}
    spec |= route.spec.get("job") or {}
    return {"apiVersion": API_VERSION, "kind": "QSMJob", "metadata": metadata, "spec": spec}


def _sorted_parameters(parameters: Any) -> list[list[str]]:
    return sorted([str(one["name"]), str(one["value"])] for one in parameters or [])


def _hash(document: Any) -> str:
    canonical = json.dumps(document, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:_DIGITS]


def _refusal(one: Acquisition, reason: Reason, message: str) -> Refusal:
    return Refusal(reason, message, one.series_instance_uids, len(one.sources), one.sources)
