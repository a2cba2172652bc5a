"""Kubernetes Events, posted beside the work: nobody waits for them, and there is an end to how many wait."""

import asyncio
import contextlib
import logging
from datetime import datetime

from qsm_operator.cluster.asking import ApiError
from qsm_operator.cluster.door import Cluster
from qsm_operator.lifecycle.decisions import Event
from qsm_operator.metrics import Metrics
from qsm_operator.resources.custom import QSMJob

logger = logging.getLogger(__name__)

_MOST_WAITING = 2000
"""More than that and the API server is away or overrun; the oldest are let go then. The status says it all anyway."""
_POSTERS = 3


class Telling:
    """A line of Events and those who post them."""

    def __init__(self, cluster: Cluster, metrics: Metrics) -> None:
        self._cluster, self._metrics = cluster, metrics
        self._line: asyncio.Queue[tuple[QSMJob, Event, datetime]] = asyncio.Queue(_MOST_WAITING)
        self._posters: list[asyncio.Task[None]] = []

    def tell(self, job: QSMJob, event: Event, now: datetime) -> None:
        """Post it soon."""
        if self._line.full():
            self._line.get_nowait()
            self._line.task_done()
            self._metrics.events_dropped.labels("Overrun").inc()
        self._line.put_nowait((job, event, now))

    def start(self) -> None:
        """Begin to post."""
        self._posters = [asyncio.create_task(self._post()) for _ in range(_POSTERS)]

    async def stop(self, seconds: float) -> None:
        """Post what waits, as far as that is possible in the time."""
        if self._posters:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._line.join(), seconds)
        for poster in self._posters:
            poster.cancel()
        await asyncio.gather(*self._posters, return_exceptions=True)

    async def _post(self) -> None:
        while True:
            job, event, now = await self._line.get()
            try:
                await self._cluster.tell(job, event, now)
            except ApiError as error:
                self._metrics.events_dropped.labels("Refused").inc()
                logger.warning("an Event was not posted: %s", error)
            finally:
                self._line.task_done()
