"""How the science tells how far it is: one callable, given by whoever watches.

The science imports neither logging nor a progress bar. A stage calls `progress(fraction)` with a number from
0 to 1 now and then; the caller may raise from it to cancel (nothing has been written at that point).
"""

from typing import Protocol


class Progress(Protocol):
    """Called with the fraction done of the present stage, 0 to 1, never falling."""

    def __call__(self, fraction: float, /) -> None:
        """Take note of `fraction`."""


def silent(_fraction: float, /) -> None:
    """Nobody watches."""
