"""Stored pixels of one file, frame by frame, whatever the transfer syntax.

Frames of a multi-frame object are read one at a time, so that a file of several hundred megabytes needs the memory
of one frame. Where the survey noted the place of uncompressed pixels, they are decoded from there; else the image
pixel attributes are parsed.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from qsm_acquisition.frames import FrameHeader
from qsm_acquisition.pixel_place import PixelPlace
from qsm_recon.errors import InputError, TransientError

LOSSLESS = frozenset(
    {
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEGLossless,
        JPEGLosslessSV1,
        JPEGLSLossless,
        JPEG2000Lossless,
        "1.2.840.10008.1.2.4.201",  # High-Throughput JPEG 2000, lossless
        "1.2.840.10008.1.2.4.202",  # the same with RPCL options
    }
)
"""Transfer syntaxes that keep every bit; any other is refused."""

LOSSY_TAG = 0x00282110
_DECODING_ERRORS = (ValueError, RuntimeError, AttributeError, EOFError, IndexError, KeyError, TypeError)


def read_frames(headers: Sequence[FrameHeader], where: Sequence[str]) -> Iterator[NDArray[Any]]:
    """The pixels of frames of one file, each (row, column), as stored (no rescale).

    Parameters
    ----------
    headers
        Frames of one file, whose `source` is its path.
    where
        Each frame in words, for messages.

    Raises
    ------
    InputError
        `LossyCompression`, `TruncatedPixels`, `InvalidPixels`.
    TransientError
        `InputUnreadable` where the file system fails.
    """
    first = headers[0]
    indices = [header.frame_index or 0 for header in headers]
    shape = (first.rows, first.columns)
    done = 0
    try:
        for frame in _decode(first, indices, where[0]):
            if frame.shape != shape:
                raise InputError(
                    "InvalidPixels",
                    f"{where[done]}: the image decodes to {frame.shape}, expected {shape} (rows, columns).",
                )
            yield frame
            done += 1
    except _DECODING_ERRORS as error:
        raise InputError(
            "TruncatedPixels",
            f"{where[min(done, len(where) - 1)]}: the pixel data cannot be decoded; the file is cut short or damaged.",
        ) from error
    except OSError as error:
        raise TransientError("InputUnreadable", f"{where[0]}: the file cannot be read ({error.strerror}).") from error
    if done != len(indices):
        raise InputError("TruncatedPixels", f"{where[done]}: the file holds fewer frames than its header states.")


def _decode(header: FrameHeader, indices: list[int], where: str) -> Iterator[NDArray[Any]]:
    path, place = Path(header.source), header.pixel_place
    if place is None:
        yield from _parsed(path, indices, where)
        return
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if (status.st_size, status.st_mtime_ns) == (place.file_size, place.modified_ns):
            yield from _placed(file, header, place, indices)
            return
    yield from _parsed(path, indices, where)  # another file lies there since the survey


def _placed(file: BinaryIO, header: FrameHeader, place: PixelPlace, indices: list[int]) -> Iterator[NDArray[Any]]:
    """Decoded where the survey found them; that they are lossless, the survey has seen."""
    file.seek(place.offset)
    syntax = UID(place.transfer_syntax_uid)
    for frame, _ in get_decoder(syntax).iter_array(
        file,
        indices=indices,
        raw=True,
        transfer_syntax_uid=syntax,
        pixel_keyword="PixelData",
        pixel_vr=place.value_representation,
        rows=header.rows,
        columns=header.columns,
        number_of_frames=place.frame_count,
        samples_per_pixel=1,
        photometric_interpretation=place.photometric_interpretation,
        pixel_representation=header.pixel_representation,
        bits_allocated=place.bits_allocated,
        bits_stored=header.bits_stored,
    ):
        yield frame


def _parsed(path: Path, indices: list[int], where: str) -> Iterator[NDArray[Any]]:
    try:
        syntax = read_file_meta_info(path).get("TransferSyntaxUID")
    except InvalidDicomError:  # no preamble: legal in the wild, read as a whole below
        syntax = None
    if syntax is not None and syntax not in LOSSLESS:
        raise _lossy(where, f"transfer syntax {syntax}")
    if syntax is None or syntax == DeflatedExplicitVRLittleEndian:
        yield from _decode_whole(path, indices, where)
        return
    header = Dataset()
    with path.open("rb") as file:
        for frame in iter_pixels(file, indices=indices, raw=True, ds_out=header, specific_tags=[LOSSY_TAG]):
            if header.get("LossyImageCompression") == "01":
                raise _lossy(where, "attribute (0028,2110)")
            yield frame


def _decode_whole(path: Path, indices: list[int], where: str) -> Iterator[NDArray[Any]]:
    """Deflated files and files without a meta header cannot be read piecewise."""
    ds = dcmread(path, force=True)
    if ds.get("LossyImageCompression") == "01":
        raise _lossy(where, "attribute (0028,2110)")
    if "TransferSyntaxUID" not in ds.file_meta:
        implicit, little = ds.original_encoding
        ds.file_meta.TransferSyntaxUID = (
            ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        )
    yield from iter_pixels(ds, indices=indices, raw=True)


def _lossy(where: str, by: str) -> InputError:
    return InputError(
        "LossyCompression", f"{where}: the pixels were compressed with loss ({by}); phase does not survive that."
    )


def read_header(path: Path) -> Dataset:
    """Everything before the pixel data.

    Raises
    ------
    TransientError
        `InputUnreadable` where the file system fails.
    """
    with warnings.catch_warnings():
        # The values are judged one by one where they are copied (`write`); reading must survive all of them.
        warnings.simplefilter("ignore")
        try:
            return dcmread(path, stop_before_pixels=True, force=True)
        except OSError as error:
            raise TransientError("InputUnreadable", f"an image cannot be read again ({error.strerror}).") from error
