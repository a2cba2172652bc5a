"""How long a destination may take to receive, and to say that it did."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Haste:
    """How long a destination may take, in seconds."""

    poll_s: float = 0.5
    stalled_s: float = 120.0
    """Without any progress: it hangs."""
    whole_s: float = 3600.0
    tries: int = 3
    """Of one attempt; later attempts are the operator's."""
    pause_s: float = 5.0
    """Before the second try; doubled, and up to a half more or less at random."""
    count_s: float = 30.0
    """Until everything sent must be found by asking the receiver."""
    commitment_s: float = 60.0
    """Until the receiver's report about storage commitment must have come."""


HASTE = Haste()
