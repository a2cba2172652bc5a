"""One image of a series as its header tells it: classic instance or one frame of an enhanced object.

Everything here comes from the header alone. Lengths are mm, times ms (as in DICOM); conversion to SI happens
once, where an `Acquisition` is made.
"""

from dataclasses import dataclass
from enum import StrEnum

from qsm_acquisition.pixel_place import PixelPlace


class Component(StrEnum):
    """What the stored pixels are, ComplexImageComponent (0008,9208) where the object is enhanced."""

    MAGNITUDE = "magnitude"
    PHASE = "phase"
    REAL = "real"
    IMAGINARY = "imaginary"


class Vendor(StrEnum):
    """Whose dialect the header is written in."""

    SIEMENS = "siemens"
    PHILIPS = "philips"
    GE = "ge"
    UIH = "uih"
    CANON = "canon"
    HITACHI = "hitachi"
    OTHER = "other"


@dataclass(frozen=True)
class Rescale:
    """A linear map stored value -> real value, as Modality LUT or Real World Value Mapping gives it."""

    slope: float
    intercept: float
    unit: str
    """RescaleType or the UCUM code of MeasurementUnits, upper/lower case as stored; '' where absent."""


@dataclass(frozen=True)
class FrameHeader:
    """Header facts of one image, vendor dialect already resolved into `component`."""

    source: str
    """The caller's name for the instance: a file path, or an Orthanc instance id."""
    frame_index: int | None
    """0-based frame of a multi-frame object; None for a classic single-frame instance."""
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    echo_time_ms: float
    component: Component
    image_position_mm: tuple[float, float, float]
    """Patient (LPS) position of the first voxel's centre."""
    row_cosines: tuple[float, float, float]
    """ImageOrientationPatient[0:3]: direction in which the *column index* grows."""
    column_cosines: tuple[float, float, float]
    """ImageOrientationPatient[3:6]: direction in which the *row index* grows."""
    pixel_spacing_mm: tuple[float, float]
    """(between rows, between columns), the order of PixelSpacing."""
    rows: int
    columns: int
    bits_stored: int
    pixel_representation: int
    """0 unsigned, 1 two's complement."""
    rescale: Rescale | None
    real_world_value: Rescale | None
    instance_number: int | None
    pixel_place: PixelPlace | None = None
    """Where the pixels lie in the file `source`, if it is one and they are uncompressed."""
