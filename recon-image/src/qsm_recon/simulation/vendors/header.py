"""What every vendor's header says alike: identity, patient, study, scan parameters, the place of a slice.

The patient is fictional and says so; the date is one day for all simulations, so that nothing depends on the clock.
"""

import uuid
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pydicom.valuerep import format_number_as_ds

from qsm_recon.dicom.geometry import VoxelGrid
from qsm_recon.simulation.measurement import Measurement

_NAMESPACE = uuid.UUID("0c2f7c1e-8f0b-5a67-9d58-4b0d6f8f5e13")
"""Our own, drawn once; changing it changes every simulated UID."""

DATE = "20250106"
STUDY_TIME = "093000.000000"
ACQUISITION_TIME = "094512.250000"
SERIES_TIME = "094938.500000"


@dataclass(frozen=True)
class Identity:
    """Gives every object of one simulated scan its UID; the same simulation gives the same ones."""

    name: str

    def uid(self, *parts: object) -> UID:
        """UID in the 2.25 form (PS3.5 B.2) that depends on the simulation and on `parts`."""
        return UID(f"2.25.{self._uuid(*parts).int}")

    def rng(self, *parts: object) -> np.random.Generator:
        """Generator of numbers without meaning (file names, frame order), the same each time."""
        return np.random.default_rng(self._uuid(*parts).int)

    def _uuid(self, *parts: object) -> uuid.UUID:
        return uuid.uuid5(_NAMESPACE, "\n".join((self.name, *map(str, parts))))


def identity(measurement: Measurement, vendor: str) -> Identity:
    """Identity of what `vendor` writes of a measurement: seed, vendor, protocol, grid and field decide it."""
    m = measurement
    # Rounded, and without negative zero: the last bits of a rotation may differ between machines.
    affine = (np.round(m.affine_lps_mm, 4) + 0.0).tolist()
    return Identity(f"{vendor} {m.seed} {m.protocol} {m.signal.shape} {m.field_strength_t} {affine}")


def grid_of(measurement: Measurement) -> VoxelGrid:
    """Voxel grid of the measurement (the protocol's voxel size is nominal, the affine is what counts)."""
    _, columns, rows, slices = measurement.signal.shape
    return VoxelGrid(np.asarray(measurement.affine_lps_mm, dtype=np.float64), (columns, rows, slices))


def ds_text(value: float) -> str:
    """A number as DS: at most 16 characters (PS3.5 6.2), as exact as these allow."""
    value = float(value)
    return str(int(value)) if value == int(value) else format_number_as_ds(value)


def ds_texts(*values: float) -> list[str]:
    """Several numbers as DS."""
    return [ds_text(value) for value in values]


def common(measurement: Measurement, named: Identity) -> Dataset:
    """Patient, study, frame of reference and equipment attributes that do not depend on the vendor."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.Modality = "MR"
    ds.InstanceCreationDate = ds.StudyDate = ds.SeriesDate = ds.ContentDate = DATE
    ds.StudyTime = STUDY_TIME
    ds.SeriesTime = ds.ContentTime = ds.InstanceCreationTime = SERIES_TIME
    ds.AccessionNumber = ""
    ds.InstitutionName = "SIMULATION"
    ds.ReferringPhysicianName = ""
    ds.StationName = "SIMULATED"
    ds.StudyDescription = "Simulated head"
    ds.PatientName = "SIMULATED^HEAD"
    ds.PatientID = f"SIM-{measurement.seed}"
    ds.PatientBirthDate = "19800106"
    ds.PatientSex = "O"
    ds.PatientAge = "045Y"
    ds.PatientWeight = "70"
    ds.PatientComments = "Digital head, no person"
    ds.BodyPartExamined = "BRAIN"
    ds.MRAcquisitionType = "3D"
    ds.MagneticFieldStrength = ds_text(measurement.field_strength_t)
    ds.DeviceSerialNumber = "0"
    ds.ProtocolName = ds.SeriesDescription = f"qsm_gre_{measurement.protocol.name}"
    ds.PatientPosition = "HFS"
    ds.StudyInstanceUID = named.uid("study")
    ds.FrameOfReferenceUID = named.uid("frame of reference")
    ds.StudyID = "1"
    ds.AcquisitionNumber = 1
    ds.PositionReferenceIndicator = ""
    return ds


def classic(measurement: Measurement, named: Identity) -> Dataset:
    """Template of a classic MR image: `common`, scan parameters, and geometry that all slices share."""
    ds = common(measurement, named)
    protocol, grid = measurement.protocol, grid_of(measurement)
    columns, rows, _ = grid.shape
    size = grid.voxel_size_mm
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    ds.AcquisitionDate, ds.AcquisitionTime = DATE, ACQUISITION_TIME
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = "GR", "SP", ""
    ds.AngioFlag = "N"
    ds.SliceThickness = ds.SpacingBetweenSlices = ds_text(size[2])
    ds.RepetitionTime = ds_text(protocol.repetition_time_s * 1e3)
    ds.FlipAngle = ds_text(protocol.flip_angle_deg)
    ds.PixelBandwidth = ds_text(protocol.bandwidth_hz_per_pixel)
    ds.NumberOfAverages = "1"
    ds.ImagingFrequency = ds_text(round(measurement.center_frequency_hz * 1e-6, 6))
    ds.ImagedNucleus = "1H"
    ds.EchoTrainLength = len(protocol.echo_times_s)
    ds.PercentSampling = "100"
    ds.PercentPhaseFieldOfView = ds_text(100 * rows * size[1] / (columns * size[0]))
    ds.AcquisitionMatrix = [columns, 0, 0, rows]
    ds.NumberOfPhaseEncodingSteps = rows
    ds.InPlanePhaseEncodingDirection = "COL"
    ds.VariableFlipAngleFlag = "N"
    ds.ImageOrientationPatient = orientation(grid)
    ds.PixelSpacing = ds_texts(size[1], size[0])  # between rows first (PS3.3 10.7.1.3)
    return ds


def orientation(grid: VoxelGrid) -> list[str]:
    """ImageOrientationPatient: cosines of the row (x), then of the column (y)."""
    return ds_texts(*grid.axes[:, 0], *grid.axes[:, 1])


def position(grid: VoxelGrid, index: int) -> list[str]:
    """ImagePositionPatient of a slice."""
    return ds_texts(*grid.position_lps_mm(index))


def place(ds: Dataset, grid: VoxelGrid, index: int) -> None:
    """Position of a classic image."""
    ds.ImagePositionPatient = position(grid, index)
    ds.SliceLocation = ds_text(round(float(np.dot(grid.position_lps_mm(index), grid.axes[:, 2])), 9))


def echo_time_ms(measurement: Measurement, echo: int) -> float:
    """Echo time (ms), free of binary rounding dust."""
    return round(measurement.protocol.echo_times_s[echo] * 1e3, 6)


def pixels(ds: Dataset, grid: VoxelGrid, *, bits_stored: int = 12, signed: bool = False) -> None:
    """Image Pixel attributes (PS3.3 C.7.6.3), 16 bits allocated."""
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Columns, ds.Rows = grid.shape[:2]
    ds.BitsAllocated = 16
    ds.BitsStored = bits_stored
    ds.HighBit = bits_stored - 1
    ds.PixelRepresentation = int(signed)
