"""What was last seen of everything, as little as decisions need. Fed by watches and by lists; whoever is newer wins."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from qsm_operator.resources.conditions import Type
from qsm_operator.resources.custom import Pipeline, QSMJob
from qsm_operator.resources.observed import SeenJob, SeenPod

Key = tuple[str, str]
KINDS = ("qsmjobs", "qsmpipelines", "jobs", "pods")


def age(resource_version: str) -> int:
    """A resourceVersion as a number: a greater one is newer (promised since Kubernetes 1.35, true with etcd before)."""
    return int(resource_version) if resource_version.isdecimal() else 0


class Store:
    """QSMJobs by key; their Jobs and pods by the key of the QSMJob; pipelines by their own."""

    def __init__(self) -> None:
        self.qsmjobs: dict[Key, QSMJob] = {}
        self.pipelines: dict[Key, Pipeline] = {}
        self._jobs: dict[Key, dict[str, SeenJob]] = defaultdict(dict)
        self._pods: dict[Key, dict[str, SeenPod]] = defaultdict(dict)
        self._versions: dict[str, dict[Key, int]] = {kind: {} for kind in KINDS}
        self._gone: dict[str, dict[Key, int]] = {kind: {} for kind in KINDS}
        """When what is gone went: a list that was read while it went must not bring it back."""
        self._owners: dict[str, dict[Key, Key]] = {"jobs": {}, "pods": {}}

    def jobs_of(self, key: Key) -> tuple[SeenJob, ...]:
        """The Kubernetes Jobs labelled for a QSMJob."""
        return tuple(self._jobs[key].values()) if key in self._jobs else ()

    def pods_of(self, key: Key) -> tuple[SeenPod, ...]:
        """The pods labelled for a QSMJob."""
        return tuple(self._pods[key].values()) if key in self._pods else ()

    def running_pods(self) -> list[tuple[Key, SeenPod]]:
        """Pods whose container runs, with the key of their QSMJob."""
        return [
            (key, pod)
            for key, pods in self._pods.items()
            for pod in pods.values()
            if pod.is_live and pod.started is not None and not pod.is_deleting
        ]

    def pipeline_of(self, job: QSMJob) -> Pipeline | None:
        """The pipeline a QSMJob names."""
        return self.pipelines.get((job.namespace, job.pipeline_name))

    def put(self, kind: str, body: Mapping[str, Any]) -> list[Key]:
        """Note an object as it is; which QSMJobs may care. None where it was known, or known newer."""
        metadata = body["metadata"]
        own = (metadata.get("namespace", ""), metadata["name"])
        version = age(metadata.get("resourceVersion", ""))
        if version and max(self._versions[kind].get(own, -1), self._gone[kind].get(own, -1)) >= version:
            return []
        self._versions[kind][own] = version
        if kind == "qsmjobs":
            self.qsmjobs[own] = _slim(QSMJob.from_body(body))
            return [own]
        if kind == "qsmpipelines":
            self.pipelines[own] = Pipeline.from_body(body)
            return self._users_of(own)
        seen = SeenJob.from_body(body) if kind == "jobs" else SeenPod.from_body(body)
        owner = (own[0], seen.qsmjob)
        self._owners[kind][own] = owner
        table: dict[Key, dict[str, Any]] = self._jobs if kind == "jobs" else self._pods
        table[owner][own[1]] = seen
        return [owner]

    def drop(self, kind: str, own: Key, version: int = 0) -> list[Key]:
        """Note that an object is gone; which QSMJobs may care. With `version`, only if nothing newer is known."""
        known = self._versions[kind].get(own)
        if known is None or (version and known > version):
            return []
        del self._versions[kind][own]
        self._gone[kind][own] = max(version, known)
        if kind == "qsmjobs":
            self.qsmjobs.pop(own, None)
            return [own]
        if kind == "qsmpipelines":
            self.pipelines.pop(own, None)
            return self._users_of(own)
        owner = self._owners[kind].pop(own)
        table: dict[Key, dict[str, Any]] = self._jobs if kind == "jobs" else self._pods
        table[owner].pop(own[1], None)
        if not table[owner]:
            del table[owner]
        return [owner]

    def census(self, kind: str, namespace: str = "") -> "Census":
        """Begin to hold what is known against a list; this finds what no watch told of."""
        return Census(self, kind, namespace)

    def is_there(self, kind: str, body: Mapping[str, Any], listed: int) -> list[Key]:
        """Note an object of a list that was read at version `listed`; which QSMJobs may care."""
        own = (body["metadata"].get("namespace", ""), body["metadata"]["name"])
        if self._gone[kind].get(own, listed + 1) <= listed:
            del self._gone[kind][own]  # the list is newer than the news of its end: it is there after all
        return self.put(kind, body)

    def only_there(self, kind: str, namespace: str, there: set[Key], listed: int) -> list[Key]:
        """Drop what a whole list of version `listed` does not have; which QSMJobs may care."""
        gone = [own for own in self._versions[kind] if own not in there and (not namespace or own[0] == namespace)]
        touched = [key for own in gone for key in self.drop(kind, own, listed)]
        self._gone[kind] = {own: version for own, version in self._gone[kind].items() if version > listed}
        return touched

    def _users_of(self, pipeline: Key) -> list[Key]:
        return [
            key
            for key, job in self.qsmjobs.items()
            if key[0] == pipeline[0] and not job.is_finished and job.pipeline_name == pipeline[1]
        ]


class Census:
    """One list of a kind, taken in page by page."""

    def __init__(self, store: Store, kind: str, namespace: str) -> None:
        self._store, self._kind, self._namespace = store, kind, namespace
        self._there: set[Key] = set()
        self.touched: list[Key] = []
        """QSMJobs that may care."""

    def begin(self) -> None:
        """The list is read from its start (again)."""
        self._there.clear()

    def take(self, items: Iterable[Mapping[str, Any]], resource_version: str) -> None:
        """One page."""
        listed = age(resource_version)
        for body in items:
            self._there.add((body["metadata"].get("namespace", ""), body["metadata"]["name"]))
            self.touched += self._store.is_there(self._kind, body, listed)

    def finish(self, resource_version: str) -> list[Key]:
        """All pages are taken in; which QSMJobs may care."""
        self.touched += self._store.only_there(self._kind, self._namespace, self._there, age(resource_version))
        return self.touched


def _slim(job: QSMJob) -> QSMJob:
    """A finished QSMJob without what nobody asks for any more: there are many of them."""
    if not job.is_finished:
        return job
    spec = {name: job.spec[name] for name in ("ttlSecondsAfterFinished",) if name in job.spec}
    said = [
        {name: condition[name] for name in ("type", "status", "reason")}
        for condition in job.status.get("conditions") or []
        if condition.get("type") in {Type.COMPLETE, Type.FAILED}
    ]
    status = {"conditions": said, "completionTime": job.status.get("completionTime")}
    return replace(job, spec=spec, status=status)
