r"""United Imaging: `ORIGINAL\PRIMARY\M\UCA\IF` and `...\P\UCA\IF` in two series, phase with rescale attributes.

Phase 0..4095 with slope 2, intercept -4096 (a turn is 8192 units), and *falls* with TE in a positive field;
ImagingFrequency is in Hz, against the standard's MHz. What real files say of phase is little known; the smallest and
largest pixel value of a phase image are those of the whole turn, from which other readers take the scale.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.simulation.measurement import Measurement
from qsm_recon.simulation.vendors import header, stored
from qsm_recon.simulation.vendors.classic import Component, Place, extrema_and_window, write_classic

PHASE_SLOPE, PHASE_INTERCEPT = 2.0, -4096.0


def write(measurement: Measurement, folder: Path, progress: Progress = silent) -> int:
    """Write the measurement as a uMR 770 does; return the number of files."""
    named = header.identity(measurement, "uih")
    scale = stored.TOP_12_BIT / stored.peak(measurement)
    components = (
        Component("M", _template(measurement, named, "M", 6), lambda signal: stored.magnitude(signal, scale)),
        Component("P", _template(measurement, named, "P", 7), lambda signal: stored.phase_of_turn(np.conj(signal))),
    )
    slices = measurement.signal.shape[3]

    def finish(ds: Dataset, place: Place, image: NDArray[Any]) -> None:
        ds.InstanceNumber = place.echo * slices + place.index + 1
        if components[place.component].name == "M":
            extrema_and_window(ds, image)

    return write_classic(
        measurement,
        folder,
        named=named,
        components=components,
        finish=finish,
        name_pattern="{:08d}.dcm",
        progress=progress,
    )


def _template(measurement: Measurement, named: header.Identity, letter: str, series_number: int) -> Dataset:
    ds = header.classic(measurement, named)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY", letter, "UCA", "IF"]
    ds.ComplexImageComponent = ""
    ds.Manufacturer, ds.ManufacturerModelName = "UIH", "uMR 770"
    ds.SoftwareVersions = "R002"
    ds.SequenceName = "gre_fsp3d_me"
    ds.ImagingFrequency = header.ds_text(round(measurement.center_frequency_hz))
    ds.TransmitCoilName = "VTC"
    ds.SeriesNumber = series_number
    ds.SeriesInstanceUID = named.uid("series", letter)
    header.pixels(ds, header.grid_of(measurement))
    if letter == "P":
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = "2", "-4096", "US"
        ds.add_new("SmallestImagePixelValue", "US", 0)
        ds.add_new("LargestImagePixelValue", "US", stored.TOP_12_BIT)
        ds.WindowCenter, ds.WindowWidth = "0", "8192"
    return ds
