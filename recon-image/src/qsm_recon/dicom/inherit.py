"""What a result takes over from its source's header: a whitelist, value by value.

A cloned header lies about pixel range, window, echo and UIDs; so nothing is copied that is not named here, and
a value that breaks its own VR (`***` for a date, seen in the wild) is left out rather than passed on.
"""

import warnings
from typing import Any

from pydicom import Dataset, config
from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_VR
from pydicom.multival import MultiValue
from pydicom.valuerep import validate_value

MUST_EXIST = (
    "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID", "PatientName", "PatientID",
    "PatientBirthDate", "PatientSex", "Manufacturer", "PositionReferenceIndicator", "PatientPosition",
)  # fmt: skip
"""Type 2 in the MR Image IOD (PS3.3 A.4): written empty where the source has no legal value."""

MAY_EXIST = (
    "TimezoneOffsetFromUTC", "StudyDescription", "PhysiciansOfRecord", "PatientAge", "PatientSize", "PatientWeight",
    "OtherPatientIDs", "IssuerOfPatientID", "EthnicGroup", "PatientComments", "PatientIdentityRemoved",
    "DeidentificationMethod", "SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime",
    "AcquisitionNumber", "ProtocolName", "BodyPartExamined", "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime", "PerformedProcedureStepID", "PerformedProcedureStepDescription",
    "InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "StationName", "ManufacturerModelName",
    "DeviceSerialNumber", "SoftwareVersions", "PerformingPhysicianName", "OperatorsName",
    "ImagedNucleus", "ReceiveCoilName", "TransmitCoilName", "PixelBandwidth", "SequenceName",
    "InPlanePhaseEncodingDirection", "NumberOfAverages",
)  # fmt: skip
"""Type 3, or of no meaning when empty: copied where the source has a legal, non-empty value."""

IDENTIFYING = frozenset({"PatientName", "PatientID", "AccessionNumber", "StudyID", "IssuerOfPatientID"})
"""Kept exactly as they are, even where too long for their VR: the archive matches the study by them."""

_POSITIONS = frozenset(first + second for first in ("HF", "FF") for second in ("P", "S", "DR", "DL"))
_ENUMERATED = {
    "PatientSex": frozenset({"M", "F", "O"}),
    "PatientIdentityRemoved": frozenset({"YES", "NO"}),
    "InPlanePhaseEncodingDirection": frozenset({"ROW", "COL"}),
    "PatientPosition": _POSITIONS,
}


def inherited(source: Dataset) -> Dataset:
    """Patient, study, frame of reference and equipment as the source states them; text stays as encoded."""
    result = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # illegal values are judged below, one by one
        charset = _charset(source)
        if charset:
            result.SpecificCharacterSet = charset
        for keyword in MUST_EXIST:
            value = legal_value(source, keyword)
            setattr(result, keyword, "" if value is None else value)
        for keyword in MAY_EXIST:
            value = legal_value(source, keyword)
            if value is not None:
                setattr(result, keyword, value)
    if "BodyPartExamined" not in result:
        # Type 2C: a part that is not named might be one of a pair, so the side must be there, if only as unknown.
        result.Laterality = ""
    return result


def legal_value(source: Dataset, keyword: str) -> Any:
    """The source's value, or None where it is absent, empty or breaks its VR."""
    try:
        value = source.get(keyword)
        values = list(value) if isinstance(value, MultiValue) else [value]
        if not values or all(v is None or str(v) == "" for v in values):
            return None
        if keyword in IDENTIFYING:
            return value
        for single in values:
            _validate(keyword, single)
    except (ValueError, TypeError, OverflowError):
        return None
    return value


def _validate(keyword: str, value: Any) -> None:
    vr = dictionary_VR(keyword)
    text = str(value) if vr in ("DS", "IS", "PN", "UI") else value
    validate_value(vr, text, config.RAISE)
    if keyword in _ENUMERATED and value not in _ENUMERATED[keyword]:
        raise ValueError(keyword)


def _charset(source: Dataset) -> Any:
    """The source's character set; UTF-8 where it names one that does not exist (its text was decoded somehow)."""
    charset = source.get("SpecificCharacterSet")
    try:
        terms = list(charset) if isinstance(charset, MultiValue) else [charset or ""]
    except (ValueError, TypeError):
        return "ISO_IR 192"
    return charset if all(term in python_encoding for term in terms) else "ISO_IR 192"
