"""What stands in the files, looked at without the reader: encoding, sign and order that each vendor is known for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from qsm_recon.simulation.measurement import Measurement
from qsm_recon.simulation.vendors import VENDORS, header, stored
from qsm_recon.simulation.vendors.files import save_frames

Write = Callable[[str], list[Any]]


@pytest.fixture
def ramp(measurement: Measurement) -> Measurement:
    """A positive field: phase 0.3, 0.6, 0.9 rad at echoes 1, 2, 3 everywhere, magnitude falling with the echo."""
    signal = np.empty_like(measurement.signal)
    for echo in range(3):
        signal[echo] = (1 - 0.2 * echo) * np.exp(0.3j * (echo + 1))
    return replace(measurement, signal=signal)


@pytest.fixture
def write(ramp: Measurement, tmp_path: Path) -> Write:
    """Datasets of the ramp, by series, echo time and position."""

    def written(vendor: str) -> list[Any]:
        VENDORS[vendor](ramp, tmp_path)
        every = [dcmread(f) for f in tmp_path.iterdir()]
        return sorted(every, key=lambda ds: (ds.SeriesNumber, ds.InstanceNumber))

    return written


def of_type(every: list[Any], word: str) -> list[Any]:
    return [ds for ds in every if word in ds.ImageType[2:]]


def test_siemens_phase_has_no_rescale_and_grows(write: Write) -> None:
    phases = of_type(write("siemens"), "P")
    assert not any("RescaleSlope" in ds for ds in phases)
    for ds in phases:
        rad = (ds.pixel_array / 2048 - 1) * np.pi
        np.testing.assert_allclose(rad, 0.3 * ds.EchoNumbers, atol=np.pi / 4096 * 1.01)


def test_siemens_halves_are_two_series_of_one_acquisition(write: Write) -> None:
    every = write("siemens")
    m, p = of_type(every, "M"), of_type(every, "P")
    assert len({ds.SeriesInstanceUID for ds in m}) == len({ds.SeriesInstanceUID for ds in p}) == 1
    assert m[0].SeriesInstanceUID != p[0].SeriesInstanceUID
    assert len({(ds.AcquisitionNumber, ds.AcquisitionTime, ds.FrameOfReferenceUID) for ds in every}) == 1


def test_one_magnitude_scale_for_all_echoes(write: Write) -> None:
    top = {int(ds.EchoNumbers): int(ds.pixel_array.max()) for ds in of_type(write("siemens"), "M")}
    assert top == {1: 4095, 2: 3276, 3: 2457}


def test_xa_phase_is_rescaled_per_frame(write: Write) -> None:
    for ds in of_type(write("siemens-xa"), "P"):
        assert ds.ComplexImageComponent == "PHASE"
        assert ds.NumberOfFrames == len(ds.PerFrameFunctionalGroupsSequence) == 6
        frame = ds.PerFrameFunctionalGroupsSequence[3]
        scale = frame.PixelValueTransformationSequence[0]
        rad = (ds.pixel_array[3] * float(scale.RescaleSlope) + float(scale.RescaleIntercept)) * np.pi / 4096
        echo = ds.InstanceNumber
        np.testing.assert_allclose(rad, 0.3 * echo, atol=np.pi / 4096 * 1.01)


def test_philips_says_the_same_three_ways(write: Write, ramp: Measurement) -> None:
    every = write("philips")
    assert len({ds.SeriesInstanceUID for ds in every}) == 1
    for ds in of_type(every, "PHASE MAP"):
        mapping = ds.RealWorldValueMappingSequence[0]
        by_rescale = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
        by_mapping = ds.pixel_array * mapping.RealWorldValueSlope + mapping.RealWorldValueIntercept
        by_private = (ds.pixel_array - ds[0x2005, 0x100D].value) / ds[0x2005, 0x100E].value
        assert ds.RescaleType == "mrad"
        np.testing.assert_allclose(by_rescale / 1e3, 0.3 * ds.EchoNumbers, atol=1e-3)
        np.testing.assert_allclose(by_mapping, by_rescale, atol=1e-9)
        np.testing.assert_allclose(by_private, by_rescale / 1e3, atol=1e-3)
    for ds in of_type(every, "M_FFE"):
        signal = ds.pixel_array / ds[0x2005, 0x100E].value
        np.testing.assert_allclose(signal, 1 - 0.2 * (ds.EchoNumbers - 1), atol=2e-4)


def test_philips_enhanced_frames_are_mixed(write: Write) -> None:
    (ds,) = write("philips-enhanced")
    assert list(ds.ImageType)[2:] == ["T1", "MIXED"]
    places = []
    for frame, pixels in zip(ds.PerFrameFunctionalGroupsSequence, ds.pixel_array, strict=True):
        kind = frame.MRImageFrameTypeSequence[0].ComplexImageComponent
        echo = frame.FrameContentSequence[0].DimensionIndexValues[2]
        places.append((kind, echo, frame.FrameContentSequence[0].InStackPositionNumber))
        if kind == "PHASE":
            scale = frame.PixelValueTransformationSequence[0]
            mrad = pixels * float(scale.RescaleSlope) + float(scale.RescaleIntercept)
            np.testing.assert_allclose(mrad, 300 * echo, atol=1)
    assert len(set(places)) == 36
    assert places != sorted(places)


def test_ge_conjugates_and_alternates(write: Write) -> None:
    every = write("ge")
    code = {0: "M", 2: "R", 3: "I"}
    volumes = {(code[ds[0x0043, 0x102F].value], ds.EchoNumbers, ds.InStackPositionNumber): ds for ds in every}
    assert len(volumes) == 54
    for (kind, echo, slice_number), ds in volumes.items():
        magnitude = 16383 * (1 - 0.2 * (echo - 1))
        sign = -1 if slice_number % 2 == 0 else 1
        expected = {
            "M": magnitude,
            "R": sign * magnitude * np.cos(-0.3 * echo),
            "I": sign * magnitude * np.sin(-0.3 * echo),
        }[kind]
        np.testing.assert_allclose(ds.pixel_array, expected, atol=0.51)
        assert ds.PixelRepresentation == 1
        assert ds.InstanceNumber % 3 == {"M": 1, "R": 2, "I": 0}[kind]
        assert ds.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian


def test_uih_phase_falls_and_its_frequency_is_in_hertz(write: Write) -> None:
    for ds in of_type(write("uih"), "P"):
        rad = (ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)) * np.pi / 4096
        np.testing.assert_allclose(rad, -0.3 * ds.EchoNumbers, atol=np.pi / 4096 * 1.01)
        assert float(ds.ImagingFrequency) == pytest.approx(127.7324e6)


@pytest.mark.parametrize("vendor", sorted(VENDORS))
def test_rows_are_rows(vendor: str, measurement: Measurement, tmp_path: Path) -> None:
    VENDORS[vendor](measurement, tmp_path)
    ds = dcmread(next(tmp_path.iterdir()))
    assert (ds.Columns, ds.Rows) == measurement.signal.shape[1:3]
    measures = (
        ds if "PixelSpacing" in ds else ds.PerFrameFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    ).PixelSpacing
    np.testing.assert_allclose([float(v) for v in measures], (5, 4), rtol=1e-12)


@pytest.mark.parametrize(
    ("angle", "steps"), [(0.0, 2048), (np.pi, 0), (-np.pi, 0), (np.pi / 2, 3072), (-np.pi + np.pi / 2048, 1)]
)
def test_a_turn_has_4096_steps_and_its_ends_meet(angle: float, steps: int) -> None:
    assert stored.phase_of_turn(np.full((1, 1, 1), np.exp(1j * angle), np.complex64)) == steps


@pytest.mark.parametrize(
    "value", [1 / 3, -1 / 3, -0.03861004859200000, 1e-17, 123456789.123456789, -109.45833779498, 3]
)
def test_decimal_strings_fit_and_are_exact_enough(value: float) -> None:
    text = header.ds_text(value)
    assert len(text) <= 16
    assert float(text) == pytest.approx(value, rel=1e-9)


def test_frames_must_be_those_the_header_promises(measurement: Measurement, tmp_path: Path) -> None:
    VENDORS["siemens-xa"](measurement, tmp_path)
    ds = dcmread(next(tmp_path.iterdir()))
    images = list(ds.pixel_array)
    del ds.PixelData
    with pytest.raises(ValueError, match="5 frames were written where the header says 6"):
        save_frames(ds, tmp_path / "short.dcm", enumerate(images[:-1]), lambda: None)
    ds.NumberOfFrames = 1 << 28
    with pytest.raises(ValueError, match="4 GiB"):
        save_frames(ds, tmp_path / "large.dcm", enumerate(images), lambda: None)
    assert ds.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
