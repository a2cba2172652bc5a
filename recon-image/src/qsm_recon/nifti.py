"""NIfTI in, NIfTI out, for researchers: arrays in voxel order (x, y, z[, echo]), affine in RAS mm.

Arrays are not flipped: the affine alone tells where the voxels are. Files are the same bytes for the same
volume (no time stamp in the gzip header).
"""

import errno
import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from qsm_recon import compression
from qsm_recon.errors import InputError, TransientError, UsageError

HEADER_BYTES = 352
"""Header and the four bytes that say: no extensions."""
_DESCRIPTION_BYTES = 79
_SPATIAL = 3
_IMAGE: Any = nib.Nifti1Image
_HEADER: Any = nib.Nifti1Header
"""nibabel is typed in part only."""


@dataclass(frozen=True, eq=False)
class Volume:
    """A volume and where it lies."""

    array: NDArray[np.float32]
    """(x, y, z) or (x, y, z, echo), scaled as the header states."""
    affine: NDArray[np.float64]
    """(4, 4): voxel index to RAS mm."""
    voxel_size_mm: tuple[float, float, float]
    """Distance between voxel centres along (x, y, z)."""


def read_volume(path: Path, label: str = "the file") -> Volume:
    """Read `.nii` or `.nii.gz`; a scale slope that is zero or not a number means unscaled, as the format says.

    Parameters
    ----------
    path
        The file.
    label
        What messages call it, e.g. the option: its name may tell of a person.

    Raises
    ------
    UsageError
        There is no such file, or it may not be read.
    InputError
        `Unreadable` for what is no NIfTI or is cut short; `InvalidPixels` for other than 3 or 4 axes or
        complex or colour voxels; `InvalidAttribute` for voxel sizes that are not positive.
    """
    if not path.is_file():
        raise UsageError(f"{label}: there is no such file.")
    try:
        image: Any = nib.load(path)
        if not isinstance(image, _IMAGE):
            raise InputError("Unreadable", f"{label} is no NIfTI file.")
        if image.get_data_dtype().kind not in "iufb":
            raise InputError("InvalidPixels", f"{label} holds complex or colour voxels; a real volume is expected.")
        array = np.asanyarray(image.dataobj).astype(np.float32, copy=False)
    except (ImageFileError, HeaderDataError, EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError("Unreadable", f"{label} is no NIfTI file, or is damaged or cut short.") from error
    except OSError as error:
        # nibabel reports a short file as an OSError without a number; the system's own have one.
        if error.errno is None:
            raise InputError("Unreadable", f"{label} is cut short.") from error
        raise UsageError(f"{label} cannot be read: {error.strerror}.") from error
    while array.ndim > _SPATIAL and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (_SPATIAL, _SPATIAL + 1):
        raise InputError("InvalidPixels", f"{label} has {array.ndim} axes; (x, y, z) or (x, y, z, echo) is expected.")
    affine = np.asarray(image.affine, dtype=np.float64)
    x, y, z = (float(v) for v in np.linalg.norm(affine[:3, :3], axis=0))
    if not all(np.isfinite(v) and v > 0 for v in (x, y, z)):
        raise InputError("InvalidAttribute", f"{label} states voxel sizes of {x:g}, {y:g}, {z:g} mm.")
    return Volume(np.ascontiguousarray(array), affine, (x, y, z))


def header(shape: tuple[int, ...], dtype: np.dtype[Any], affine_ras_mm: NDArray[np.float64], description: str) -> Any:
    """NIfTI-1 header of a single file (`binaryblock` gives its 348 bytes).

    Parameters
    ----------
    shape
        (x, y, z) or (x, y, z, echo).
    dtype
        As stored, not scaled.
    affine_ras_mm
        (4, 4) voxel index to RAS mm, as sform and qform.
    description
        For `descrip`, cut at 79 bytes.
    """
    made = _HEADER()
    made.set_data_offset(HEADER_BYTES)
    made.set_data_dtype(dtype)
    made.set_data_shape(shape)
    made.set_xyzt_units("mm")
    made.set_sform(affine_ras_mm, code="scanner")
    made.set_qform(affine_ras_mm, code="scanner")
    made["descrip"] = description.encode("ascii", "replace")[:_DESCRIPTION_BYTES]
    return made


def write_volume(path: Path, volume: NDArray[Any], affine_ras_mm: NDArray[np.float64], *, description: str) -> None:
    """Write a volume as float32 (masks as uint8); compressed where the name ends in `.gz`.

    Parameters
    ----------
    path
        `.nii` or `.nii.gz`; an existing file is replaced.
    volume
        (x, y, z) or (x, y, z, echo), bool or real.
    affine_ras_mm
        (4, 4) voxel index to RAS mm.
    description
        What it is and its unit, in the header's `descrip` (cut at 79 bytes).

    Raises
    ------
    UsageError
        A name with another extension, or a place that cannot be written to.
    TransientError
        `DiskFull` where the disk is full.
    """
    if not path.name.endswith((".nii", ".nii.gz")):
        raise UsageError(f"{path.name} must end in .nii or .nii.gz.")
    stored = volume.astype(np.uint8 if volume.dtype == np.bool_ else np.float32, copy=False)
    image = _IMAGE(stored, affine_ras_mm, header(stored.shape, stored.dtype, affine_ras_mm, description))
    content = image.to_bytes()
    if path.name.endswith(".gz"):
        content = compression.packed([content])
    try:
        path.write_bytes(content)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise TransientError("DiskFull", f"The disk is full; {path.name} was not written.") from error
        raise UsageError(f"{path.name} cannot be written: {error.strerror}.") from error
