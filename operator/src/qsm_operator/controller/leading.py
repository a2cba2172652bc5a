"""A standby: of several operators only the one that holds the Lease works, and it ends the moment it cannot be sure."""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable

from qsm_operator.cluster.leases import Lease

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25


def identity() -> str:
    """A name no other operator has, now or later: a restarted one must wait like everybody else."""
    return f"{socket.gethostname()}_{os.getpid()}_{secrets.token_hex(4)}"


async def lead(lease: Lease, run: Callable[[asyncio.Event], Awaitable[None]], ended: asyncio.Event) -> bool:
    """Wait for the Lease or for `ended`, run while it is held; whether it was lost.

    `run` is given an event that is set when the Lease is lost: it must end then without finishing anything. Writes that
    are on their way do no harm: each names the version it is based on.
    """
    keeper = asyncio.create_task(lease.keep())
    lost = asyncio.Event()
    guard = None
    try:
        logger.info("stands by for the Lease %s", lease.name)
        waits = [asyncio.create_task(lease.until_held()), asyncio.create_task(ended.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in waits:
            task.cancel()
        if not ended.is_set():
            guard = asyncio.create_task(_watch(lease, lost))
            await run(lost)
    finally:
        keeper.cancel()
        if guard is not None:
            guard.cancel()
        await asyncio.gather(keeper, *([guard] if guard else []), return_exceptions=True)
        if not lost.is_set():
            await lease.give_back()
    return lost.is_set()


async def _watch(lease: Lease, lost: asyncio.Event) -> None:
    while lease.is_held:  # noqa: ASYNC110 - time alone ends it, so there is no event to wait for
        await asyncio.sleep(_LOOK_SECONDS)
    logger.error("the Lease %s is lost: another operator may begin, this one ends", lease.name)
    lost.set()
