"""From an acquisition that routes take to the QSMJobs that are there: made once, whoever comes a second time."""

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from qsm_operator.cluster.door import ApiError, Cluster
from qsm_operator.intake.contents import fingerprint
from qsm_operator.intake.examinations import Order, Seen
from qsm_operator.intake.hint_traces import HintTraces
from qsm_operator.intake.marks import CONTENT_NAME, STATE_NAME, Kind, digest, names_in, of_name, read_content
from qsm_operator.intake.route_book import RouteBook
from qsm_operator.intake.settings import IntakeSettings
from qsm_operator.metrics import IntakeMetrics
from qsm_operator.orthanc.answers import SeriesState
from qsm_operator.orthanc.door import Orthanc
from qsm_operator.resources.custom import ACQUISITION_LABEL
from qsm_operator.routes.orders import acquisition_key, dated, linked, traced

logger = logging.getLogger(__name__)

_ALREADY_EXISTS = 409


class Ordering:
    """Makes the QSMJobs of one Orthanc."""

    def __init__(
        self,
        orthanc: Orthanc,
        cluster: Cluster,
        routes: RouteBook,
        settings: IntakeSettings,
        metrics: IntakeMetrics,
        wall_clock: Callable[[], datetime],
        traces: HintTraces,
    ) -> None:
        self.orthanc, self._traces = orthanc, traces
        self._cluster, self._routes, self._settings, self._metrics = cluster, routes, settings, metrics
        self._wall_clock = wall_clock

    async def create(self, order: Order, own: list[Seen]) -> tuple[str, ...]:
        """See to it that the jobs of an order exist; their names. Raises ApiError, OrthancError."""
        key = acquisition_key(self.orthanc.name, order.acquisition.series_instance_uids)
        before = tuple(name for one in own[:1] for name in names_in(self._said(one.state, 0, STATE_NAME)))
        if order.is_revisit and not order.routes:
            return before
        trace = self._traces.begin(self.orthanc.name, order.series_ids)
        manifests = order.jobs(self.orthanc.name, await self._revision(own))
        existing = await self._cluster.list("qsmjobs", self._settings.namespace, selector=f"{ACQUISITION_LABEL}={key}")
        known = {body["metadata"]["name"] for body in existing.items}
        names: list[str] = []
        is_new = False
        for manifest in manifests:
            name = manifest["metadata"]["name"]
            names.append(name)
            if name in known:
                continue
            whole = traced(
                dated(linked(manifest, existing.items), _last_image(own)), trace.traceparent if trace else ""
            )
            if await self._create_one(whole):
                is_new = True
                pipeline = manifest["spec"]["pipelineRef"]["name"]
                self._metrics.jobs_created.labels(pipeline).inc()
                logger.info(
                    "a QSMJob is made for a complete acquisition",
                    extra={
                        "namespace": self._settings.namespace,
                        "qsmjob": name,
                        "pipeline": pipeline,
                        "acquisition": key,
                        "trace": trace.context.trace_id if trace else "",
                    },
                )
        if is_new:
            self._routes.took(order.routes, self._wall_clock())
            self._count_complete(own, order.acquisition.scanner)
            if trace:
                self._traces.end(trace, self.orthanc.name, key, len(names))
        return (*(name for name in before if order.is_revisit and name not in names), *names)

    async def _create_one(self, manifest: Mapping[str, Any]) -> bool:
        try:
            await self._cluster.create("qsmjobs", self._settings.namespace, manifest)
        except ApiError as error:
            if error.status == _ALREADY_EXISTS:
                return False
            raise
        return True

    async def _revision(self, own: list[Seen]) -> str:
        """What tells the content from the one the first job was made for; empty where it is the first, or the same.

        Instances that were overwritten keep their identifiers. Whether they say the same tells the fingerprint that
        was taken after the first time.
        """
        markers = [one.marker for one in own]
        if any(marker is None or marker.kind is not Kind.QUEUED for marker in markers):
            return ""
        if any(marker is not None and marker.ids != one.ids for marker, one in zip(markers, own, strict=True)):
            return ""
        contents: list[str] = []
        is_other = False
        for one in own:
            before = read_content(self._said(one.state, 2, CONTENT_NAME))
            now = before if one.is_unchanged else await fingerprint(self.orthanc, one.state.id, before)
            if before is None or now is None:
                logger.warning("images were stored anew before they were fingerprinted: taken for the same")
                return ""
            is_other = is_other or now.md5 != before.md5
            contents.append(now.md5)
        return digest(contents) if is_other else ""

    def _said(self, state: SeriesState, offset: int, name: str) -> str | None:
        return of_name(state.metadata, self._settings.metadata_number + offset, name)

    def _count_complete(self, own: Iterable[Seen], scanner: str) -> None:
        self._metrics.complete(scanner)
        last_image = _last_image(own)
        if last_image is not None:
            self._metrics.image_to_job.observe(max(0.0, (self._wall_clock() - last_image).total_seconds()))


def _last_image(own: Iterable[Seen]) -> datetime | None:
    return max((one.state.last_update for one in own if one.state.last_update is not None), default=None)
