"""What the reconstruction is asked to do: the JSON in QSM_REQUEST and the volumes it speaks of."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from qsm_operator.resources.conditions import Type, find
from qsm_operator.resources.custom import Attempt, Pipeline, QSMJob

REQUEST_VERSION = 1
MAX_REQUEST_BYTES = 100_000
"""Linux hands at most 128 KiB to a program in one variable."""

CONNECTIONS = "/var/run/qsm/connections"
"""Each Secret is a folder here, each of its keys a file."""
VOLUMES = "/var/run/qsm/volumes"
"""Each PersistentVolumeClaim is a folder here."""
SCRATCH = "/scratch"


def request_document(job: QSMJob, pipeline: Pipeline, attempt: Attempt) -> dict[str, Any]:
    """The request of one attempt. The recipe is handed on word for word."""
    document: dict[str, Any] = {
        "version": REQUEST_VERSION,
        "job": {"namespace": job.namespace, "name": job.name, "uid": job.uid, "attempt": attempt.index, **_made(job)},
        "source": _place(job.spec["source"], ""),
        "pipeline": {
            "name": pipeline.name,
            "version": pipeline.spec.get("version", ""),
            "hash": pipeline.digest(job.parameters),
            "image": attempt.image,
            "recipe": pipeline.spec.get("recipe", {}),
            "parameters": job.parameters,
        },
        "destinations": [
            {"name": destination["name"], **_place(destination, job.name)} for destination in destinations(job)
        ],
        "device": attempt.backend.lower(),
        "scratch": SCRATCH,
        "cleanup": job.spec.get("cleanup", "OnSuccess"),
    }
    interim = pipeline.spec.get("interimData")
    if interim:
        document["interimData"] = {"connection": _connection(interim["connectionRef"]), "uri": interim["uri"]}
    return document


def encoded(document: Mapping[str, Any]) -> str:
    """The request as it stands in the variable: the same bytes each time."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def destinations(job: QSMJob) -> list[Mapping[str, Any]]:
    """Where results go; without any said, back to the Orthanc the images are in."""
    said = list(job.spec.get("destinations") or [])
    source = job.spec["source"].get("orthanc")
    if said or source is None:
        return [_with_sender(destination, source) for destination in said]
    return [{"name": "source", "orthanc": {"connectionRef": source["connectionRef"]}}]


def connections(job: QSMJob, pipeline: Pipeline) -> list[str]:
    """Names of the Secrets the pod needs, each once."""
    places: list[Mapping[str, Any]] = [*_kinds(job.spec["source"])]
    for destination in destinations(job):
        places += _kinds(destination)
    places.append(pipeline.spec.get("interimData") or {})
    return _once(place["connectionRef"]["name"] for place in places if "connectionRef" in place)


def claims(job: QSMJob) -> tuple[list[str], list[str]]:
    """Names of the claims the pod only reads, and of those it writes to."""
    written = _once(place["volume"]["claimName"] for place in destinations(job) if "volume" in place)
    source = job.spec["source"].get("volume")
    read = [source["claimName"]] if source and source["claimName"] not in written else []
    return read, written


def _made(job: QSMJob) -> dict[str, Any]:
    """The series that an earlier attempt has kept, by kind: they are delivered whatever became of the images since.

    Under `job`, where a reconstruction of an earlier version overlooks what it does not know.
    """
    stored = find(job.status.get("conditions") or [], Type.RESULTS_STORED) or {}
    outputs = job.status.get("outputs") or []
    made = {one["kind"]: one["seriesInstanceUID"] for one in outputs if one.get("seriesInstanceUID")}
    return {"made": made} if made and stored.get("status") == "True" else {}


def _with_sender(destination: Mapping[str, Any], source: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """A destination an Orthanc sends to is sent by the Orthanc of the source where no other is named."""
    for kind in ("modality", "peer", "dicomWeb"):
        if kind in destination and "connectionRef" not in destination[kind] and source is not None:
            return {**destination, kind: {**destination[kind], "connectionRef": source["connectionRef"]}}
    return destination


def _place(place: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """A source or destination as the pod sees it: Secrets and claims are folders."""
    found: dict[str, Any] = {}
    for kind, value in place.items():
        if not isinstance(value, Mapping):
            continue
        seen = {name: entry for name, entry in value.items() if name not in {"connectionRef", "claimName", "path"}}
        if "connectionRef" in value:
            seen["connection"] = _connection(value["connectionRef"])
        if kind == "volume":
            parts = [VOLUMES, value["claimName"], value.get("path", "").strip("/"), folder]
            seen["directory"] = "/".join(part for part in parts if part)
        found[kind] = seen
    return found


def _kinds(place: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [value for value in place.values() if isinstance(value, Mapping)]


def _connection(reference: Mapping[str, Any]) -> str:
    return f"{CONNECTIONS}/{reference['name']}"


def _once(names: Iterable[str]) -> list[str]:
    return sorted(set(names))
