"""Small real DICOM files as a scanner writes them: quick to make, to send and to survey; pixels are ramps."""

from pathlib import Path
from typing import Any

from canaries_for_tests import infest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

ROOT = "1.2.826.0.1.3680043.9.9999"


def uid(*numbers: int) -> str:
    return ".".join([ROOT, *(str(number) for number in numbers)])


def write_scan(
    folder: Path,
    *,
    study: int = 1,
    echoes: int = 3,
    slices: int = 4,
    letters: str = "MP",
    short: bool = False,
    **attributes: Any,
) -> list[Path]:
    """A Siemens multi-echo scan: magnitude as series 1, phase as series 2 of a study. Attributes by keyword.

    There is a canary in every text of each header, unless it shall be `short`: then in a few.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for series, letter in enumerate("MP", 1):
        if letter not in letters:
            continue
        for number in range(echoes * slices):
            echo, position = divmod(number, slices)
            ds = image(study, series, number + 1, letter, 4.0 + 5.0 * echo, 2.0 * position)
            ds.EchoNumbers = echo + 1
            for keyword, value in attributes.items():
                setattr(ds, keyword, value)
            if not short:
                infest(ds)
            path = folder / f"{study}-{letter}-{number:04d}.dcm"
            ds.save_as(path, enforce_file_format=True)
            paths.append(path)
    return paths


def image(study: int, series: int, number: int, letter: str, echo_time_ms: float, height_mm: float) -> Dataset:
    """One image of 8 x 8 voxels."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = MRImageStorage, uid(study, series, number)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid(study), uid(study, series)
    ds.FrameOfReferenceUID = uid(study, 777)
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = f"CANARY^NAME{study}", f"CANARYID{study}", "19010203"
    ds.PatientSex, ds.AccessionNumber, ds.StudyID = "O", f"CANARYACC{study}", "1"
    ds.StudyDate, ds.StudyTime = "20260302", "101500"
    ds.StudyDescription, ds.SeriesDescription = "CANARYSTUDY", f"CANARYSERIES {letter}"
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "MR", "SIEMENS", "Prisma"
    ds.StationName, ds.ProtocolName, ds.BodyPartExamined = "MRC40534", "qsm_gre", "HEAD"
    ds.ImageType = ["ORIGINAL", "PRIMARY", letter, "ND"]
    ds.ScanningSequence, ds.SequenceVariant, ds.MRAcquisitionType = "GR", "SP", "3D"
    ds.EchoTime, ds.RepetitionTime, ds.FlipAngle = echo_time_ms, 40, 15
    ds.ImagingFrequency, ds.MagneticFieldStrength = 123.25, 3
    ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = series, 1, number
    ds.AcquisitionTime, ds.PatientPosition = "101500", "HFS"
    ds.Rows, ds.Columns, ds.SliceThickness, ds.PixelSpacing = 8, 8, 2, [1, 1]
    ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, height_mm]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = b"".join(((number * 64 + voxel) % 4096).to_bytes(2, "little") for voxel in range(64))
    return ds
