"""Stored pixels: the same by the survey's note as by parsing the file again, and by every transfer syntax."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from qsm_acquisition import Refusal, read_header
from qsm_acquisition.frames import Component, FrameHeader
from qsm_acquisition.headers import describe
from qsm_recon.dicom.pixels import read_frames
from qsm_recon.errors import InputError


def frame_headers(path: Path) -> list[FrameHeader]:
    """Every frame of one file, as a survey would hand it on."""
    header = read_header(path)
    assert not isinstance(header, Refusal), header.message
    instance = describe(str(path), header)
    count = int(header.get("NumberOfFrames") or 1)
    blank = (0.0, 0.0, 0.0)
    one = FrameHeader(
        source=str(path),
        frame_index=None,
        sop_class_uid=instance.sop_class_uid,
        sop_instance_uid=instance.sop_instance_uid,
        series_instance_uid=instance.series_instance_uid,
        echo_time_ms=0.0,
        component=Component.MAGNITUDE,
        image_position_mm=blank,
        row_cosines=blank,
        column_cosines=blank,
        pixel_spacing_mm=(1.0, 1.0),
        rows=instance.rows,
        columns=instance.columns,
        bits_stored=instance.bits_stored,
        pixel_representation=instance.pixel_representation,
        rescale=None,
        real_world_value=None,
        instance_number=None,
        pixel_place=instance.pixel_place,
    )
    return [one] if count == 1 else [replace(one, frame_index=index) for index in range(count)]


def pixels(headers: list[FrameHeader]) -> list[NDArray[Any]]:
    return [frame.copy() for frame in read_frames(headers, [f"frame {n}" for n in range(len(headers))])]


def parsed(headers: list[FrameHeader]) -> list[NDArray[Any]]:
    return pixels([replace(header, pixel_place=None) for header in headers])


def assert_same(some: list[NDArray[Any]], others: list[NDArray[Any]]) -> None:
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def write(synthetic: Any, tmp_path: Path) -> Callable[..., Path]:
    """One image of a synthetic scan, changed, in some transfer syntax."""
    synthetic.write(tmp_path / "scan")
    source = min((tmp_path / "scan").iterdir())

    def written(syntax: str = ExplicitVRLittleEndian, change: Callable[[Dataset], object] = id) -> Path:
        ds = dcmread(source)
        change(ds)
        path = tmp_path / "one.dcm"
        ds.file_meta.TransferSyntaxUID = syntax
        implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
        if not little:
            ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
        dcmwrite(path, ds, implicit_vr=implicit, little_endian=little, enforce_file_format=True)
        return path

    return written


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_the_noted_place_gives_what_parsing_gives(write: Callable[..., Path], syntax: str) -> None:
    headers = frame_headers(write(syntax))
    assert headers[0].pixel_place is not None
    assert_same(pixels(headers), parsed(headers))


def test_bits_above_the_stored_ones_are_nobodys(write: Callable[..., Path]) -> None:
    """Old scanners keep overlays there; both ways read them as nothing."""

    def overlay(ds: Dataset) -> None:
        ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 12, 11, 0
        values = np.arange(ds.Rows * ds.Columns, dtype="<u2") % 4096
        ds.PixelData = (values | 0x5000).astype("<u2").tobytes()

    headers = frame_headers(write(change=overlay))
    (image,) = pixels(headers)
    assert image.max() < 4096
    assert_same([image], parsed(headers))


def test_frames_of_one_object_out_of_order(synthetic: Any, tmp_path: Path) -> None:
    synthetic.write_enhanced(tmp_path / "enhanced.dcm")
    headers = frame_headers(tmp_path / "enhanced.dcm")
    assert headers[0].pixel_place is not None
    some = [headers[index] for index in (3, 0, 35)]
    assert_same(pixels(some), parsed(some))
    assert not np.array_equal(*pixels(some)[:2])


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, RLELossless])
def test_packed_pixels_have_no_place(write: Callable[..., Path], syntax: str) -> None:
    path = write()
    ds = dcmread(path)
    if syntax == RLELossless:
        ds.compress(RLELossless, generate_instance_uid=False)
    else:
        ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(path)
    assert frame_headers(path)[0].pixel_place is None


def test_too_few_bytes_have_no_place(write: Callable[..., Path]) -> None:
    def shorten(ds: Dataset) -> None:
        ds.PixelData = ds.PixelData[:-64]

    headers = frame_headers(write(change=shorten))
    assert headers[0].pixel_place is None
    with pytest.raises(InputError) as caught:
        pixels(headers)
    assert caught.value.reason == "TruncatedPixels"


def test_a_file_that_was_replaced_since_is_parsed_anew(write: Callable[..., Path]) -> None:
    headers = frame_headers(write())

    def other(ds: Dataset) -> None:
        ds.PatientComments = "a longer header, so that the pixels lie elsewhere"
        ds.PixelData = (np.frombuffer(ds.PixelData, "<u2") // 2).tobytes()

    path = write(change=other)
    os.utime(path, ns=(1, 1))  # a clock too coarse to tell: the size does
    assert_same(pixels(headers), parsed(frame_headers(path)))


def test_transfer_syntaxes_decode_alike(shared_data: Path) -> None:
    files = sorted((shared_data / "transfer_syntaxes" / "dicom").iterdir())
    frames = [pixels(frame_headers(file)) for file in files]
    assert len(frames) == 9
    for other in frames[1:]:
        np.testing.assert_array_equal(frames[0], other)


def test_real_files_give_the_same_both_ways(shared_data: Path) -> None:
    """Two of every folder with plain pixels: first and last."""
    compared = 0
    for folder in sorted(shared_data.rglob("*")):
        files = sorted(file for file in folder.iterdir() if file.is_file()) if folder.is_dir() else []
        for path in files[:: max(1, len(files) - 1)]:
            header = read_header(path)
            if isinstance(header, Refusal) or frame_headers(path)[0].pixel_place is None:
                continue
            headers = frame_headers(path)[:40]
            assert_same(pixels(headers), parsed(headers))
            compared += 1
    assert compared >= 10
