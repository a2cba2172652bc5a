"""What kopf watches, handed to the operator at work. No judgement here, and nothing written by kopf: events only."""

import random
from collections.abc import Iterator
from typing import Any

import kopf

from qsm_operator.credentials import Credentials
from qsm_operator.operating import Operating
from qsm_operator.resources import GROUP, JOB_LABEL, VERSION


class Forever:
    """Pauses between tries that never end: short at first, then about two seconds each."""

    def __iter__(self) -> Iterator[float]:
        pause = 0.2
        while True:
            yield pause * (1 - 0.3 * random.random())  # noqa: S311 - jitter, no secret
            pause = min(2.0, 2 * pause)


def make_registry(work: Operating, credentials: Credentials) -> kopf.OperatorRegistry:
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
        async def told(event: Any, **_: Any) -> None:
            work.told(kind, event.get("type"), event["object"])

    listen("qsmjobs", GROUP, VERSION, "qsmjobs")
    listen("qsmpipelines", GROUP, VERSION, "qsmpipelines")
    listen("jobs", "batch", "v1", "jobs")
    listen("pods", "", "v1", "pods")
    return registry


def make_settings() -> kopf.OperatorSettings:
    """How kopf is to behave: watch, and nothing else."""
    settings = kopf.OperatorSettings()
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
