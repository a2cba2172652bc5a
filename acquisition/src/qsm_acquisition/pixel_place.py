"""Where an instance's uncompressed pixels lie in its file, noted while its header is read.

Who decodes the pixels later needs no second look at the header, which takes longer than the pixels themselves.
"""

from dataclasses import dataclass

from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from qsm_acquisition.elements import has, number, text

NATIVE = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian})
"""Transfer syntaxes in which pixels are plain numbers."""

_NOTE = "qsm_pixel_place"


@dataclass(frozen=True)
class PixelPlace:
    """PixelData of one native object, one sample a pixel, and what its bytes mean (PS3.3 C.7.6.3, PS3.5 section 8)."""

    offset: int
    """Of the value's first byte in the file."""
    transfer_syntax_uid: str
    value_representation: str
    """`OW` or `OB`."""
    frame_count: int
    photometric_interpretation: str
    bits_allocated: int
    file_size: int
    modified_ns: int
    """Time of the file's last change: a file that has changed since is not read by this note."""


def note(header: FileDataset, *, offset: int, length: int, vr: str, file_size: int, modified_ns: int) -> None:
    """Keep with a header where its pixels are; nothing is kept where they are in colour, packed, or not all there.

    Parameters
    ----------
    header
        As read from the file, without pixels.
    offset, length
        Of the value of PixelData, in bytes.
    vr
        Its value representation as written; empty in an implicit syntax.
    file_size, modified_ns
        Of the file, when the header was read.
    """
    syntax = text(header.file_meta, "TransferSyntaxUID")
    rows, columns, samples, bits, frames = (
        int(number(header, keyword) or 0)
        for keyword in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "NumberOfFrames")
    )
    frames = frames if has(header, "NumberOfFrames") else 1
    if syntax not in NATIVE or samples != 1 or min(rows, columns, bits, frames) < 1:
        return
    if length < rows * columns * frames * bits // 8:
        return
    place = PixelPlace(
        offset=offset,
        transfer_syntax_uid=syntax,
        value_representation=vr or "OW",
        frame_count=frames,
        photometric_interpretation=text(header, "PhotometricInterpretation"),
        bits_allocated=bits,
        file_size=file_size,
        modified_ns=modified_ns,
    )
    vars(header)[_NOTE] = place


def noted(header: Dataset) -> PixelPlace | None:
    """What `note` kept; None for compressed pixels, and for a header that came from elsewhere than a file."""
    place = vars(header).get(_NOTE)
    return place if isinstance(place, PixelPlace) else None
