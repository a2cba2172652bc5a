"""Why a series cannot be reconstructed: the closed list, in words a technologist understands.

A refusal is a conclusion, not a failure of this program: the headers say that a correct susceptibility map
cannot be made. The reason code is the same word in the exit report, in Kubernetes conditions and in metrics.
Messages name echo, slice, component or DICOM tag; they never carry a header *value* that could identify a
patient (names, ids, dates, descriptions).
"""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Closed list of reasons; `docs/contract.md` tells each one's meaning and what to do about it."""

    NO_IMAGES = "NoImages"
    NOT_AN_IMAGE = "NotAnImage"
    UNREADABLE = "Unreadable"
    NOT_GRADIENT_ECHO = "NotGradientEcho"
    DERIVED = "Derived"
    OWN_RESULT = "OwnResult"
    LOCALIZER = "Localizer"
    FILTERED_PHASE = "FilteredPhase"
    PHASE_DIFFERENCE_ONLY = "PhaseDifferenceOnly"
    FIELD_MAP_NOT_PHASE = "FieldMapNotPhase"
    NO_PHASE = "NoPhase"
    NO_MAGNITUDE = "NoMagnitude"
    INCOMPLETE_COMPLEX = "IncompleteComplex"
    TOO_FEW_ECHOES = "TooFewEchoes"
    TOO_FEW_SLICES = "TooFewSlices"
    INCOMPLETE = "Incomplete"
    AMBIGUOUS_IMAGES = "AmbiguousImages"
    AMBIGUOUS_PAIR = "AmbiguousPair"
    UNCOMBINED_COILS = "UncombinedCoils"
    INCONSISTENT_GEOMETRY = "InconsistentGeometry"
    MISSING_ATTRIBUTE = "MissingAttribute"
    INVALID_ATTRIBUTE = "InvalidAttribute"
    LOSSY_COMPRESSION = "LossyCompression"
    PHASE_SCALING_UNKNOWN = "PhaseScaleUnknown"
    VENDOR_UNSUPPORTED = "VendorUnsupported"


@dataclass(frozen=True)
class Refusal:
    """One group of images that cannot be used, and why."""

    reason: Reason
    """Closed reason code."""
    message: str
    """One sentence: what is wrong, named by echo, slice, component or tag, and what to do."""
    series_instance_uids: tuple[str, ...] = ()
    """Series concerned, sorted; empty for single files that are no DICOM."""
    instance_count: int = 0
    """Number of instances (files) concerned."""
    sources: tuple[str, ...] = ()
    """The caller's names of those instances, sorted; a path may hold a name, so this is not for messages."""
    scanner: str = ""
    """Name of the device for statistics, where the images say it."""
