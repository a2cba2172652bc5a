"""The only door to the Kubernetes API: few verbs, each bounded in time, repeated where repeating is safe."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from qsm_operator.cluster.asking import TRIES, ApiError, Asking, Observer, parsed
from qsm_operator.cluster.transport import Transport
from qsm_operator.lifecycle.decisions import Event
from qsm_operator.resources.custom import API_VERSION, GROUP, JOB_LABEL, VERSION, QSMJob
from qsm_operator.resources.observed import CONTAINER, SeenNode

__all__ = ["ApiError", "Cluster", "Listing", "owned_selector"]

FIELD_MANAGER = "qsm-operator"
_PAGE = "500"
_JSON = "application/json"
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"

_PREFIXES = {
    "qsmjobs": f"/apis/{GROUP}/{VERSION}",
    "qsmpipelines": f"/apis/{GROUP}/{VERSION}",
    "qsmroutes": f"/apis/{GROUP}/{VERSION}",
    "leases": "/apis/coordination.k8s.io/v1",
    "configmaps": "/api/v1",
    "jobs": "/apis/batch/v1",
    "pods": "/api/v1",
    "events": "/api/v1",
    "nodes": "/api/v1",
}

Page = Callable[[list[dict[str, Any]], str], None]
"""Takes one page of a list, and the resourceVersion of the whole list."""


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a kind at one moment."""

    items: list[dict[str, Any]]
    resource_version: str


class Cluster:
    """The verbs the operator needs, and no others."""

    def __init__(
        self, transport: Transport, observe: Observer = lambda *_: None, longest_pause_seconds: float = 10.0
    ) -> None:
        self._asking = Asking(transport, observe, longest_pause_seconds)

    async def list(self, resource: str, namespace: str = "", *, selector: str = "") -> Listing:
        """Everything of a kind in a namespace, or in all of them."""
        items: list[dict[str, Any]] = []

        def begin() -> None:
            items.clear()

        def take(page: list[dict[str, Any]], _version: str) -> None:
            items.extend(page)

        version = await self.read_all(resource, namespace, selector=selector, begin=begin, take=take)
        return Listing(items, version)

    async def read_all(
        self,
        resource: str,
        namespace: str = "",
        *,
        selector: str = "",
        begin: Callable[[], None],
        take: Page,
    ) -> str:
        """Everything, handed to `take` page by page so that no more than a page is in memory; its resourceVersion.

        When its place is lost on the way (410), `begin` is called again and all is read anew.
        """
        for _ in range(TRIES):
            begin()
            version = await self._read_pages(resource, namespace, selector, take)
            if version is not None:
                return version
        raise ApiError(HTTPStatus.GONE, "Expired", f"the list of {resource} expired {TRIES} times while it was read")

    async def _read_pages(self, resource: str, namespace: str, selector: str, take: Page) -> str | None:
        query = {"limit": _PAGE} | ({"labelSelector": selector} if selector else {})
        while True:
            try:
                page = await self._ask("GET", resource, namespace, query=query)
            except ApiError as error:
                if error.status == HTTPStatus.GONE:
                    return None
                raise
            metadata = page.get("metadata") or {}
            version = str(metadata.get("resourceVersion", ""))
            take(page.get("items") or [], version)
            if not metadata.get("continue"):
                return version
            query = query | {"continue": metadata["continue"]}

    async def get(self, resource: str, namespace: str, name: str) -> dict[str, Any] | None:
        """One object; none where it does not exist."""
        try:
            return await self._ask("GET", resource, namespace, name)
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def apply_status(self, job: QSMJob, status: Mapping[str, Any]) -> dict[str, Any]:
        """Write the whole status, if the object is still as it was seen (else ApiError 409)."""
        body = {
            "apiVersion": API_VERSION,
            "kind": "QSMJob",
            "metadata": {"name": job.name, "uid": job.uid, "resourceVersion": job.resource_version},
            "status": status,
        }
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._ask(
            "PATCH", "qsmjobs", job.namespace, job.name, "status", query=query, body=body, content_type=_APPLY
        )

    async def create_job(self, namespace: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create a Kubernetes Job and give it back; where it exists already, ApiError 409."""
        query = {"fieldManager": FIELD_MANAGER}
        return await self._ask("POST", "jobs", namespace, query=query, body=manifest)

    async def create(self, resource: str, namespace: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object and give it back; where it exists already, ApiError 409."""
        return await self._ask("POST", resource, namespace, query={"fieldManager": FIELD_MANAGER}, body=manifest)

    async def replace(self, resource: str, namespace: str, name: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Replace an object that is still as it was seen, by resourceVersion in the manifest (else ApiError 409)."""
        query = {"fieldManager": FIELD_MANAGER}
        return await self._ask("PUT", resource, namespace, name, query=query, body=manifest)

    async def merge_status(self, resource: str, namespace: str, name: str, status: Mapping[str, Any]) -> dict[str, Any]:
        """Change parts of a status, whatever else stands there."""
        query = {"fieldManager": FIELD_MANAGER}
        body = {"status": status}
        return await self._ask(
            "PATCH", resource, namespace, name, "status", query=query, body=body, content_type=_MERGE
        )

    async def delete_job(self, namespace: str, name: str, uid: str, resource_version: str) -> bool:
        """Delete a Job and its pods, if it is still as it was seen; whether it was."""
        conditions = {"uid": uid, "resourceVersion": resource_version}
        return await self._delete("jobs", namespace, name, conditions)

    async def delete_qsmjob(self, namespace: str, name: str, uid: str) -> bool:
        """Delete a QSMJob and all that belongs to it; whether it was the one that was seen."""
        return await self._delete("qsmjobs", namespace, name, {"uid": uid})

    async def _delete(self, resource: str, namespace: str, name: str, conditions: Mapping[str, str]) -> bool:
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        try:
            await self._ask("DELETE", resource, namespace, name, body=body | {"preconditions": conditions})
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return True
            if error.status == HTTPStatus.CONFLICT:
                return False
            raise
        return True

    async def log_tail(self, namespace: str, pod: str) -> bytes:
        """The end of what the reconstruction in a pod has printed, a few kilobytes at most."""
        query = {"container": CONTAINER, "tailLines": "20", "limitBytes": "8192"}
        return await self._asking.ask("GET", "pods/log", _path("pods", namespace, pod, "log"), query, None, _JSON)

    async def nodes(self) -> tuple[SeenNode, ...] | None:
        """What the nodes offer; none where we may not see them."""
        try:
            listing = await self.list("nodes")
        except ApiError as error:
            if error.status == HTTPStatus.FORBIDDEN:
                return None
            raise
        return tuple(
            SeenNode(
                (node.get("status") or {}).get("allocatable") or {}, (node.get("metadata") or {}).get("labels") or {}
            )
            for node in listing.items
        )

    async def last_event(self, namespace: str, uid: str, reason: str) -> str:
        """What Kubernetes said last about an object, for that reason; empty where it said nothing."""
        query = {"fieldSelector": f"involvedObject.uid={uid},reason={reason}", "limit": _PAGE}
        page = await self._ask("GET", "events", namespace, query=query)
        said = sorted(page["items"], key=lambda event: event.get("lastTimestamp") or "")
        return str(said[-1].get("message", "")) if said else ""

    async def tell(self, job: QSMJob, event: Event, now: datetime) -> None:
        """Post an Event about a QSMJob. Its name follows from what it says: told twice, it is there once."""
        moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        said = "/".join([job.uid, event.reason, str(event.attempt), job.resource_version])
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{job.name}.{hashlib.sha256(said.encode()).hexdigest()[:16]}"},
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": "QSMJob",
                "namespace": job.namespace,
                "name": job.name,
                "uid": job.uid,
            },
            "type": event.kind,
            "reason": event.reason,
            "message": event.message,
            "source": {"component": FIELD_MANAGER},
            "reportingComponent": f"{GROUP}/operator",
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
        }
        try:
            await self._ask("POST", "events", job.namespace, body=body)
        except ApiError as error:
            if error.status not in {HTTPStatus.CONFLICT, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
                raise  # in a namespace that goes, or without leave to post, there is nobody to tell

    async def _ask(
        self,
        method: str,
        resource: str,
        namespace: str = "",
        name: str = "",
        subresource: str = "",
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = _JSON,
    ) -> dict[str, Any]:
        path = _path(resource, namespace, name, subresource)
        encoded = json.dumps(body).encode() if body is not None else None
        return parsed(await self._asking.ask(method, resource, path, query or {}, encoded, content_type))


def _path(resource: str, namespace: str, name: str = "", subresource: str = "") -> str:
    scope = f"/namespaces/{namespace}" if namespace else ""
    return "/".join(part for part in (f"{_PREFIXES[resource]}{scope}/{resource}", name, subresource) if part)


def owned_selector(name: str = "") -> str:
    """Selects what belongs to a QSMJob, or to any."""
    return f"{JOB_LABEL}={name}" if name else JOB_LABEL
