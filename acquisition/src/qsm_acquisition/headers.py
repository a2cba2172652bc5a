"""One DICOM header -> what it says about each of its images, vendor dialect resolved.

Classic objects hold one image; enhanced objects hold one per frame, with attributes in functional groups
(PS3.3 C.7.6.16), the frame's own group before the shared one. What is missing or illegal is noted as a `Fault`,
for the rules to judge together with everything else that is known of the series.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from pydicom.dataset import Dataset

from qsm_acquisition.elements import first_item, has, items, number, numbers, private_values, text, texts
from qsm_acquisition.frames import Component, Rescale, Vendor
from qsm_acquisition.geometry import Vector, is_orientation
from qsm_acquisition.pixel_place import PixelPlace, noted
from qsm_acquisition.refusals import Reason
from qsm_acquisition.scanners import scanner_of
from qsm_acquisition.vendors import VendorDialect, dialect_of
from qsm_acquisition.vendors.dialect import LETTERS

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
ENHANCED_MR_COLOR = "1.2.840.10008.5.1.4.1.1.4.3"
LEGACY_CONVERTED_MR = "1.2.840.10008.5.1.4.1.1.4.4"
MR_CLASSES = frozenset({MR_IMAGE, ENHANCED_MR, ENHANCED_MR_COLOR, LEGACY_CONVERTED_MR})
_ENHANCED = MR_CLASSES - {MR_IMAGE}
_FIELD_MAP_WORDS = frozenset({"FIELD_MAP", "FIELD MAP", "FIELDMAP", "B0 MAP", "B0_MAP", "B0MAP", "B0"})


class Dimension(StrEnum):
    """2D or 3D excitation, MRAcquisitionType."""

    TWO = "2D"
    THREE = "3D"
    UNKNOWN = ""


@dataclass(frozen=True, order=True)
class Fault:
    """A required attribute that is missing or illegal, by keyword (never by value)."""

    reason: Reason
    attribute: str


@dataclass(frozen=True)
class Image:
    """One image or frame. Where `faults` names an attribute, its field holds a placeholder."""

    source: str
    frame_index: int | None
    image_type: tuple[str, ...]
    component: Component | None
    is_field_map: bool
    """Marked as a scanner-computed field map (by frame type or by unit Hz)."""
    echo_time_ms: float
    echo_number: int | None
    position_mm: Vector
    row_cosines: Vector
    column_cosines: Vector
    pixel_spacing_mm: tuple[float, float]
    rescale: Rescale | None
    real_world_value: Rescale | None
    instance_number: int | None
    temporal_position: int | None
    acquisition_time_s: float | None
    """Seconds since midnight, to tell acquisitions apart."""
    coil: str
    smallest_value: float | None
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class Instance:
    """One DICOM object, by header."""

    source: str
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    frame_of_reference_uid: str
    dialect: VendorDialect
    image_type: tuple[str, ...]
    rows: int
    columns: int
    bits_stored: int
    pixel_representation: int
    acquisition_number: int | None
    center_frequency_hz: float | None
    field_strength_t: float | None
    dimension: Dimension
    software_versions: str
    scanner: str
    images: tuple[Image, ...]
    pixel_place: PixelPlace | None
    faults: tuple[Fault, ...]
    header: Dataset
    """For the rules that look at one more attribute; its values must not reach a message."""


def describe(source: str, header: Dataset) -> Instance:
    """What one header says. Never raises on any content."""
    sop_class = text(header, "SOPClassUID")
    dialect = dialect_of(text(header, "Manufacturer"))
    faults: list[Fault] = []
    is_mr = sop_class in MR_CLASSES
    images: tuple[Image, ...] = ()
    if is_mr:
        if not has(header, "Manufacturer"):
            faults.append(Fault(Reason.MISSING_ATTRIBUTE, "Manufacturer"))
        images = (
            _frames(source, header, dialect, faults) if sop_class in _ENHANCED else (_classic(source, header, dialect),)
        )
    identity = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
    faults.extend(Fault(Reason.MISSING_ATTRIBUTE, keyword) for keyword in identity if not has(header, keyword))
    return Instance(
        source=source,
        sop_class_uid=sop_class,
        sop_instance_uid=text(header, "SOPInstanceUID"),
        study_instance_uid=text(header, "StudyInstanceUID"),
        series_instance_uid=text(header, "SeriesInstanceUID"),
        frame_of_reference_uid=text(header, "FrameOfReferenceUID"),
        dialect=dialect,
        image_type=texts(header, "ImageType"),
        rows=_size(header, "Rows", faults if is_mr else []),
        columns=_size(header, "Columns", faults if is_mr else []),
        bits_stored=_integer(header, "BitsStored") or 16,
        pixel_representation=_integer(header, "PixelRepresentation") or 0,
        acquisition_number=_integer(header, "AcquisitionNumber"),
        center_frequency_hz=_center_frequency_hz(header, dialect, faults) if is_mr else None,
        field_strength_t=_field_strength_t(header, faults) if is_mr else None,
        dimension=_dimension(header),
        software_versions=" ".join(
            part for part in (text(header, "ManufacturerModelName"), text(header, "SoftwareVersions")) if part
        ),
        scanner=scanner_of(
            dialect.vendor,
            text(header, "ManufacturerModelName"),
            text(header, "DeviceSerialNumber") or text(header, "StationName"),
        ),
        images=images,
        pixel_place=noted(header),
        faults=tuple(faults),
        header=header,
    )


def _classic(source: str, header: Dataset, dialect: VendorDialect) -> Image:
    return _image(source, None, (header,), header, dialect)


def _frames(source: str, header: Dataset, dialect: VendorDialect, faults: list[Fault]) -> tuple[Image, ...]:
    groups = items(header, "PerFrameFunctionalGroupsSequence")
    if not groups:
        faults.append(Fault(Reason.MISSING_ATTRIBUTE, "PerFrameFunctionalGroupsSequence"))
        return ()
    count = number(header, "NumberOfFrames")
    if count is not None and int(count) != len(groups):
        faults.append(Fault(Reason.INVALID_ATTRIBUTE, "NumberOfFrames"))
    shared = first_item(header, "SharedFunctionalGroupsSequence") or Dataset()
    shared_places = {macro: first_item(shared, macro) for macro in _MACROS}
    images = []
    for index, group in enumerate(groups):
        places = [place for macro in _MACROS if (place := first_item(group, macro) or shared_places[macro]) is not None]
        images.append(_image(source, index, (*places, header), header, dialect))
    return tuple(images)


_MACROS = (
    "MREchoSequence",
    "MRImageFrameTypeSequence",
    "FrameContentSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
    "RealWorldValueMappingSequence",
    "MRReceiveCoilSequence",
    "MRTimingAndRelatedParametersSequence",
)


def _image(
    source: str, frame_index: int | None, places: tuple[Dataset, ...], header: Dataset, dialect: VendorDialect
) -> Image:
    """One image; `places` are searched in order (functional groups first, then the whole header)."""

    def place(keyword: str) -> Dataset:
        for candidate in places:
            if has(candidate, keyword):
                return candidate
        return places[-1]

    faults: list[Fault] = []
    enhanced = frame_index is not None
    echo_keyword = (
        "EffectiveEchoTime" if enhanced and has(place("EffectiveEchoTime"), "EffectiveEchoTime") else "EchoTime"
    )
    type_keyword = "FrameType" if enhanced and has(place("FrameType"), "FrameType") else "ImageType"
    temporal_keyword = "TemporalPositionIndex" if enhanced else "TemporalPositionIdentifier"
    image_type = texts(place(type_keyword), type_keyword)
    rescale = _rescale(place("RescaleSlope"), faults)
    real_world_value = _real_world_value(places, header, faults)
    is_field_map = bool(_FIELD_MAP_WORDS & set(image_type)) or any(
        mapping is not None and mapping.unit.strip().upper() == "HZ" for mapping in (rescale, real_world_value)
    )
    position = _vector(place("ImagePositionPatient"), "ImagePositionPatient", 3, faults)
    orientation = _vector(place("ImageOrientationPatient"), "ImageOrientationPatient", 6, faults)
    row, column = orientation[:3], orientation[3:]
    if all(math.isfinite(cosine) for cosine in orientation) and not is_orientation(_triple(row), _triple(column)):
        faults.append(Fault(Reason.INVALID_ATTRIBUTE, "ImageOrientationPatient"))
    spacing = _vector(place("PixelSpacing"), "PixelSpacing", 2, faults)
    if any(value <= 0 for value in spacing):
        faults.append(Fault(Reason.INVALID_ATTRIBUTE, "PixelSpacing"))
    echo_time = _vector(place(echo_keyword), echo_keyword, 1, faults)[0]
    if echo_time <= 0 and not is_field_map:
        faults.append(Fault(Reason.INVALID_ATTRIBUTE, echo_keyword))
    return Image(
        source=source,
        frame_index=frame_index,
        image_type=image_type,
        component=_component(place("ComplexImageComponent"), header, image_type, dialect),
        is_field_map=is_field_map,
        echo_time_ms=echo_time,
        echo_number=_integer(header, "EchoNumbers"),
        position_mm=_triple(position),
        row_cosines=_triple(row),
        column_cosines=_triple(column),
        pixel_spacing_mm=(spacing[0], spacing[1]),
        rescale=rescale,
        real_world_value=real_world_value,
        instance_number=_integer(header, "InstanceNumber"),
        temporal_position=_integer(place(temporal_keyword), temporal_keyword),
        acquisition_time_s=_acquisition_time_s(places, header),
        coil=_coil(places, header, dialect),
        smallest_value=number(header, "SmallestImagePixelValue"),
        faults=tuple(faults),
    )


def _component(
    place: Dataset, header: Dataset, image_type: tuple[str, ...], dialect: VendorDialect
) -> Component | None:
    stated = texts(place, "ComplexImageComponent")
    if stated and stated[0] in LETTERS:
        return LETTERS[stated[0]]
    return dialect.component(header, image_type)


def _triple(values: tuple[float, ...]) -> Vector:
    return (values[0], values[1], values[2])


def _vector(place: Dataset, keyword: str, length: int, faults: list[Fault]) -> tuple[float, ...]:
    """Exactly `length` finite numbers, or a noted fault and NaN."""
    found = numbers(place, keyword)
    if len(found) == length and all(math.isfinite(value) for value in found):
        return found
    faults.append(Fault(Reason.INVALID_ATTRIBUTE if found else Reason.MISSING_ATTRIBUTE, keyword))
    return (math.nan,) * length


def _size(header: Dataset, keyword: str, faults: list[Fault]) -> int:
    value = number(header, keyword)
    if value is None or value < 1 or value != int(value):
        reason = Reason.INVALID_ATTRIBUTE if has(header, keyword) else Reason.MISSING_ATTRIBUTE
        faults.append(Fault(reason, keyword))
        return 0
    return int(value)


def _integer(place: Dataset, keyword: str) -> int | None:
    value = number(place, keyword)
    return None if value is None else int(value)


def _rescale(place: Dataset, faults: list[Fault]) -> Rescale | None:
    slope, intercept = (_stated(place, keyword, faults) for keyword in ("RescaleSlope", "RescaleIntercept"))
    if slope is None or intercept is None:
        return None
    return Rescale(slope, intercept, text(place, "RescaleType"))


def _stated(place: Dataset, keyword: str, faults: list[Fault]) -> float | None:
    """A number that may be absent; illegal is not absent: without it the pixels would pass for unscaled."""
    value = number(place, keyword)
    if value is None and has(place, keyword):
        faults.append(Fault(Reason.INVALID_ATTRIBUTE, keyword))
    return value


def _real_world_value(places: tuple[Dataset, ...], header: Dataset, faults: list[Fault]) -> Rescale | None:
    """The first linear real-world mapping of the frame, else of the object (PS3.3 C.7.6.16.2.11)."""
    mapping = next((place for place in places[:-1] if has(place, "RealWorldValueSlope")), None)
    if mapping is None:
        mapping = first_item(header, "RealWorldValueMappingSequence")
    if mapping is None:
        return None
    slope, intercept = (
        _stated(mapping, keyword, faults) for keyword in ("RealWorldValueSlope", "RealWorldValueIntercept")
    )
    if slope is None or intercept is None:
        return None
    units = first_item(mapping, "MeasurementUnitsCodeSequence")
    return Rescale(slope, intercept, "" if units is None else text(units, "CodeValue"))


def _acquisition_time_s(places: tuple[Dataset, ...], header: Dataset) -> float | None:
    for place in places:
        moment = text(place, "FrameAcquisitionDateTime")
        if moment:
            return _seconds(moment[8:])
    clock = text(header, "AcquisitionTime")
    return _seconds(clock) if clock else _seconds(text(header, "AcquisitionDateTime")[8:])


def _seconds(clock: str) -> float | None:
    """Seconds since midnight of a DICOM time HHMMSS.FFFFFF; None where it is none."""
    digits = clock.replace(":", "")
    if len(digits) < 6 or not digits[:6].isdigit() or not digits.isascii():
        return None
    fraction = digits[6:].split("+")[0].split("-")[0]
    if fraction and not (fraction[0] == "." and fraction[1:].isdigit()):
        return None
    return int(digits[:2]) * 3600 + int(digits[2:4]) * 60 + int(digits[4:6]) + float(f"0{fraction or '.0'}")


def _coil(places: tuple[Dataset, ...], header: Dataset, dialect: VendorDialect) -> str:
    """Name of the receive coil (element), to recognise coil-by-coil images; never shown."""
    if dialect.vendor is Vendor.SIEMENS:
        found = private_values(header, 0x0051, "SIEMENS MR HEADER", 0x0F)
        if found:
            return str(found[0])
    for place in places:
        name = text(place, "ReceiveCoilName")
        elements = [text(item, "MultiCoilElementName") for item in items(place, "MultiCoilDefinitionSequence")]
        if name or elements:
            return "\\".join((name, *elements))
    return ""


def _dimension(header: Dataset) -> Dimension:
    stated = text(header, "MRAcquisitionType").upper()
    return Dimension(stated) if stated in ("2D", "3D") else Dimension.UNKNOWN


def _center_frequency_hz(header: Dataset, dialect: VendorDialect, faults: list[Fault]) -> float | None:
    places = [header]
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        group = first_item(header, groups)
        modifier = first_item(group, "MRImagingModifierSequence") if group is not None else None
        if modifier is not None:
            places.append(modifier)
    for place in places:
        for keyword in ("ImagingFrequency", "TransmitterFrequency"):
            if not has(place, keyword):
                continue
            value = number(place, keyword)
            if value is None or value <= 0:
                faults.append(Fault(Reason.INVALID_ATTRIBUTE, keyword))
                return None
            # No magnet reaches 10 GHz, so a number above 1e4 cannot be MHz.
            return value if dialect.frequency_may_be_hz and value > 1e4 else value * 1e6
    return None


def _field_strength_t(header: Dataset, faults: list[Fault]) -> float | None:
    if not has(header, "MagneticFieldStrength"):
        return None
    value = number(header, "MagneticFieldStrength")
    if value is None or value <= 0:
        faults.append(Fault(Reason.INVALID_ATTRIBUTE, "MagneticFieldStrength"))
        return None
    # Some headers give gauss: 15000, 30000.
    return value / 1e4 if value > 100 else value
