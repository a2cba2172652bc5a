r"""Philips enhanced: one object with magnitude and phase of every echo, frames in random order.

The object's ImageType only says `T1\MIXED`; each frame tells its component in MRImageFrameTypeSequence and carries its
own rescale (mrad for phase) and real-world mapping. Phase grows with TE in a positive field.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from qsm_recon.dicom.geometry import VoxelGrid
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.simulation.measurement import Measurement
from qsm_recon.simulation.vendors import enhanced, header, stored
from qsm_recon.simulation.vendors.enhanced import Counter, Kind
from qsm_recon.simulation.vendors.files import save_frames
from qsm_recon.simulation.vendors.philips import (
    MAGNITUDE_SLOPE,
    PHASE_INTERCEPT,
    PHASE_SCALE_SLOPE,
    PHASE_SLOPE,
    real_world_value,
)

_LETTERS = ("M", "P")
_KIND = {
    "M": Kind(MAGNITUDE_SLOPE, 0, "US", 959, 1667, "T1"),
    "P": Kind(PHASE_SLOPE, PHASE_INTERCEPT, "mrad", 0, 6284, "T1"),
}

Cell = tuple[int, int, str]
"""(echo, slice, component letter)."""


def write(measurement: Measurement, folder: Path, progress: Progress = silent) -> int:
    """Write the measurement as an Achieva dStream with release 5.3 does; return the number of files (1)."""
    named = header.identity(measurement, "philips-enhanced")
    scale = stored.TOP_12_BIT / stored.peak(measurement)
    echoes, slices = len(measurement.signal), measurement.signal.shape[3]
    cells = [(e, k, letter) for e in range(echoes) for k in range(slices) for letter in _LETTERS]
    order = named.rng("frame order").permutation(len(cells))
    shuffled: list[Cell] = [cells[number] for number in order]
    folder.mkdir(parents=True, exist_ok=True)
    ds = _object(measurement, named, shuffled, scale)
    frames = _frames(measurement, {cell: number for number, cell in enumerate(shuffled)}, scale)
    save_frames(ds, folder / "IM_0001", frames, Counter(len(cells), progress))
    return 1


def _frames(measurement: Measurement, number_of: dict[Cell, int], scale: float) -> Iterator[tuple[int, NDArray[Any]]]:
    for echo in range(len(measurement.signal)):
        signal = stored.echo_volume(measurement, echo)
        for letter in _LETTERS:
            volume = (
                stored.magnitude(signal, scale)
                if letter == "M"
                else stored.phase_of_range(signal, PHASE_SLOPE, PHASE_INTERCEPT)
            )
            for index, image in enumerate(volume):
                yield number_of[echo, index, letter], image


def _object(measurement: Measurement, named: header.Identity, cells: list[Cell], scale: float) -> Dataset:
    grid = header.grid_of(measurement)
    ds = enhanced.enhanced(measurement, named, "MIXED", "T1")
    ds.ImageType = ["ORIGINAL", "PRIMARY", "T1", "MIXED"]
    ds.Manufacturer, ds.ManufacturerModelName = "Philips Medical Systems", "Achieva dStream"
    ds.SoftwareVersions = ["5.3.0", "5.3.0.3"]
    ds.ProtocolName = f"WIP {ds.ProtocolName}"
    ds.PulseSequenceName = "FFE"
    ds.ScanOptions = "OTHER"
    ds.PixelBandwidth = header.ds_text(measurement.protocol.bandwidth_hz_per_pixel)
    ds.SeriesNumber = 601
    ds.AcquisitionNumber = 6
    ds.SeriesInstanceUID = named.uid("series")
    ds.SOPInstanceUID = named.uid("image")
    ds.NumberOfFrames = len(cells)
    enhanced.dimensions(
        ds,
        named,
        ("StackID", "FrameContentSequence"),
        ("InStackPositionNumber", "FrameContentSequence"),
        ("EffectiveEchoTime", "MREchoSequence"),
        ("ComplexImageComponent", "MRImageFrameTypeSequence"),
    )
    ds.PerFrameFunctionalGroupsSequence = Sequence(
        [_frame(measurement, grid, cell, number, scale) for number, cell in enumerate(cells)]
    )
    return ds


def _frame(measurement: Measurement, grid: VoxelGrid, cell: Cell, number: int, scale: float) -> Dataset:
    echo, index, letter = cell
    kind = _KIND[letter]
    group = enhanced.frame(
        header.echo_time_ms(measurement, echo),
        grid,
        index,
        frame_type=["ORIGINAL", "PRIMARY", "T1", letter],
        counts=[1, index + 1, echo + 1, _LETTERS.index(letter) + 1],
        kind=kind,
    )
    explanation = "normalized" if letter == "M" else "mrad"
    group.RealWorldValueMappingSequence = Sequence([real_world_value(kind.slope, kind.intercept, explanation)])
    group.private_block(0x2005, "Philips MR Imaging DD 005", create=True).add_new(
        0x0F, "SQ", Sequence([_as_classic(echo, letter, number, scale)])
    )
    return group


def _as_classic(echo: int, letter: str, number: int, scale: float) -> Dataset:
    """Private item that repeats what a classic image would say, the scale slope among it."""
    ds = Dataset()
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M_FFE" if letter == "M" else "PHASE MAP", letter, "FFE"]
    ds.ScanningSequence, ds.SequenceVariant, ds.MRAcquisitionType = "GR", "SP", "3D"
    ds.EchoNumbers = echo + 1
    ds.InstanceNumber = number + 1
    private = ds.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    private.add_new(0x0E, "FL", scale if letter == "M" else PHASE_SCALE_SLOPE)
    private.add_new(0x11, "CS", letter)
    return ds
