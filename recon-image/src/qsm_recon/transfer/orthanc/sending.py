"""Orthanc sends results on, as jobs of its own that we watch to their end."""

import random
import re
import time
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from qsm_recon.errors import InputError, TransientError
from qsm_recon.transfer.deliveries import Commitment, Delivery, State
from qsm_recon.transfer.orthanc import receipts
from qsm_recon.transfer.orthanc.door import Door
from qsm_recon.transfer.orthanc.failures import NotThereError, OrthancDownError, shaped
from qsm_recon.transfer.orthanc.haste import Haste
from qsm_recon.transfer.orthanc.receipts import Receipt
from qsm_recon.transfer.orthanc.series import Series

_REFUSALS = frozenset({2, 7, 2015})
"""Orthanc's error codes that no repetition changes: no transfer syntax in common, no such receiver, no presentation
context (the SOP class is not accepted)."""
_DIMSE_STATUS = re.compile(r"DIMSE status 0x([0-9A-Fa-f]{4})")
_DIMSE_REFUSALS = (range(0x0105, 0x0125), range(0xA900, 0xAA00), range(0xC000, 0xD000))
"""C-STORE statuses that no repetition changes (PS3.4 B.2.3, PS3.7 C): not authorised, no such SOP class, data set does
not match, cannot understand. 0xA7xx, out of resources, passes."""


class RefusedError(InputError):
    """The receiver does not take such images."""

    def __init__(self, failure: "_JobFailedError") -> None:
        super().__init__(
            "ReceiverRefuses", f"the receiver does not accept these images ({failure}); it must take MR Image Storage"
        )


@dataclass(frozen=True)
class Way:
    """One kind of receiver: where Orthanc lists and serves it."""

    kind: str
    known: str
    """Route of the list of names."""
    verb: str
    """Below a name: starts a job that sends."""

    def send(self, receiver: str) -> str:
        """Route that starts a job."""
        return f"{self.known}/{quote(receiver, safe='')}/{self.verb}"


WAYS = {
    "modality": Way("modality", "/modalities", "store"),
    "peer": Way("peer", "/peers", "store"),
    "dicomWeb": Way("DICOMweb server", "/dicom-web/servers", "stow"),
}


def send(door: Door, way: str, receiver: str, series: tuple[Series, ...], so_far: Delivery, haste: Haste) -> Delivery:
    """Send these series and see that they arrive.

    Parameters
    ----------
    door
        The Orthanc that sends; it holds the series.
    way, receiver
        Kind of receiver (a key of `WAYS`) and its name in that Orthanc.
    series
        What to send.
    so_far
        How far earlier attempts came: what was sent is not sent again while only its receipt is missing.
    haste
        How long to wait for what.

    Raises
    ------
    ReconError
        `ReceiverUnknown`, `ReceiverRefuses` for good; `ReceiverUnavailable`, `ReceiverHangs` for now; see `failures`.
    """
    check_known(door, way, receiver)
    if not so_far.sent:
        transmit(door, way, receiver, [one.orthanc_id for one in series], haste)
    receipt = receipts.wait(door, way, receiver, series, haste)
    if receipt.lacking and (receipt.arrived or so_far.sent):
        # Once more, those alone: what a receiver lost it may take now.
        ids = [one.orthanc_id for found in series for one in found.instances if one.sop_instance_uid in receipt.lacking]
        transmit(door, way, receiver, ids, haste)
        receipt = receipts.wait(door, way, receiver, series, haste)
    return _received(receipt, so_far.destination)


def check_known(door: Door, way: str, receiver: str) -> None:
    """Raise `ReceiverUnknown` where Orthanc has no such receiver."""
    try:
        names = door.get(WAYS[way].known)
    except NotThereError:
        raise InputError("ReceiverUnknown", f"Orthanc {door.name} has no DICOMweb plug-in; add it") from None
    with shaped(door.name):
        is_known = receiver in list(names)
    if not is_known:
        raise InputError("ReceiverUnknown", f"Orthanc {door.name} has no {WAYS[way].kind} of that name; add it there")


def transmit(door: Door, way: str, receiver: str, resources: list[str], haste: Haste) -> None:
    """One job after the other until one succeeds.

    Raises
    ------
    ReconError
        As `send`.
    """
    for number in range(1, haste.tries + 1):
        try:
            _run_job(door, WAYS[way].send(receiver), resources, haste)
        except _JobFailedError as error:
            if error.is_refusal:
                raise RefusedError(error) from None
            if number == haste.tries:
                raise TransientError(
                    "ReceiverUnavailable",
                    f"the receiver did not take the images in {number} tries ({error}); look at it and at the network",
                ) from None
            jitter = random.uniform(0.5, 1.5)  # noqa: S311 - no secret
            time.sleep(haste.pause_s * 2 ** (number - 1) * jitter)
        else:
            return


class _JobFailedError(Exception):
    """A job of Orthanc's ended in failure; as text: the numbers that tell why."""

    def __init__(self, code: int, dimse_status: int | None = None) -> None:
        told = f"Orthanc's error {code}"
        super().__init__(told if dimse_status is None else f"{told}, DIMSE status {dimse_status:#06x}")
        refused = dimse_status is not None and any(dimse_status in one for one in _DIMSE_REFUSALS)
        self.is_refusal = code in _REFUSALS or refused


def _run_job(door: Door, route: str, resources: list[str], haste: Haste) -> None:
    """Start a job and see it end well; its State alone tells.

    Not permissive: such a job ends in Success, with no failed instance counted, although the receiver refused most.
    """
    started = door.post(route, {"Resources": resources, "Synchronous": False, "Permissive": False}, twice=False)
    with shaped(door.name):
        job = str(started["ID"])
    begun = moved = time.monotonic()
    progress = None
    while True:
        try:
            told = door.get(f"/jobs/{job}")
        except NotThereError:
            # It ended and was forgotten (JobsHistorySize is small), nobody knows how: done again, it does no harm.
            raise _JobFailedError(0) from None
        with shaped(door.name):
            state, code, so_far = told["State"], int(told["ErrorCode"]), told["Progress"]
        now = time.monotonic()
        if state == "Success":
            return
        if state == "Failure":
            raise _JobFailedError(code, _dimse_status(told))
        if so_far != progress:
            progress, moved = so_far, now
        if now - moved > haste.stalled_s or now - begun > haste.whole_s:
            _cancel(door, job)
            raise TransientError("ReceiverHangs", "the receiver takes too long; look at it and at the network")
        time.sleep(haste.poll_s)


def _dimse_status(told: dict[str, Any]) -> int | None:
    """What the receiver answered to C-STORE: newer servers have a field for it, older ones a sentence."""
    field = told.get("DimseErrorStatus")
    if isinstance(field, int):
        return field
    found = _DIMSE_STATUS.search(str(told.get("ErrorDetails", "")))
    return int(found[1], 16) if found else None


def _cancel(door: Door, job: str) -> None:
    try:
        door.post(f"/jobs/{job}/cancel", b"")
    except (NotThereError, OrthancDownError):
        return  # it has ended, or is beyond our reach; the delivery is pending either way


def _received(receipt: Receipt, destination: str) -> Delivery:
    """What a receipt means for the delivery."""
    there = Delivery(destination, State.DELIVERED, receipt.arrived, receipt.commitment, sent=True)
    waiting = replace(there, state=State.PENDING)
    lacking, sent = len(receipt.lacking), receipt.sent
    if receipt.commitment is Commitment.FAILED:
        message = f"the receiver does not commit to {lacking} of {sent} images"
        return replace(waiting if receipt.may_pass else _failed(there), reason="CommitmentFailed", message=message)
    if receipt.overdue:
        message = "no report of storage commitment from the receiver; can it reach Orthanc's DICOM port?"
        return replace(waiting, reason="CommitmentOverdue", message=message)
    if lacking == sent:
        message = "the receiver does not find the images when asked"
        return replace(waiting, reason="NotFoundThere", message=message)
    if lacking:
        message = f"the receiver has {receipt.arrived} of {sent} images"
        return replace(_failed(there), reason="ReceivedFewer", message=message)
    if not receipt.is_counted and receipt.commitment is not Commitment.CONFIRMED:
        return replace(there, message="all were sent without an error, the receiver cannot be asked what it has")
    return there


def _failed(delivery: Delivery) -> Delivery:
    """For good: a later job starts from the beginning."""
    return replace(delivery, state=State.FAILED, sent=False)
