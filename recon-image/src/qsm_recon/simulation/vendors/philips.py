r"""Philips classic: magnitude and phase in one series, phase in mrad by rescale and by real-world value mapping.

`ORIGINAL\PRIMARY\M_FFE\M\FFE` and `...\PHASE MAP\P\FFE`; the private scale slope (2005,100E) turns the *stored* value
into the floating one (signal, radians), so who applies it after the rescale scales twice.
"""

import math
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.simulation.measurement import Measurement
from qsm_recon.simulation.vendors import header, stored
from qsm_recon.simulation.vendors.classic import Component, Place, write_classic

MAGNITUDE_SLOPE = 1.29157509157509
PHASE_SLOPE, PHASE_INTERCEPT = 1.53455433455433, -3142.0
"""6284 / 4095: 12 bits over -3142..3142 mrad."""
PHASE_SCALE_SLOPE = stored.TOP_12_BIT / (2 * math.pi)


def write(measurement: Measurement, folder: Path, progress: Progress = silent) -> int:
    """Write the measurement as an Ingenia with release 5.7 does; return the number of files."""
    named = header.identity(measurement, "philips")
    scale = stored.TOP_12_BIT / stored.peak(measurement)
    components = (
        Component(
            "M", _magnitude(_template(measurement, named), scale), lambda signal: stored.magnitude(signal, scale)
        ),
        Component(
            "P",
            _phase(_template(measurement, named)),
            lambda signal: stored.phase_of_range(signal, PHASE_SLOPE, PHASE_INTERCEPT),
        ),
    )
    slices = measurement.signal.shape[3]
    echoes = len(measurement.signal)

    def finish(ds: Dataset, place: Place, _: NDArray[Any]) -> None:
        ds.InstanceNumber = (place.component * slices + place.index) * echoes + place.echo + 1
        ds[0x2001, 0x100A].value = place.index + 1

    return write_classic(
        measurement,
        folder,
        named=named,
        components=components,
        finish=finish,
        name_pattern="IM_{:04d}",
        progress=progress,
    )


def _template(measurement: Measurement, named: header.Identity) -> Dataset:
    ds = header.classic(measurement, named)
    ds.Manufacturer, ds.ManufacturerModelName = "Philips", "Ingenia Elition X"
    ds.SoftwareVersions = ["5.7.1", "5.7.1.1"]
    ds.ProtocolName = f"WIP {ds.ProtocolName}"
    ds.SequenceName = ""
    ds.ReceiveCoilName, ds.TransmitCoilName = "MULTI COIL", "BODY"
    ds.TemporalPositionIdentifier = ds.NumberOfTemporalPositions = 1
    ds.SeriesNumber = 601
    ds.AcquisitionNumber = 6
    ds.SeriesInstanceUID = named.uid("series")
    ds.LossyImageCompression = "00"
    header.pixels(ds, header.grid_of(measurement))
    imaging = ds.private_block(0x2001, "Philips Imaging DD 001", create=True)
    imaging.add_new(0x0A, "IS", "1")  # slice number
    imaging.add_new(0x14, "SL", len(measurement.signal))  # number of echoes
    imaging.add_new(0x18, "SL", measurement.signal.shape[3])  # number of slices
    imaging.add_new(0x20, "LO", "FFE")
    return ds


def _magnitude(ds: Dataset, scale: float) -> Dataset:
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"]
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = header.ds_text(MAGNITUDE_SLOPE), "0", "normalized"
    ds.RealWorldValueMappingSequence = Sequence([real_world_value(MAGNITUDE_SLOPE, 0, "normalized")])
    ds.WindowCenter, ds.WindowWidth = "801", "1392"
    _private_scale(ds, "M", scale, 0.0)
    return ds


def _phase(ds: Dataset) -> Dataset:
    ds.ImageType = ["ORIGINAL", "PRIMARY", "PHASE MAP", "P", "FFE"]
    ds.RescaleSlope, ds.RescaleIntercept = header.ds_text(PHASE_SLOPE), header.ds_text(PHASE_INTERCEPT)
    ds.RescaleType = "mrad"
    ds.RealWorldValueMappingSequence = Sequence([real_world_value(PHASE_SLOPE, PHASE_INTERCEPT, "mrad")])
    ds.WindowCenter, ds.WindowWidth = "0", "6284"
    _private_scale(ds, "P", PHASE_SCALE_SLOPE, stored.TOP_12_BIT / 2)
    return ds


def _private_scale(ds: Dataset, letter: str, slope: float, intercept: float) -> None:
    """(2005,100D) and (2005,100E): floating value = (stored - intercept) / slope."""
    private = ds.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    private.add_new(0x0D, "FL", intercept)
    private.add_new(0x0E, "FL", slope)
    private.add_new(0x11, "CS", letter)


def real_world_value(slope: float, intercept: float, explanation: str) -> Dataset:
    """Item of RealWorldValueMappingSequence with the same map as the rescale; Philips names no unit."""
    unit = Dataset()
    unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = "1", "UCUM", "no units"
    item = Dataset()
    item.LUTExplanation = f"Real World Value Mapping for {explanation}"
    item.MeasurementUnitsCodeSequence = Sequence([unit])
    item.LUTLabel = "Philips"
    item.add_new("RealWorldValueFirstValueMapped", "US", 0)
    item.add_new("RealWorldValueLastValueMapped", "US", stored.TOP_12_BIT)
    item.RealWorldValueIntercept, item.RealWorldValueSlope = float(intercept), float(slope)
    return item
