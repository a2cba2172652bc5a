"""What a receiver itself says of what was sent to it: a count by C-FIND or QIDO, and storage commitment (PS3.4 J)."""

import time
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from qsm_recon.errors import ReconError
from qsm_recon.transfer.deliveries import Commitment
from qsm_recon.transfer.orthanc.door import Door
from qsm_recon.transfer.orthanc.failures import NotThereError, OrthancDownError, UnexpectedAnswerError, shaped
from qsm_recon.transfer.orthanc.haste import Haste
from qsm_recon.transfer.orthanc.series import Series

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
"""SOP class of every result."""

_NO_PRESENTATION_CONTEXT = 2015
_PASSING = frozenset({0x0110, 0x0112, 0x0213})
"""Reasons for which commitment may come later: processing failure, not (yet) there, no resources."""
_PAGE = 1000


@dataclass(frozen=True)
class Receipt:
    """What came of one delivery, as far as the receiver tells."""

    sent: int
    lacking: frozenset[str] = frozenset()
    """SOPInstanceUIDs that the receiver does not have, or does not commit to."""
    commitment: Commitment | None = None
    overdue: bool = False
    """Commitment was asked for and not answered in time."""
    may_pass: bool = True
    """The reasons for refusing commitment may pass."""
    is_counted: bool = True
    """The receiver was asked what it has, and answered."""

    @property
    def arrived(self) -> int:
        """Instances the receiver has, or was sent where it cannot be asked."""
        return self.sent - len(self.lacking)


def wait(door: Door, way: str, receiver: str, series: tuple[Series, ...], haste: Haste) -> Receipt:
    """Ask the receiver until it has everything, or time is up."""
    uids = frozenset(uid for one in series for uid in one.sop_instance_uids)
    lacking = _lacking(door, way, receiver, series, haste)
    counted = Receipt(len(uids), lacking or frozenset(), is_counted=lacking is not None)
    if way != "modality" or not _allows_commitment(_configuration(door, receiver)):
        return counted
    return _committed(door, receiver, uids, counted, haste)


def _lacking(door: Door, way: str, receiver: str, series: tuple[Series, ...], haste: Haste) -> frozenset[str] | None:
    """What the receiver does not find when asked; None where it cannot be asked."""
    lacking = frozenset(uid for one in series for uid in one.sop_instance_uids)
    end = time.monotonic() + haste.count_s
    while True:
        found = [_asked(door, way, receiver, one) for one in series]
        if any(one is None for one in found):
            return None
        left = lacking - frozenset(uid for one in found if one is not None for uid in one)
        if not left or time.monotonic() > end:
            return left
        if len(left) < len(lacking):
            end = time.monotonic() + haste.count_s  # it is still filing them
        lacking = left
        time.sleep(haste.poll_s)


def _asked(door: Door, way: str, receiver: str, series: Series) -> frozenset[str] | None:
    """SOPInstanceUIDs of that series at the receiver; None where it cannot be asked."""
    try:
        study = str(door.get(f"/series/{series.orthanc_id}/study")["MainDicomTags"]["StudyInstanceUID"])
        if way == "modality":
            return _by_c_find(door, receiver, study, series.series_instance_uid)
        if way == "dicomWeb":
            return _by_qido(door, receiver, study, series.series_instance_uid)
    except (NotThereError, OrthancDownError, UnexpectedAnswerError, LookupError, TypeError, AttributeError):
        return None  # it knows no such question, or answers it in a way of its own
    return None  # an Orthanc peer offers no question through the sender


def _by_c_find(door: Door, receiver: str, study: str, series: str) -> frozenset[str] | None:
    if not _configuration(door, receiver).get("AllowFind", True):
        return None
    keys = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": ""}
    query = door.post(
        f"/modalities/{quote(receiver, safe='')}/query", {"Level": "Instance", "Query": keys}, twice=False
    )["ID"]
    try:
        answers = door.get(f"/queries/{query}/answers?expand&simplify")
    finally:
        _forget(door, f"/queries/{query}")
    return frozenset(str(one["SOPInstanceUID"]) for one in answers)


def _by_qido(door: Door, receiver: str, study: str, series: str) -> frozenset[str]:
    found: set[str] = set()
    while True:
        question = {
            "Uri": f"/studies/{study}/series/{series}/instances",
            "HttpHeaders": {"Accept": "application/dicom+json"},
            "Arguments": {"limit": str(_PAGE), "offset": str(len(found))},
        }
        page = door.post(f"/dicom-web/servers/{quote(receiver, safe='')}/get", question, twice=False)
        more = {str(one["00080018"]["Value"][0]) for one in page} - found
        if not more:
            return frozenset(found)
        found |= more


def _committed(door: Door, receiver: str, uids: frozenset[str], counted: Receipt, haste: Haste) -> Receipt:
    """The receipt with what the receiver commits to."""
    instances = [{"SOPClassUID": MR_IMAGE_STORAGE, "SOPInstanceUID": uid} for uid in sorted(uids)]
    try:
        asked = door.post(
            f"/modalities/{quote(receiver, safe='')}/storage-commitment", {"DicomInstances": instances}, twice=False
        )
    except NotThereError:
        return replace(counted, commitment=Commitment.NOT_SUPPORTED)
    except OrthancDownError as error:
        if error.code == _NO_PRESENTATION_CONTEXT:
            return replace(counted, commitment=Commitment.NOT_SUPPORTED)
        return replace(counted, overdue=True)
    with shaped(door.name):
        report = _report(door, str(asked["ID"]), haste)
        if report is None:
            return replace(counted, overdue=True)
        if report["Status"] == "Success":
            return Receipt(counted.sent, commitment=Commitment.CONFIRMED)
        failures = {str(one["SOPInstanceUID"]): int(one["FailureReason"]) for one in report["Failures"]}
        confirmed = {str(one["SOPInstanceUID"]) for one in report["Success"]}
    return Receipt(
        counted.sent,
        (uids - confirmed) | (uids & failures.keys()),
        Commitment.FAILED,
        may_pass=all(reason in _PASSING for reason in failures.values()),
    )


def _report(door: Door, transaction: str, haste: Haste) -> dict[str, Any] | None:
    """The receiver's report, None where it has not come in time (or Orthanc has forgotten it)."""
    end = time.monotonic() + haste.commitment_s
    while True:
        try:
            report = door.get(f"/storage-commitment/{transaction}")
        except NotThereError:
            return None
        if report["Status"] != "Pending":
            return dict(report)
        if time.monotonic() > end:
            return None
        time.sleep(haste.poll_s)


def _configuration(door: Door, receiver: str) -> dict[str, Any]:
    try:
        return dict(door.get(f"/modalities/{quote(receiver, safe='')}/configuration"))
    except (NotThereError, TypeError, ValueError):
        return {}  # an Orthanc that does not tell allows what it has not been told to forbid


def _allows_commitment(configuration: dict[str, Any]) -> bool:
    """Newer servers know the word itself; 1.10 splits it into the two messages commitment is made of."""
    split = configuration.get("AllowNAction", True) and configuration.get("AllowEventReport", True)
    return bool(configuration.get("AllowStorageCommitment", split))


def _forget(door: Door, route: str) -> None:
    try:
        door.delete(route)
    except ReconError:
        return  # Orthanc forgets old queries by itself
