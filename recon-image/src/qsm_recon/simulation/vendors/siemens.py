r"""Siemens classic (VE11): magnitude and phase in two series of one acquisition.

`ORIGINAL\PRIMARY\M\ND` and `...\P\ND`, 12 bits; phase 0..4095 = -pi..pi *without* rescale attributes; a window of
its own for every slice; phase grows with TE in a positive field.
"""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydicom.dataset import Dataset

from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.simulation.measurement import Measurement
from qsm_recon.simulation.vendors import header, stored
from qsm_recon.simulation.vendors.classic import Component, Place, extrema_and_window, write_classic


def write(measurement: Measurement, folder: Path, progress: Progress = silent) -> int:
    """Write the measurement as a Prisma with syngo MR E11 does; return the number of files."""
    named = header.identity(measurement, "siemens")
    scale = stored.TOP_12_BIT / stored.peak(measurement)
    components = (
        Component("M", _template(measurement, named, "M", 6), lambda signal: stored.magnitude(signal, scale)),
        Component("P", _template(measurement, named, "P", 7), stored.phase_of_turn),
    )
    slices = measurement.signal.shape[3]

    def finish(ds: Dataset, place: Place, image: NDArray[Any]) -> None:
        ds.InstanceNumber = place.echo * slices + place.index + 1
        extrema_and_window(ds, image)
        ds.WindowCenterWidthExplanation = "Algo1"

    return write_classic(
        measurement,
        folder,
        named=named,
        components=components,
        finish=finish,
        name_pattern="{:08d}.IMA",
        progress=progress,
    )


def _template(measurement: Measurement, named: header.Identity, letter: str, series_number: int) -> Dataset:
    ds = header.classic(measurement, named)
    ds.ImageType = ["ORIGINAL", "PRIMARY", letter, "ND"]
    ds.Manufacturer, ds.ManufacturerModelName = "SIEMENS", "Prisma_fit"
    ds.SoftwareVersions = "syngo MR E11"
    ds.SequenceName = f"*fl3d{len(measurement.signal)}"
    ds.TransmitCoilName = "Body"
    ds.SeriesNumber = series_number
    ds.SeriesInstanceUID = named.uid("series", letter)
    header.pixels(ds, header.grid_of(measurement))
    private = ds.private_block(0x0051, "SIEMENS MR HEADER", create=True)
    private.add_new(0x08, "CS", "IMAGE NUM 4")
    private.add_new(0x0F, "LO", "HEA;HEP")  # all elements combined into one image
    return ds
