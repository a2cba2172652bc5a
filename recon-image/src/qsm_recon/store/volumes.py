"""Volumes as the store keeps them: NIfTI-1 files that any viewer opens, read back bit for bit.

What shrinks is compressed: maps are 0 outside the brain, and to pack one takes less time than to hash it unpacked
(docs/store-figures.md). A large volume that does not is never copied whole: slab after slab goes through hash and
network.
"""

import hashlib
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from qsm_recon import compression, file_order, nifti

WORTH_PACKING = 0.6
"""A volume is packed where less than this share of its middle slices remains."""
_PROBED_SHARE = 16
"""One slice of so many is packed to see."""
SLAB_BYTES = 16 << 20
_BUFFER_BYTES = 1 << 20
WHOLE_BYTES = 32 << 20
"""Smaller files are made once, in memory; larger ones twice, for their hash and for the way out."""
Piece = bytes | memoryview
KINDS = ("bool", "float32", "float64")


@dataclass(frozen=True, eq=False)
class VolumeFile:
    """One volume as a file."""

    suffix: str
    """Ending of the file's name."""
    size: int
    """Bytes of the file."""
    pieces: Callable[[], Iterator[Piece]]
    """The file from its first byte to its last."""

    def sha256(self) -> str:
        """Hash of the file."""
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()

    def open(self) -> BinaryIO:
        """The file as a stream."""
        return io.BufferedReader(_Stream(self.pieces()), _BUFFER_BYTES)


class _Stream(io.RawIOBase):
    """Pieces as a stream that is read once."""

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def as_file(array: NDArray[Any], affine_ras_mm: NDArray[np.float64], description: str) -> VolumeFile:
    """A volume as the file that will be stored.

    Parameters
    ----------
    array
        (x, y, z) bool, float32 or float64.
    affine_ras_mm : (4, 4)
        Voxel index to RAS mm.
    description
        The field's name, in the header; not the stage's, so that a volume which two stages hand on is stored once.
    """
    if array.dtype.name not in KINDS:
        raise TypeError(f"{description}: volumes of {array.dtype} are not kept")
    stored = array.view(np.uint8) if array.dtype == np.bool_ else array
    # NIfTI is little-endian here whatever the machine, so that equal volumes are equal files.
    block = (
        nifti.header(stored.shape, stored.dtype.newbyteorder("<"), affine_ras_mm, description).binaryblock + b"\0\0\0\0"
    )
    size = len(block) + stored.nbytes
    if _shrinks(stored):
        packed = compression.packed(_pieces(block, stored))
        return VolumeFile(".nii.gz", len(packed), lambda: iter([packed]))
    if size <= WHOLE_BYTES:
        whole = list(_pieces(block, stored))
        return VolumeFile(".nii", size, lambda: iter(whole))
    return VolumeFile(".nii", size, lambda: _pieces(block, stored))


def as_array(content: bytes | memoryview, kind: str, shape: tuple[int, ...], *, packed: bool) -> NDArray[Any]:
    """The volume of a stored file whose hash has been checked: C order, writable, as it was offered."""
    stored = np.dtype(np.uint8 if kind == "bool" else kind).newbyteorder("<")
    size = nifti.HEADER_BYTES + math.prod(shape) * stored.itemsize
    data = compression.unpacked(content, size) if packed else content
    volume = np.frombuffer(data, dtype=stored, offset=nifti.HEADER_BYTES).reshape(shape[::-1])
    made = np.empty(shape, dtype=np.dtype(kind))
    file_order.from_file(_native(volume), made.view(np.uint8) if kind == "bool" else made)
    return made


def _shrinks(array: NDArray[Any]) -> bool:
    """Whether packing pays, judged by its middle slices."""
    depth = array.shape[-1]
    count = -(-depth // _PROBED_SHARE)
    low = (depth - count) // 2
    probe = array[..., low : low + count]
    packed = compression.packed(_slabs(probe))
    return len(packed) < WORTH_PACKING * probe.nbytes


def _pieces(header: bytes, array: NDArray[Any]) -> Iterator[Piece]:
    yield header
    yield from _slabs(array)


def _slabs(array: NDArray[Any]) -> Iterator[memoryview]:
    """The values in the file's order (x fastest); of a large volume a few slices at a time."""
    depth = array.shape[-1]
    step = depth if array.nbytes <= WHOLE_BYTES else max(1, SLAB_BYTES // (array.nbytes // depth))
    for low in range(0, depth, step):
        slab = file_order.to_file(_native(array[..., low : low + step]))
        yield memoryview(slab.astype(slab.dtype.newbyteorder("<"), copy=False).data).cast("B")


def _native(array: NDArray[Any]) -> NDArray[Any]:
    """The processor's byte order, which compiled kernels know; a copy on big-endian machines only."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)
