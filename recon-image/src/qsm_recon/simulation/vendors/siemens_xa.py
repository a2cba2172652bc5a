r"""Siemens XA: enhanced multi-frame, one object per echo, magnitude and phase in two series.

`ORIGINAL\PRIMARY\M\NONE` and `...\P\NONE`; phase 0..4095 with per-frame slope 2, intercept -4096 and RescaleType US,
as an XA30 writes it; phase grows with TE in a positive field.
"""

from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.simulation.measurement import Measurement
from qsm_recon.simulation.vendors import enhanced, header, stored
from qsm_recon.simulation.vendors.enhanced import COMPONENT_WORD, Counter, Kind
from qsm_recon.simulation.vendors.files import save_frames, shuffled_names

_SERIES = {"M": 8, "P": 9}
_KIND = {"M": Kind(1, 0, "US", 1024, 2048, "UNKNOWN"), "P": Kind(2, -4096, "US", 0, 8192, "UNKNOWN")}


def write(measurement: Measurement, folder: Path, progress: Progress = silent) -> int:
    """Write the measurement as a Prisma with syngo MR XA30 does; return the number of files."""
    named = header.identity(measurement, "siemens-xa")
    scale = stored.TOP_12_BIT / stored.peak(measurement)
    echoes, slices = len(measurement.signal), measurement.signal.shape[3]
    folder.mkdir(parents=True, exist_ok=True)
    names = iter(shuffled_names(named, 2 * echoes, "{:08d}.dcm"))
    counter = Counter(2 * echoes * slices, progress)
    for echo in range(echoes):
        signal = stored.echo_volume(measurement, echo)
        for letter in COMPONENT_WORD:
            volume = stored.magnitude(signal, scale) if letter == "M" else stored.phase_of_turn(signal)
            ds = _echo(measurement, named, letter, echo)
            ds.add_new("SmallestImagePixelValue", "US", int(volume.min()))
            ds.add_new("LargestImagePixelValue", "US", int(volume.max()))
            save_frames(ds, folder / next(names), enumerate(volume), counter)
    return 2 * echoes


def _echo(measurement: Measurement, named: header.Identity, letter: str, echo: int) -> Dataset:
    grid = header.grid_of(measurement)
    slices = grid.shape[2]
    ds = enhanced.enhanced(measurement, named, COMPONENT_WORD[letter], "UNKNOWN")
    ds.ImageType = ["ORIGINAL", "PRIMARY", letter, "NONE"]
    ds.Manufacturer, ds.ManufacturerModelName = "Siemens Healthineers", "MAGNETOM Prisma Fit"
    ds.SoftwareVersions = "syngo MR XA30"
    ds.PulseSequenceName = f"*fl3d{len(measurement.signal)}"
    ds.SpacingBetweenSlices = header.ds_text(grid.voxel_size_mm[2])
    ds.NumberOfTemporalPositions = 1
    ds.SeriesNumber = _SERIES[letter]
    ds.SeriesInstanceUID = named.uid("series", letter)
    ds.SOPInstanceUID = named.uid("image", letter, echo)
    ds.InstanceNumber = echo + 1
    ds.NumberOfFrames = slices
    enhanced.dimensions(
        ds,
        named,
        ("StackID", "FrameContentSequence"),
        ("InStackPositionNumber", "FrameContentSequence"),
        ("TemporalPositionIndex", "FrameContentSequence"),
    )
    echo_time_ms = header.echo_time_ms(measurement, echo)
    ds.PerFrameFunctionalGroupsSequence = Sequence(
        [
            enhanced.frame(
                echo_time_ms,
                grid,
                index,
                frame_type=list(ds.ImageType),
                counts=[1, index + 1, 1],
                kind=_KIND[letter],
            )
            for index in range(slices)
        ]
    )
    return ds
