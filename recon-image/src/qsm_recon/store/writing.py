"""Writing while the next stage computes: one stage after the other, and no more waiting bytes than a limit."""

import threading
from collections import deque
from collections.abc import Callable

from qsm_recon.errors import ReconError

WAITING_BYTES = 192 << 20
"""Volumes that wait keep their memory; beyond this the run waits for the store instead."""


class Writer:
    """Runs jobs in the background, in order of arrival; remembers the first failure, after which it drops the rest."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: deque[tuple[int, Callable[[], None]]] = deque()
        self._waiting_bytes = 0
        self._is_running = False
        self._closed = False
        self._failure: BaseException | None = None
        # A daemon: a run that is stopped by a signal ends without waiting for a slow store.
        threading.Thread(target=self._work, name="store-write", daemon=True).start()

    @property
    def failure(self) -> BaseException | None:
        """What went wrong first."""
        with self._changed:
            return self._failure

    def add(self, size: int, job: Callable[[], None]) -> None:
        """Hand over a job that holds `size` bytes; waits while too much is waiting."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._failure or not self._waiting_bytes or self._waiting_bytes + size <= WAITING_BYTES
            )
            if self._failure is None:
                self._jobs.append((size, job))
                self._waiting_bytes += size
                self._changed.notify_all()

    def finish(self) -> None:
        """Wait until everything is written or has failed, and end the thread."""
        with self._changed:
            self._changed.wait_for(lambda: self._failure or (not self._jobs and not self._is_running))
            self._closed = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Drop what waits, wait for nothing."""
        with self._changed:
            self._jobs.clear()
            self._closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if not self._jobs:
                    return
                size, job = self._jobs.popleft()
                self._is_running = True
            failure: BaseException | None = None
            try:
                job()
            except ReconError as error:
                failure = error
            except Exception as error:  # noqa: BLE001 - a defect here must end the run, not only this thread
                failure = error
            del job  # its volumes' memory must be free before the next is taken
            with self._changed:
                self._is_running = False
                self._waiting_bytes -= size
                if failure is not None and self._failure is None:
                    self._failure = failure
                    self._waiting_bytes -= sum(waiting for waiting, _ in self._jobs)
                    self._jobs.clear()
                self._changed.notify_all()
