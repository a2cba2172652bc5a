"""The only door to the Kubernetes API: few verbs, each bounded in time, repeated where repeating is safe."""

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from qsm_operator.decisions import Event
from qsm_operator.observed import SeenNode
from qsm_operator.resources import API_VERSION, GROUP, JOB_LABEL, VERSION, QSMJob
from qsm_operator.transport import Response, Transport, Unreachable

FIELD_MANAGER = "qsm-operator"
_PAGE = "500"
_TRIES = 5
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
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

Observer = Callable[[str, str, str, float], None]
"""Told of each request: verb, resource, status code (or Unreachable), seconds."""


class ApiError(Exception):
    """The API server said no, or nothing.

    Attributes
    ----------
    status
        HTTP status; 0 where there was no answer.
    reason
        Kubernetes' own word, such as Conflict or AlreadyExists.
    message
        Kubernetes' own sentence.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason, self.message = status, reason, message


class ListExpired(Exception):  # noqa: N818 - it is no error, the list is begun anew
    """The list took longer than the server keeps its place (410)."""


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
        self._transport = transport
        self._observe = observe
        self._longest_pause_seconds = longest_pause_seconds

    async def list(self, resource: str, namespace: str = "", *, selector: str = "") -> Listing:
        """Everything of a kind in a namespace, or in all of them, in pages; begun anew when its place is lost (410)."""
        for _ in range(_TRIES):
            try:
                items: list[dict[str, Any]] = []
                version = ""
                async for page in self._pages(resource, namespace, selector):
                    items += page["items"]
                    version = page["metadata"].get("resourceVersion", "")
                return Listing(items, version)
            except ListExpired:
                continue
        raise ApiError(HTTPStatus.GONE, "Expired", f"the list of {resource} expired {_TRIES} times while it was read")

    async def _pages(self, resource: str, namespace: str, selector: str) -> AsyncIterator[dict[str, Any]]:
        query = {"limit": _PAGE} | ({"labelSelector": selector} if selector else {})
        while True:
            try:
                page = await self._ask("GET", resource, namespace, query=query)
            except ApiError as error:
                if error.status == HTTPStatus.GONE:
                    raise ListExpired from error
                raise
            yield page
            more = (page.get("metadata") or {}).get("continue")
            if not more:
                return
            query = query | {"continue": more}

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

    async def why_no_pod(self, namespace: str, job_uid: str) -> str:
        """What Kubernetes said last when it could not create a Job's pod; empty where it said nothing."""
        query = {"fieldSelector": f"involvedObject.uid={job_uid},reason=FailedCreate", "limit": _PAGE}
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
        """Send until there is an answer that counts. Every request of ours may be sent twice without harm."""
        scope = f"/namespaces/{namespace}" if namespace else ""
        path = "/".join(part for part in (f"{_PREFIXES[resource]}{scope}/{resource}", name, subresource) if part)
        encoded = json.dumps(body).encode() if body is not None else None
        clock = asyncio.get_running_loop().time
        for attempt in range(_TRIES):
            began, pause = clock(), 0.1 * 2**attempt * (1 + random.random())  # noqa: S311 - jitter, no secret
            try:
                answer = await self._transport.send(method, path, query or {}, encoded, content_type)
            except Unreachable as error:
                self._observe(method, resource, "Unreachable", clock() - began)
                failure = ApiError(0, "Unreachable", str(error))
            else:
                self._observe(method, resource, str(answer.status), clock() - began)
                if answer.status < HTTPStatus.BAD_REQUEST:
                    return _parsed(answer)
                failure = _failure(answer)
                if answer.status not in _PASSING:
                    raise failure
                pause = max(pause, _retry_after(answer))
            if attempt + 1 < _TRIES:
                await asyncio.sleep(min(pause, self._longest_pause_seconds))
        raise failure


def owned_selector(name: str = "") -> str:
    """Selects what belongs to a QSMJob, or to any."""
    return f"{JOB_LABEL}={name}" if name else JOB_LABEL


def _parsed(answer: Response) -> dict[str, Any]:
    try:
        found = json.loads(answer.body)
    except ValueError as error:
        raise ApiError(answer.status, "Unreadable", "the API server's answer is no JSON") from error
    if not isinstance(found, dict):
        raise ApiError(answer.status, "Unreadable", "the API server's answer is no object")
    return found


def _failure(answer: Response) -> ApiError:
    try:
        said = json.loads(answer.body)
        return ApiError(answer.status, str(said.get("reason", "")), str(said.get("message", "")))
    except (ValueError, AttributeError):
        return ApiError(answer.status, "", answer.body[:200].decode(errors="replace"))


def _retry_after(answer: Response) -> float:
    text = next((value for name, value in answer.headers.items() if name.lower() == "retry-after"), "")
    return float(text) if text.isdecimal() else 0.0
