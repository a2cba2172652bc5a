"""One of several replicas does what only one may do: a Lease (coordination.k8s.io) that is kept by renewing it.

Clocks of two machines are never compared: a Lease is free when its record has not changed for as long as it says, by
the clock of who looks. Who cannot renew counts itself out before another can count itself in.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from qsm_operator.cluster.door import ApiError, Cluster

logger = logging.getLogger(__name__)

_CONFLICT = 409
_NOT_FOUND = 404


class Lease:
    """A claim to be the one. `is_held` is true only while nobody else can think the same."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        name: str,
        identity: str,
        clock: Callable[[], float],
        *,
        duration_seconds: int = 15,
        renew_seconds: float = 4.0,
    ) -> None:
        self.name, self.identity = name, identity
        self._cluster, self._namespace, self._clock = cluster, namespace, clock
        self._duration_seconds, self._renew_seconds = duration_seconds, renew_seconds
        self._held_until = float("-inf")
        self._seen: Mapping[str, Any] | None = None
        self._seen_at = float("-inf")
        self._changed = asyncio.Event()
        self._was_held = False

    @property
    def is_held(self) -> bool:
        """Whether we are the one, now."""
        return self._clock() < self._held_until

    async def keep(self) -> None:
        """Try to get it and keep it, until cancelled."""
        while True:
            try:
                await self.attempt()
            except ApiError as error:
                logger.warning("the Lease %s cannot be renewed: %s", self.name, error)
            self._tell()
            await asyncio.sleep(self._renew_seconds if self.is_held else min(1.0, self._renew_seconds))

    async def attempt(self) -> bool:
        """Get it or renew it, once; whether we hold it.

        Raises
        ------
        ApiError
            The API server said neither yes nor that another was faster.
        """
        asked_at = self._clock()
        found = await self._cluster.get("leases", self._namespace, self.name)
        spec: Mapping[str, Any] = (found or {}).get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if found is not None and holder not in {"", self.identity}:
            self._held_until = float("-inf")
            if spec != self._seen:
                self._seen, self._seen_at = spec, asked_at
            lasts = max(float(spec.get("leaseDurationSeconds") or 0), self._duration_seconds)
            if asked_at - self._seen_at < lasts:
                return False
        asked_at = self._clock()
        try:
            if found is None:
                await self._cluster.create("leases", self._namespace, self._record({}, {}))
            else:
                await self._cluster.replace("leases", self._namespace, self.name, self._record(found["metadata"], spec))
        except ApiError as error:
            if error.status in {_CONFLICT, _NOT_FOUND}:
                return self.is_held  # another was faster, or our own answer got lost: the next attempt tells
            raise
        # A third of the time stands between our end and another's beginning.
        self._held_until = asked_at + self._duration_seconds * 2 / 3
        return True

    async def give_back(self) -> None:
        """Let another have it at once; where that cannot be said, it has it a little later."""
        if not self.is_held:
            return
        self._held_until = float("-inf")
        try:
            found = await self._cluster.get("leases", self._namespace, self.name)
            if found is not None and (found.get("spec") or {}).get("holderIdentity") == self.identity:
                spec = {**found["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
                body = {**_head(self.name, found["metadata"]), "spec": spec}
                await self._cluster.replace("leases", self._namespace, self.name, body)
        except ApiError as error:
            logger.info("the Lease %s is not given back: %s", self.name, error)

    async def until_held(self) -> None:
        """Wait until we are the one."""
        while not self.is_held:
            self._changed.clear()
            await self._changed.wait()

    def _tell(self) -> None:
        if self.is_held != self._was_held:
            self._was_held = self.is_held
            logger.info("%s the Lease %s", "holds" if self._was_held else "does not hold", self.name)
        if self.is_held:
            self._changed.set()

    def _record(self, metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        is_ours = spec.get("holderIdentity") == self.identity
        renewed = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self._duration_seconds,
            "acquireTime": spec.get("acquireTime", moment) if is_ours else moment,
            "renewTime": moment,
            "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (0 if is_ours or not spec else 1),
        }
        return {**_head(self.name, metadata), "spec": renewed}


def _head(name: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: metadata[key] for key in ("uid", "resourceVersion", "labels", "annotations") if key in metadata}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, **kept}}
