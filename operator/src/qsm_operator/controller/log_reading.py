"""Looks now and then at the end of running pods' logs, for how far they are: bounded in number, rate and size."""

import asyncio
from collections.abc import Callable

from qsm_operator.cluster.asking import ApiError
from qsm_operator.cluster.door import Cluster
from qsm_operator.controller.store import Store
from qsm_operator.resources.observed import SeenPod
from qsm_operator.resources.progress import Progress, read_progress
from qsm_operator.workqueue import Key, WorkQueue

EVERY_SECONDS = 15.0
"""A pod's log is read no more often."""
_PER_SECOND = 10.0
"""So many logs in all, at most: a thousand pods are each read about every two minutes then."""
_AT_ONCE = 4


class LogReading:
    """What running pods said last."""

    def __init__(self, cluster: Cluster, store: Store, queue: WorkQueue, clock: Callable[[], float]) -> None:
        self._cluster, self._store, self._queue, self._clock = cluster, store, queue, clock
        self._said: dict[str, Progress] = {}
        self._read_at: dict[str, float] = {}

    def progress_of(self, pods: tuple[SeenPod, ...]) -> Progress | None:
        """What the running one of them said last."""
        return next((self._said[pod.uid] for pod in pods if pod.is_live and pod.uid in self._said), None)

    async def run(self) -> None:
        """Read, until cancelled."""
        while True:
            due = self.due()
            for start in range(0, len(due), _AT_ONCE):
                batch = due[start : start + _AT_ONCE]
                began = self._clock()
                await asyncio.gather(*(self.read(key, pod) for key, pod in batch))
                await asyncio.sleep(max(0.0, began + len(batch) / _PER_SECOND - self._clock()))
            await asyncio.sleep(1.0)

    def due(self) -> list[tuple[Key, SeenPod]]:
        """Running pods whose logs have not been read for a while, those longest ago first; the rest is forgotten."""
        running = {pod.uid: (key, pod) for key, pod in self._store.running_pods()}
        self._said = {uid: said for uid, said in self._said.items() if uid in running}
        now = self._clock()
        # A pod that has only just begun has nothing to say; most are read first when they have run for a while.
        self._read_at = {uid: self._read_at.get(uid, now) for uid in running}
        late = [uid for uid in running if self._read_at[uid] + EVERY_SECONDS <= now]
        return [running[uid] for uid in sorted(late, key=lambda uid: self._read_at[uid])]

    async def read(self, key: Key, pod: SeenPod) -> None:
        """Read one; what cannot be read is read again the next time."""
        self._read_at[pod.uid] = self._clock()
        try:
            tail = await self._cluster.log_tail(pod.namespace, pod.name)
        except ApiError:
            return  # its node may be away; progress is a courtesy, and what becomes of the pod is told elsewhere
        said = read_progress(tail)
        if said is not None and said != self._said.get(pod.uid):
            self._said[pod.uid] = said
            self._queue.add(key)
