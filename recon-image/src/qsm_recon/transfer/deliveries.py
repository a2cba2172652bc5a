"""How far a result came on its way to one destination (docs/contract.md, the termination message)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from qsm_recon.errors import ReconError, TransientError

MAX_MESSAGE = 160
"""Characters; eight destinations must fit a termination message."""


class State(StrEnum):
    """What became of it."""

    DELIVERED = "Delivered"
    PENDING = "Pending"
    """Trying again later can help."""
    FAILED = "Failed"


class Commitment(StrEnum):
    """What the receiver said to the request for storage commitment."""

    CONFIRMED = "Confirmed"
    NOT_SUPPORTED = "NotSupported"
    FAILED = "Failed"


@dataclass(frozen=True)
class Delivery:
    """One destination."""

    destination: str
    state: State
    instances: int = 0
    """Known to have arrived."""
    commitment: Commitment | None = None
    reason: str = ""
    message: str = ""
    sent: bool = False
    """Everything was sent; only the receiver's word for it is missing."""

    def as_dict(self) -> dict[str, Any]:
        """As the contract has it: what does not apply is left out."""
        told: dict[str, Any] = {"destination": self.destination, "state": str(self.state), "instances": self.instances}
        if self.commitment is not None:
            told["commitment"] = str(self.commitment)
        if self.reason:
            told["reason"] = self.reason
        if self.message:
            told["message"] = self.message[:MAX_MESSAGE]
        return told


def not_delivered(destination: str, error: ReconError) -> Delivery:
    """What an error means for the destination: what can pass is pending."""
    state = State.PENDING if error.exit_code == TransientError.exit_code else State.FAILED
    return Delivery(destination, state, reason=error.reason, message=error.message)


class DeliveryError(ReconError):
    """The results exist, but not everywhere they should."""

    exit_code = 65

    def __init__(self, deliveries: list[Delivery]) -> None:
        waiting = any(one.state is State.PENDING for one in deliveries)
        open_ones = [one for one in deliveries if one.state is not State.DELIVERED]
        told = "; ".join(f"{one.destination}: {one.reason}: {one.message[:MAX_MESSAGE]}" for one in open_ones)
        if waiting:
            super().__init__("DeliveryPending", f"not delivered everywhere yet; try again later: {told}")
            self.exit_code = TransientError.exit_code
        else:
            super().__init__("DeliveryFailed", f"not delivered everywhere, for good: {told}")
