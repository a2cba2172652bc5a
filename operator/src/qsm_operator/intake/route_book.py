"""The QSMRoutes of the namespace as last listed, and what intake says about them in their status."""

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from qsm_operator.cluster.door import ApiError, Cluster
from qsm_operator.resources.times import stamp
from qsm_operator.routes.criteria import RouteError
from qsm_operator.routes.matching import Route

logger = logging.getLogger(__name__)

STATUS_SECONDS = 60.0
"""How often the count in a status is refreshed at most."""


class RouteBook:
    """Routes by connection. What cannot be understood takes nothing, and its status says so."""

    def __init__(self, cluster: Cluster, namespace: str, clock: Callable[[], float]) -> None:
        self._cluster, self._namespace, self._clock = cluster, namespace, clock
        self._routes: dict[str, tuple[Route, ...]] = {}
        self._bodies: dict[str, Mapping[str, Any]] = {}
        self._wrong: dict[str, str] = {}
        self._pipelines: frozenset[str] = frozenset()
        self._matched: dict[str, int] = {}
        self._last_match: dict[str, datetime] = {}
        self._told_at: dict[str, float] = {}
        self.is_known = False

    def of(self, connection: str) -> tuple[Route, ...]:
        """Routes that watch this Orthanc."""
        return self._routes.get(connection, ())

    @property
    def all(self) -> tuple[Route, ...]:
        """Every route that can be understood."""
        return tuple(route for routes in self._routes.values() for route in routes)

    async def refresh(self) -> frozenset[str]:
        """List them; the connections whose routes are other ones now. Raises ApiError."""
        listing = await self._cluster.list("qsmroutes", self._namespace)
        pipelines = await self._cluster.list("qsmpipelines", self._namespace)
        self._pipelines = frozenset(body["metadata"]["name"] for body in pipelines.items)
        found: dict[str, list[Route]] = {}
        self._wrong, self._bodies = {}, {}
        for body in listing.items:
            name = body["metadata"]["name"]
            self._bodies[name] = body
            try:
                route = Route.from_resource(body)
            except RouteError as error:
                self._wrong[name] = str(error)
                continue
            found.setdefault(route.connection, []).append(route)
        before, self._routes = self._routes, {name: tuple(routes) for name, routes in found.items()}
        is_first, self.is_known = not self.is_known, True
        names = {*before, *self._routes}
        return frozenset(name for name in names if is_first or before.get(name) != self._routes.get(name))

    def took(self, routes: Iterable[Route], now: datetime) -> None:
        """These routes took an acquisition that had no job yet."""
        for route in routes:
            self._matched[route.name] = self._matched.get(route.name, 0) + 1
            self._last_match[route.name] = now

    async def tell(self, unreachable: Mapping[str, str], *, leads: bool) -> None:
        """Bring statuses up to date: counts where they changed, a minute apart; conditions from the one that leads."""
        for name, body in self._bodies.items():
            status = body.get("status") or {}
            news: dict[str, Any] = {}
            counted = self._matched.get(name, 0)
            if counted and self._clock() - self._told_at.get(name, float("-inf")) >= STATUS_SECONDS:
                news["matchedCount"] = int(status.get("matchedCount") or 0) + counted
                news["lastMatchTime"] = stamp(self._last_match[name])
            if leads:
                news |= self._condition(name, body, unreachable)
            if not news:
                continue
            try:
                await self._cluster.merge_status("qsmroutes", self._namespace, name, news)
            except ApiError as error:
                logger.warning("status of a QSMRoute is not written: %s", error)
                continue
            if "matchedCount" in news:
                self._told_at[name] = self._clock()
                self._matched[name] -= counted

    def _condition(self, name: str, body: Mapping[str, Any], unreachable: Mapping[str, str]) -> dict[str, Any]:
        reason, message = self._readiness(name, body, unreachable)
        said = body.get("status") or {}
        generation = body["metadata"].get("generation", 0)
        old: Mapping[str, Any] = next((one for one in said.get("conditions") or [] if one.get("type") == "Ready"), {})
        status = "True" if reason == "Ready" else "False"
        if (old.get("status"), old.get("reason"), old.get("message")) == (status, reason, message) and said.get(
            "observedGeneration"
        ) == generation:
            return {}
        since = old.get("lastTransitionTime") if old.get("status") == status else None
        condition = {
            "type": "Ready",
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": since or stamp(datetime.now(UTC)),
            "observedGeneration": generation,
        }
        return {"observedGeneration": generation, "conditions": [condition]}

    def _readiness(self, name: str, body: Mapping[str, Any], unreachable: Mapping[str, str]) -> tuple[str, str]:
        spec = body.get("spec") or {}
        if name in self._wrong:
            return "NotUnderstood", f"The route cannot be understood: {self._wrong[name]}."[:1024]
        if spec.get("paused"):
            return "Paused", "The route is paused; what comes meanwhile is looked at when it is switched on."
        wanted = [str(entry.get("name")) for entry in spec.get("pipelines") or []]
        missing = [pipeline for pipeline in wanted if pipeline not in self._pipelines]
        if missing:
            return "PipelineNotFound", f"QSMPipeline {missing[0]} is not in this namespace; jobs for it will fail."
        connection = spec["source"]["orthanc"]["connectionRef"]["name"]
        if connection in unreachable:
            return "SourceUnreachable", unreachable[connection][:1024]
        return "Ready", "The route is asked about each complete acquisition."
