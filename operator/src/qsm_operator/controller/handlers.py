"""What kopf watches, handed to the operator at work. No judgement here, and nothing written by kopf: events only.

kopf has a thread and an event loop of its own. At its end it cancels every task of its loop that it finds, ours
among them; and where it gives up, on an error it does not know, it is started again and the work goes on meanwhile.
"""

import asyncio
import contextlib
import logging
import random
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import kopf

from qsm_operator.cluster.credentials import Credentials
from qsm_operator.resources.custom import GROUP, JOB_LABEL, VERSION

logger = logging.getLogger(__name__)

_AGAIN_SECONDS = 1.0


class Forever:
    """Pauses between tries that never end: short at first, then about two seconds each."""

    def __iter__(self) -> Iterator[float]:
        pause = 0.2
        while True:
            yield pause * (1 - 0.3 * random.random())  # noqa: S311 - jitter, no secret
            pause = min(2.0, 2 * pause)


Told = Callable[[str, str | None, Mapping[str, Any]], None]
"""Takes a kind, what happened (None in a first list) and the object."""


class Watching:
    """kopf's watches, in their thread."""

    def __init__(self, told: Told, credentials: Credentials, namespaces: tuple[str, ...]) -> None:
        self._told, self._credentials, self._namespaces = told, credentials, namespaces
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; `told` is called in the event loop that runs now."""
        loop = asyncio.get_running_loop()
        # A daemon: should kopf not come to an end, the program does all the same.
        self._thread = threading.Thread(target=self._run, args=(loop,), name="kopf", daemon=True)
        self._thread.start()

    async def stop(self, seconds: float) -> None:
        """End it, or leave it behind."""
        self._stop.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, seconds)

    def is_running(self) -> bool:
        """Whether its thread is there."""
        return self._thread is not None and self._thread.is_alive()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        def told(kind: str, type_: str | None, body: Mapping[str, Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: we end, and nobody wants to know any more
                loop.call_soon_threadsafe(self._told, kind, type_, body)

        while not self._stop.is_set():
            try:
                asyncio.run(
                    kopf.operator(
                        # kopf would ask for the user's name, and the user of a container need not have one.
                        identity=socket.gethostname(),  # type: ignore[arg-type]  # kopf hides its name for a string
                        registry=make_registry(told, self._credentials),
                        settings=make_settings(),
                        standalone=True,
                        clusterwide=not self._namespaces,
                        namespaces=self._namespaces,
                        stop_flag=self._stop,
                    )
                )
            except Exception as error:  # noqa: BLE001 - whatever ended the watches, there must be watches
                logger.warning("the watches ended and begin anew: %s", type(error).__name__)
            self._stop.wait(_AGAIN_SECONDS)


def make_registry(told: Told, credentials: Credentials) -> kopf.OperatorRegistry:
    """The handlers of one operator."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def login(**_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(
            server=credentials.server,
            ca_path=credentials.ca_file,
            certificate_path=credentials.certificate_file,
            private_key_path=credentials.key_file,
            token=credentials.token(),
            insecure=credentials.is_insecure,
        )

    def listen(kind: str, *resource: str) -> None:
        @kopf.on.event(*resource, registry=registry, id=f"told-{kind}")
        async def hear(event: Any, **_: Any) -> None:
            # The object as it came, not kopf's view of it: it is kept beyond this call.
            told(kind, event.get("type"), event["object"])

    listen("qsmjobs", GROUP, VERSION, "qsmjobs")
    listen("qsmpipelines", GROUP, VERSION, "qsmpipelines")
    listen("jobs", "batch", "v1", "jobs")
    listen("pods", "", "v1", "pods")
    return registry


def make_settings() -> kopf.OperatorSettings:
    """How kopf is to behave: watch, and nothing else."""
    settings = kopf.OperatorSettings()
    settings.process.ultimate_exiting_timeout = None  # it would kill the whole program
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    # kopf's own pauses grow to 21 s, and after the last of them an error ends the program. So its return
    # is noticed within two seconds, however long the API server was away.
    settings.networking.error_backoffs = Forever()
    settings.watching.server_timeout = 600
    settings.watching.client_timeout = 660
    settings.watching.chunk_size = 500
    # Whoever handles an object's events keeps its last one until it ends: of 10,000 objects that is much memory.
    settings.queueing.idle_timeout = 0.2
    settings.watching.label_selectors["batch", "v1", "jobs"] = JOB_LABEL
    settings.watching.label_selectors["", "v1", "pods"] = JOB_LABEL
    return settings
