"""Series and instances as Orthanc lists them."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from qsm_recon.errors import InputError, TransientError
from qsm_recon.transfer.orthanc.door import Door
from qsm_recon.transfer.orthanc.failures import NotThereError, shaped


@dataclass(frozen=True)
class Instance:
    """One DICOM file in Orthanc."""

    orthanc_id: str
    sop_instance_uid: str
    size: int
    """Bytes of the file."""


@dataclass(frozen=True)
class Series:
    """One series in Orthanc and all that is in it."""

    orthanc_id: str
    series_instance_uid: str
    instances: tuple[Instance, ...]

    @property
    def sop_instance_uids(self) -> frozenset[str]:
        """What is in it, whatever the order."""
        return frozenset(one.sop_instance_uid for one in self.instances)


def find(door: Door, series_instance_uid: str) -> tuple[Series, ...]:
    """Every series of that UID: none, one, or several where patients share it (a copy with another PatientID).

    Raises
    ------
    ReconError
        See `failures`.
    """
    found = door.post("/tools/lookup", series_instance_uid)
    with shaped(door.name):
        ids = sorted(str(entry["ID"]) for entry in found if entry["Type"] == "Series")
    series = (opened(door, orthanc_id) for orthanc_id in ids)
    return tuple(one for one in series if one is not None and one.series_instance_uid == series_instance_uid)


def opened(door: Door, orthanc_id: str) -> Series | None:
    """The series with that identifier of Orthanc's, None if it is not there."""
    try:
        about = door.get(f"/series/{orthanc_id}")
        listed = door.get(f"/series/{orthanc_id}/instances")
    except NotThereError:
        return None
    with shaped(door.name):
        return Series(
            orthanc_id=orthanc_id,
            series_instance_uid=str(about["MainDicomTags"]["SeriesInstanceUID"]),
            instances=tuple(
                Instance(str(one["ID"]), str(one["MainDicomTags"]["SOPInstanceUID"]), int(one["FileSize"]))
                for one in listed
            ),
        )


def the_one(door: Door, series_instance_uid: str, which: str) -> Series:
    """The only series of that UID; `which` is what messages call it.

    Raises
    ------
    TransientError
        `SeriesMissing`: it is not there (any more, or yet).
    InputError
        `AmbiguousSeries`: several patients share the UID.
    """
    found = find(door, series_instance_uid)
    if not found:
        raise missing(door, which)
    if len(found) > 1:
        raise InputError(
            "AmbiguousSeries",
            f"{which} is in Orthanc {door.name} {len(found)} times, under different patients or studies; "
            "remove the copies that are not meant",
        )
    return found[0]


def missing(door: Door, which: str) -> TransientError:
    """What to say of a series that is not there."""
    return TransientError(
        "SeriesMissing", f"{which} is not in Orthanc {door.name}: it was deleted, or has not arrived yet"
    )


def fingerprint(sop_instance_uids: Iterable[str]) -> str:
    """SHA-256 (hex) over UIDs, sorted, each followed by a line feed (docs/contract.md)."""
    return hashlib.sha256("".join(f"{uid}\n" for uid in sorted(sop_instance_uids)).encode()).hexdigest()
