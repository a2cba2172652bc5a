"""GE: magnitude, real and imaginary parts, told apart by private (0043,102F) = 0, 2, 3 alone.

Signed 16 bits, implicit VR; phase *falls* with TE in a positive field; the reconstruction leaves out the shift along
the slice axis, so real and imaginary parts of every second slice carry the opposite sign.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.simulation.measurement import Measurement
from qsm_recon.simulation.vendors import header, stored
from qsm_recon.simulation.vendors.classic import Component, Place, extrema_and_window, write_classic

TOP = 16383
"""Full scale of the signed values: well inside 16 bits, as the scanner leaves room."""


def write(measurement: Measurement, folder: Path, progress: Progress = silent) -> int:
    """Write the measurement as a SIGNA with release DV27 does; return the number of files."""
    named = header.identity(measurement, "ge")
    scale = TOP / stored.peak(measurement)
    components = (
        Component("M", _template(measurement, named, 0), lambda signal: stored.signed(np.abs(signal), scale)),
        Component("R", _template(measurement, named, 2), lambda signal: stored.signed(alternate(signal.real), scale)),
        # The conjugate: GE's phase turns the other way.
        Component("I", _template(measurement, named, 3), lambda signal: stored.signed(alternate(-signal.imag), scale)),
    )
    echoes = len(measurement.signal)

    def finish(ds: Dataset, place: Place, image: NDArray[Any]) -> None:
        # Magnitude, real, imaginary of one echo follow each other, so their numbers are 1, 2, 0 modulo 3.
        ds.InstanceNumber = (place.index * echoes + place.echo) * len(components) + place.component + 1
        ds.InStackPositionNumber = place.index + 1
        extrema_and_window(ds, image)

    return write_classic(
        measurement,
        folder,
        named=named,
        components=components,
        finish=finish,
        name_pattern="i{:06d}.MRDC",
        progress=progress,
        syntax=ImplicitVRLittleEndian,
    )


def alternate(part: NDArray[np.float32]) -> NDArray[np.float32]:
    """The part (slice, row, column) with every second slice negated."""
    turned = part.copy()
    np.negative(turned[1::2], out=turned[1::2])
    return turned


def _template(measurement: Measurement, named: header.Identity, code: int) -> Dataset:
    ds = header.classic(measurement, named)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    ds.Manufacturer, ds.ManufacturerModelName = "GE MEDICAL SYSTEMS", "SIGNA Architect"
    ds.SoftwareVersions = ["27", "LX", "MR Software release:DV27.0_R01_1850.a"]
    ds.SequenceVariant = ["SS", "SP"]
    ds.ReceiveCoilName = "48HAP"
    ds.SeriesNumber = 6
    ds.SeriesInstanceUID = named.uid("series")
    ds.ImagesInAcquisition = 3 * len(measurement.signal) * measurement.signal.shape[3]
    ds.StackID = "1"
    header.pixels(ds, header.grid_of(measurement), bits_stored=16, signed=True)
    acquisition = ds.private_block(0x0019, "GEMS_ACQU_01", create=True)
    acquisition.add_new(0x7E, "SS", len(measurement.signal))  # number of echoes
    acquisition.add_new(0x9C, "LO", "3DGRE")  # pulse sequence
    parameters = ds.private_block(0x0043, "GEMS_PARM_01", create=True)
    parameters.add_new(0x2F, "SS", code)
    return ds
