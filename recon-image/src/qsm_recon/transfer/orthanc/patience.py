"""How long to wait for an answer, and how often to ask again."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from threading import Event
from typing import TypeVar

from qsm_recon.transfer.orthanc.failures import OrthancDownError

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """Times in seconds. The defaults bear answers after half a minute and a restart of Orthanc."""

    connect_s: float = 10.0
    silence_s: float = 60.0
    """Between two pieces of an answer, and before the first."""
    whole_s: float = 600.0
    """One answer, from question to last byte: a server that drips is given up, too."""
    tries: int = 6
    pause_s: float = 0.5
    """Before the second try; doubled before each further one, up to a half more or less at random."""
    give_up_s: float = 120.0
    """No further try after that."""


PATIENCE = Patience()


def again(patience: Patience, ask: Callable[[], T], stop: Event | None = None) -> T:
    """What `ask` returns, asked again where the server is down, at most `patience.tries` times.

    Parameters
    ----------
    patience
        How often, and with which pauses.
    ask
        Harmless when done twice.
    stop
        Set by another thread when nobody wants the answer any more.

    Raises
    ------
    OrthancDownError
        It stayed down.
    """
    started = time.monotonic()
    stop = stop or Event()
    for number in count(1):
        try:
            return ask()
        except OrthancDownError:
            pause = patience.pause_s * 2 ** (number - 1) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter, no secret
            late = time.monotonic() - started + pause > patience.give_up_s
            if number >= patience.tries or late or stop.wait(pause):
                raise
    raise AssertionError  # `count` does not end
