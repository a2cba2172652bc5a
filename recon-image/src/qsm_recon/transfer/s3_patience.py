"""How long to wait for an object store. Apart from the door, so that naming it loads no client."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """How long to wait for a store."""

    connect_s: float
    read_s: float
    """Without a byte from the server."""
    tries: int
    total_s: float
    """After this no further try begins."""
    first_pause_s: float = 0.25
    longest_pause_s: float = 8.0


PATIENT = Patience(connect_s=5, read_s=30, tries=6, total_s=120)
"""Where the work depends on it."""
BRISK = Patience(connect_s=3, read_s=10, tries=3, total_s=20)
"""Where the work can go on without."""
