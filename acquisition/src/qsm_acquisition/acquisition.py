"""The result of looking at headers: complete acquisitions, or refusals."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from qsm_acquisition.frames import Component, FrameHeader, Vendor
from qsm_acquisition.refusals import Refusal
from qsm_acquisition.vendors import VENDORS, VendorDialect

Cell = tuple[int, int, Component]
"""(echo index from 0, slice index from 0, component)."""


@dataclass(frozen=True)
class Acquisition:
    """One complete multi-echo gradient-echo acquisition: the full matrix echo x slice x component.

    Voxel axes are (column index, row index, slice index); the slice index grows along
    row_cosines x column_cosines, so the axes are right-handed in patient (LPS) coordinates.
    """

    study_instance_uid: str
    series_instance_uids: tuple[str, ...]
    """Every series the acquisition is made of, sorted (one, or magnitude and phase in two)."""
    frame_of_reference_uid: str
    vendor: Vendor
    software_versions: str
    """Scanner model and software as the header states them (no identity)."""
    echo_times_s: tuple[float, ...]
    components: frozenset[Component]
    """{magnitude, phase}, {real, imaginary} or both."""
    cells: Mapping[Cell, FrameHeader]
    """Exactly one frame for every (echo, slice, component)."""
    slice_positions_mm: tuple[tuple[float, float, float], ...]
    """Patient (LPS) position of the first voxel of each slice, in slice order."""
    row_cosines: tuple[float, float, float]
    column_cosines: tuple[float, float, float]
    pixel_spacing_mm: tuple[float, float]
    """(between rows, between columns)."""
    slice_step_mm: float
    """Distance between neighbouring slice positions (not SliceThickness)."""
    rows: int
    columns: int
    center_frequency_hz: float
    field_strength_t: float
    bipolar_readout: bool
    is_3d: bool
    warnings: tuple[str, ...] = ()
    """Codes with a sentence each, e.g. 'ThinSlab: ...'."""
    scanner: str = ""
    """Name of the device for statistics (`scanners`): it can neither identify anybody nor be looked up."""
    duplicates_ignored: int = 0
    """Instances that repeat another with the same SOPInstanceUID (their pixels are compared when read)."""
    duplicates: tuple[tuple[str, str], ...] = ()
    """(source used, source that repeats its SOPInstanceUID): headers agree, pixels must be found equal too."""
    alternatives: Mapping[Cell, tuple[FrameHeader, ...]] = field(default_factory=dict)
    """Other images for a cell that look like the same one sent again under a new SOPInstanceUID.

    The reader compares pixels: equal ones are tolerated and said, different ones make the acquisition
    `AmbiguousImages`.
    """

    @property
    def dialect(self) -> VendorDialect:
        """The vendor's dialect: sign of the field, slice alternation."""
        return VENDORS[self.vendor]

    @property
    def sources(self) -> tuple[str, ...]:
        """Every instance the acquisition is made of, duplicates and alternatives included, sorted."""
        used = {frame.source for frame in self.cells.values()}
        used |= {frame.source for frames in self.alternatives.values() for frame in frames}
        used |= {repeat for _, repeat in self.duplicates}
        return tuple(sorted(used))

    @property
    def echo_count(self) -> int:
        """Number of echoes."""
        return len(self.echo_times_s)

    @property
    def slice_count(self) -> int:
        """Number of slices."""
        return len(self.slice_positions_mm)


@dataclass(frozen=True)
class Survey:
    """Everything found in one heap of headers: each instance is in exactly one acquisition or refusal."""

    acquisitions: tuple[Acquisition, ...]
    refusals: tuple[Refusal, ...]
