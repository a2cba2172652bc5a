"""A map as a derived series of classic MR images, one file per slice, that any archive and viewer takes.

Why classic MR Image Storage and not a Parametric Map: every archive stores and renders it. Why int16 parts per
billion with slope 1: the stored number *is* the value, even in a viewer that ignores rescale. See
`docs/conventions.md` for units; attributes follow PS3.3 A.4 (MR Image IOD), C.7.6.16.2.11 (real world value
mapping) and C.7.6.1.1.4 (source images).
"""

import errno
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage
from pydicom.valuerep import format_number_as_ds

from qsm_recon import file_order
from qsm_recon.dicom import codes
from qsm_recon.dicom.encoding import assembled, encoded
from qsm_recon.dicom.inherit import inherited, legal_value
from qsm_recon.dicom.quantities import HIGHEST, LOWEST, MapKind, quantise
from qsm_recon.dicom.read import LoadedScan
from qsm_recon.dicom.references import references
from qsm_recon.dicom.uids import IMPLEMENTATION_CLASS_UID, RunIdentity, result_uid
from qsm_recon.errors import TransientError, UsageError

__all__ = [
    "MapKind",
    "RunIdentity",
    "WrittenSeries",
    "quantise",
    "series_description",
    "series_number",
    "series_uid",
    "write_series",
]

MANUFACTURER = "qsm-operator"
MODEL = "qsm-recon"
_LARGEST_IS = 2**31 - 1
_LONG_STRING = 64
_SHORT_TEXT = 1024
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_TRANSIENT = frozenset({errno.EIO, errno.ESTALE, errno.EROFS})


@dataclass(frozen=True)
class WrittenSeries:
    """What was written."""

    paths: tuple[Path, ...]
    """One file per slice, in slice order."""
    series_instance_uid: str
    series_number: int
    series_description: str
    clipped_voxels: int
    """Voxels beyond the range of int16."""


def write_series(
    volume: NDArray[np.floating[Any]],
    kind: MapKind,
    loaded: LoadedScan,
    run: RunIdentity,
    folder: Path,
    *,
    sources: tuple[Dataset, ...] | None = None,
    now: datetime | None = None,
) -> WrittenSeries:
    """Write a map as a derived MR series into `folder` (made if it is not there).

    UIDs and pixels depend on the input, the recipe and the code version alone; `now` (default: the present)
    only fills the dates of creation.

    Parameters
    ----------
    volume
        (x, y, z) in ppm (CHI) or 1/s (R2STAR), on the grid of `loaded`.
    kind, loaded, run
        What it is, what it was made from, and by what.
    folder
        Where the files go.
    sources
        From `references`: what each slice was made from. Who writes several maps of a scan has it made once.

    Raises
    ------
    UsageError
        A file of that name exists, or the folder cannot be written to.
    TransientError
        `DiskFull` or `OutputFailed` where the disk is full or fails.
    ValueError
        A shape unlike the scan's, or values that are not finite.
    """
    if volume.shape != loaded.grid.shape:
        raise ValueError(f"the map is {volume.shape}, the scan {loaded.grid.shape}")
    stored, clipped = quantise(volume, kind)
    images = file_order.to_file(stored)
    sources = references(loaded) if sources is None else sources
    base = encoded(_series_header(kind, loaded, run, now or datetime.now(tz=UTC).astimezone()))
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for index, image in enumerate(images):
            path = folder / f"{kind.value.name.lower()}_{index + 1:04d}.dcm"
            own = _slice(image, index, kind=kind, loaded=loaded, run=run)
            _save(assembled(base, sources[index], own), path)
            paths.append(path)
    except OSError as error:
        raise _output_error(error) from error
    return WrittenSeries(
        tuple(paths), str(base.SeriesInstanceUID), int(base.SeriesNumber), str(base.SeriesDescription), clipped
    )


def series_description(kind: MapKind, run: RunIdentity) -> str:
    """E.g. 'QSM medi0-v1 v0.1.0 (ppb) RESEARCH', at most 64 characters; a long recipe name is cut, the rest stays."""
    name = "R2*" if kind is MapKind.R2STAR else kind.value.name
    rest = f" v{run.code_version} ({kind.value.unit.meaning})" + (" RESEARCH" if run.research else "")
    return _ascii(f"{name} {run.recipe[: _LONG_STRING - len(name) - len(rest) - 1]}{rest}", _LONG_STRING)


def series_number(source: int | None, kind: MapKind) -> int:
    """A number beside, never equal to, the source's: 100 times it plus a fixed offset, kept a legal IS."""
    number = abs(source or 0) * 100 + kind.value.series_offset
    return number if number <= _LARGEST_IS else number % 2_000_000_000


def series_uid(manifest_sha256: str, run: RunIdentity, kind: MapKind) -> UID:
    """SeriesInstanceUID of the map of that kind: known before it is computed."""
    return result_uid(manifest_sha256, run, kind.value.name, "series")


def _series_header(kind: MapKind, loaded: LoadedScan, run: RunIdentity, now: datetime) -> Dataset:
    quantity, a = kind.value, loaded.acquisition
    source = loaded.template
    ds = inherited(source)
    ds.SOPClassUID = MRImageStorage
    ds.Modality = "MR"
    ds.ImageType = ["DERIVED", "PRIMARY", quantity.name, _code_string(run.recipe)]
    ds.StudyInstanceUID = a.study_instance_uid
    ds.FrameOfReferenceUID = a.frame_of_reference_uid
    ds.SeriesInstanceUID = series_uid(loaded.manifest_sha256, run, kind)
    number = legal_value(source, "SeriesNumber")
    ds.SeriesNumber = series_number(None if number is None else int(number), kind)
    ds.SeriesDescription = series_description(kind, run)
    for keyword, fallback in (("SeriesDate", ds.StudyDate), ("SeriesTime", ds.StudyTime)):
        if keyword not in ds and fallback:
            setattr(ds, keyword, fallback)  # viewers sort a study by these
    ds.InstanceCreationDate = ds.ContentDate = now.strftime("%Y%m%d")
    ds.InstanceCreationTime = ds.ContentTime = now.strftime("%H%M%S")
    ds.BurnedInAnnotation = "NO"
    ds.DerivationDescription = _ascii(
        f"{quantity.concept.meaning} in {quantity.unit.meaning} from {a.echo_count} echoes. Recipe {run.recipe} "
        f"(sha256 {run.recipe_sha256}), {MODEL} {run.code_version}. {run.derivation}",
        _SHORT_TEXT,
    )
    if run.research:
        ds.ImageComments = "For research use only. Not for diagnosis."
    ds.update(_mr_attributes(loaded))
    ds.update(_pixel_attributes(kind, loaded))
    ds.RealWorldValueMappingSequence = _real_world_values(kind)
    ds.ContributingEquipmentSequence = _equipment(run, now)
    return ds


def _mr_attributes(loaded: LoadedScan) -> Dataset:
    """The MR Image module. EchoTime is empty: the map belongs to all echoes, and 0 would be a lie."""
    a, source = loaded.acquisition, loaded.template
    ds = Dataset()
    ds.ScanningSequence = legal_value(source, "ScanningSequence") or "GR"
    ds.SequenceVariant = legal_value(source, "SequenceVariant") or "NONE"
    ds.ScanOptions = legal_value(source, "ScanOptions") or ""
    ds.MRAcquisitionType = "3D" if a.is_3d else "2D"
    ds.EchoTime = None
    ds.EchoTrainLength = a.echo_count
    for keyword in ("RepetitionTime", "FlipAngle"):
        value = legal_value(source, keyword) or legal_value(_timing(source), keyword)
        if value is not None:
            setattr(ds, keyword, value)
    if "RepetitionTime" not in ds:
        ds.RepetitionTime = None
    ds.MagneticFieldStrength = _ds(a.field_strength_t)
    ds.ImagingFrequency = _ds(a.center_frequency_hz / 1e6)
    return ds


def _timing(source: Dataset) -> Dataset:
    """Timing of an enhanced object's shared functional group; empty for a classic one."""
    for group in source.get("SharedFunctionalGroupsSequence") or []:
        for timing in group.get("MRTimingAndRelatedParametersSequence") or []:
            return timing  # type: ignore[no-any-return]
    return Dataset()


def _pixel_attributes(kind: MapKind, loaded: LoadedScan) -> Dataset:
    nx, ny, _ = loaded.grid.shape
    vx, vy, vz = loaded.grid.voxel_size_mm
    thickness = legal_value(loaded.template, "SliceThickness")
    axes = loaded.grid.axes
    ds = Dataset()
    ds.ImageOrientationPatient = [_ds(v) for v in (*axes[:, 0], *axes[:, 1])]
    ds.PixelSpacing = [_ds(vy), _ds(vx)]
    ds.SliceThickness = _ds(vz) if thickness is None else thickness
    ds.SpacingBetweenSlices = _ds(vz)
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = ny, nx
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    center, width = kind.value.window
    ds.WindowCenter, ds.WindowWidth = _ds(center), _ds(width)
    ds.RescaleIntercept, ds.RescaleSlope = "0", _ds(kind.value.slope)
    ds.RescaleType = kind.value.unit.meaning
    return ds


def _real_world_values(kind: MapKind) -> Sequence:
    quantity = kind.value
    definition = Dataset()
    definition.ValueType = "CODE"
    definition.ConceptNameCodeSequence = codes.QUANTITY.sequence()
    definition.ConceptCodeSequence = quantity.concept.sequence()
    item = Dataset()
    item.LUTExplanation = f"{quantity.concept.meaning} in {quantity.unit.meaning}"
    item.LUTLabel = quantity.name
    item.MeasurementUnitsCodeSequence = quantity.unit.sequence()
    item.add_new("RealWorldValueFirstValueMapped", "SS", LOWEST)
    item.add_new("RealWorldValueLastValueMapped", "SS", HIGHEST)
    item.RealWorldValueIntercept, item.RealWorldValueSlope = 0.0, quantity.slope
    item.QuantityDefinitionSequence = Sequence([definition])
    return Sequence([item])


def _equipment(run: RunIdentity, now: datetime) -> Sequence:
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = codes.PROCESSING_EQUIPMENT.sequence()
    item.Manufacturer, item.ManufacturerModelName = MANUFACTURER, MODEL
    versions = [run.code_version, run.image_digest]
    item.SoftwareVersions = [_ascii(v, _LONG_STRING) for v in versions if v]
    item.ContributionDateTime = now.strftime("%Y%m%d%H%M%S")
    item.ContributionDescription = _ascii(f"Recipe {run.recipe}", _SHORT_TEXT)
    return Sequence([item])


def _slice(image: NDArray[np.int16], index: int, *, kind: MapKind, loaded: LoadedScan, run: RunIdentity) -> Dataset:
    """What is the slice's own; `image` is (row, column)."""
    ds = Dataset()
    position = loaded.grid.position_lps_mm(index)
    normal = np.cross(loaded.grid.axes[:, 0], loaded.grid.axes[:, 1])
    ds.SOPInstanceUID = result_uid(loaded.manifest_sha256, run, kind.value.name, f"slice {index}")
    ds.InstanceNumber = index + 1
    ds.ImagePositionPatient = [_ds(v) for v in position]
    ds.SliceLocation = _ds(float(np.dot(normal, position)))
    ds.add_new("SmallestImagePixelValue", "SS", int(image.min()))
    ds.add_new("LargestImagePixelValue", "SS", int(image.max()))
    ds.PixelData = image.astype("<i2", copy=False).tobytes()
    ds["PixelData"].VR = "OW"
    return ds


def _save(ds: Dataset, path: Path) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID, meta.ImplementationVersionName = IMPLEMENTATION_CLASS_UID, "QSM_RECON"
    ds.file_meta = meta
    ds.save_as(path, enforce_file_format=True, overwrite=False)


def _output_error(error: OSError) -> Exception:
    if error.errno in _FULL:
        return TransientError("DiskFull", "The disk is full; the result was not written.")
    if error.errno in _TRANSIENT:
        return TransientError("OutputFailed", f"The result cannot be written: {error.strerror}.")
    return UsageError(f"The result cannot be written: {error.strerror or 'a file of that name exists'}.")


def _ds(value: float) -> str:
    """A decimal string of at most 16 characters, without negative zero."""
    if not math.isfinite(value):
        raise ValueError("not a number in a header")
    return format_number_as_ds(float(value) + 0.0)


def _ascii(text: str, length: int) -> str:
    """Our own text in the repertoire that is legal under every character set, without the value delimiter."""
    return text.encode("ascii", "replace").decode().replace("\\", "/")[:length].strip()


def _code_string(text: str) -> str:
    """Upper case, digits, underscore, at most 16 characters: the repertoire of CS."""
    kept = "".join(c if c.isascii() and c.isalnum() else "_" for c in text.upper())
    return kept[:16]
