"""Files as an export leaves them: names without meaning, in an order unlike the images'."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from qsm_recon.dicom.uids import IMPLEMENTATION_CLASS_UID
from qsm_recon.simulation.vendors.header import Identity

_PIXEL_DATA_OW = b"\xe0\x7f\x10\x00OW\x00\x00"
"""Tag (7FE0,0010), VR and reserved bytes of explicit VR little endian (PS3.5 7.1.2); the length follows."""


def shuffled_names(named: Identity, count: int, pattern: str) -> list[str]:
    """`pattern` with the numbers 1..count, in random (but always the same) order."""
    return [pattern.format(number + 1) for number in named.rng("file names").permutation(count)]


def file_meta(ds: Dataset, syntax: UID) -> FileMetaDataset:
    """Meta information (PS3.10 7.1) for the dataset's class and instance."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = "QSM_SIMULATION"
    return meta


def save(ds: Dataset, path: Path, syntax: UID = ExplicitVRLittleEndian) -> None:
    """One whole object."""
    ds.file_meta = file_meta(ds, syntax)
    dcmwrite(path, ds, enforce_file_format=True)


def save_frames(
    ds: Dataset, path: Path, frames: Iterable[tuple[int, NDArray[Any]]], advance: Callable[[], None]
) -> None:
    """A multi-frame object whose pixels never lie in memory as a whole.

    Parameters
    ----------
    ds
        The object without pixel data; NumberOfFrames, Rows and Columns tell the size.
    frames
        (0-based frame, 16-bit pixels (row, column)) in any order, each frame once.
    advance
        Called after every frame.

    Raises
    ------
    ValueError
        Where the frames are not those the header promises, or the pixels pass 4 GiB (a value's longest length).
    """
    size = 2 * int(ds.Rows) * int(ds.Columns)
    count = int(ds.NumberOfFrames)
    if size * count >= 0xFFFFFFFF:
        raise ValueError("uncompressed pixel data of one object must stay below 4 GiB")
    save(ds, path)
    written = set()
    with path.open("r+b") as file:
        file.seek(0, 2)
        file.write(_PIXEL_DATA_OW + (size * count).to_bytes(4, "little"))
        start = file.tell()
        for index, frame in frames:
            file.seek(start + index * size)
            file.write(np.ascontiguousarray(frame, dtype=frame.dtype.newbyteorder("<")).tobytes())
            written.add(index)
            advance()
    if written != set(range(count)):
        raise ValueError(f"{len(written)} frames were written where the header says {count}")
