"""Synthetic scanner headers: small, whole, and written as each vendor writes them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

MR = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED = "1.2.840.10008.5.1.4.1.1.4.1"
ROOT = "1.2.826.0.1.3680043.9.9999"
Heap = list[tuple[str, Dataset]]


@dataclass
class Protocol:
    """A multi-echo gradient-echo protocol; every field may be changed to make it wrong."""

    echo_times_ms: tuple[float, ...] = (4.0, 9.0, 14.0)
    slices: int = 5
    step_mm: float = 2.0
    spacing_mm: tuple[float, float] = (1.0, 1.0)
    orientation: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    normal: tuple[float, ...] = (0.0, 0.0, 1.0)
    acquisition: int = 1
    start: str = "101500"
    study: int = 1
    series: int = 1
    extra: dict[str, object] = field(default_factory=dict)


def uid(*numbers: object) -> UID:
    return UID(".".join([ROOT, *(str(number) for number in numbers)]))


def header(protocol: Protocol, echo: int, position: int, series: int, number: int) -> Dataset:
    """One classic MR header without vendor words."""
    ds = Dataset()
    ds.SOPClassUID = MR
    ds.SOPInstanceUID = uid(protocol.study, series, protocol.acquisition, number)
    ds.StudyInstanceUID = uid(protocol.study)
    ds.SeriesInstanceUID = uid(protocol.study, series)
    ds.FrameOfReferenceUID = uid(protocol.study, 777)
    ds.Modality = "MR"
    ds.ScanningSequence = "GR"
    ds.SequenceVariant = "SP"
    ds.MRAcquisitionType = "3D"
    ds.EchoTime = protocol.echo_times_ms[echo]
    ds.EchoNumbers = echo + 1
    ds.ImagingFrequency = 123.25
    ds.MagneticFieldStrength = 3
    ds.AcquisitionNumber = protocol.acquisition
    ds.AcquisitionTime = protocol.start
    ds.InstanceNumber = number
    ds.Rows, ds.Columns = 8, 10
    ds.PixelSpacing = list(protocol.spacing_mm)
    ds.ImageOrientationPatient = list(protocol.orientation)
    ds.ImagePositionPatient = [round(n * position * protocol.step_mm, 6) for n in protocol.normal]
    ds.SamplesPerPixel = 1
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    for keyword, value in protocol.extra.items():
        setattr(ds, keyword, value)
    return ds


def classic(protocol: Protocol, letters: str, dress: Callable[[Dataset, str], None], series: dict[str, int]) -> Heap:
    """Every echo, slice and component; `dress` puts on the vendor's words."""
    heap = []
    for letter in letters:
        for echo in range(len(protocol.echo_times_ms)):
            for position in range(protocol.slices):
                number = 1 + position + protocol.slices * (echo + len(protocol.echo_times_ms) * letters.index(letter))
                ds = header(protocol, echo, position, series[letter], number)
                dress(ds, letter)
                name = f"{protocol.study}/{series[letter]}/{protocol.acquisition}/{letter}/e{echo + 1}/s{position + 1}"
                heap.append((name, ds))
    return heap


class Named(dict[str, Heap]):
    """Scans by name, shown in one word where a failing example is printed."""

    def __repr__(self) -> str:
        return "scans"


class Scans:
    """Complete, usable scans of each vendor, and the pieces to make others."""

    Protocol = Protocol
    Named = Named
    uid = staticmethod(uid)

    @staticmethod
    def siemens(protocol: Protocol | None = None, letters: str = "MP", words: tuple[str, ...] = ("ND",)) -> Heap:
        protocol = protocol or Protocol()

        def dress(ds: Dataset, letter: str) -> None:
            ds.Manufacturer = "SIEMENS"
            ds.ImageType = ["ORIGINAL", "PRIMARY", letter, *words]

        first = protocol.series
        return classic(protocol, letters, dress, {"M": first, "P": first + 1})

    @staticmethod
    def philips(protocol: Protocol | None = None, letters: str = "MP") -> Heap:
        protocol = protocol or Protocol()

        def dress(ds: Dataset, letter: str) -> None:
            ds.Manufacturer = "Philips Medical Systems"
            word = {"M": "M_FFE", "P": "PHASE MAP", "R": "R_FFE", "I": "I_FFE"}[letter]
            ds.ImageType = ["ORIGINAL", "PRIMARY", word, letter, "FFE"]
            if letter == "P":
                ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = "1.53455", "-3142", "mrad"

        return classic(protocol, letters, dress, dict.fromkeys("MPRI", protocol.series))

    @staticmethod
    def ge(protocol: Protocol | None = None, letters: str = "RI", *, raw: str = "") -> Heap:
        protocol = protocol or Protocol()

        def dress(ds: Dataset, letter: str) -> None:
            ds.Manufacturer = "GE MEDICAL SYSTEMS"
            ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
            code = "MPRI".index(letter)
            block = ds.private_block(0x0043, "GEMS_PARM_01", create=True)
            if raw:
                block.add_new(0x2F, "UN", code.to_bytes(2, "little" if raw == "little" else "big"))
            else:
                block.add_new(0x2F, "SS", code)

        return classic(protocol, letters, dress, dict.fromkeys("MPRI", protocol.series))

    @staticmethod
    def other(manufacturer: str, protocol: Protocol | None = None, letters: str = "MP") -> Heap:
        protocol = protocol or Protocol()

        def dress(ds: Dataset, letter: str) -> None:
            ds.Manufacturer = manufacturer
            ds.ImageType = ["ORIGINAL", "PRIMARY", letter, "UCA", "IF"]
            ds.RescaleSlope, ds.RescaleIntercept = "1.5", "-3142"

        return classic(protocol, letters, dress, dict.fromkeys("MPRI", protocol.series))

    @staticmethod
    def enhanced(
        cells: Iterable[tuple[int, int, str]],
        protocol: Protocol | None = None,
        *,
        number: int = 1,
        manufacturer: str = "Philips",
    ) -> tuple[str, Dataset]:
        """One enhanced object whose frames are the given (echo, slice, letter)."""
        protocol = protocol or Protocol()
        ds = header(protocol, 0, 0, protocol.series, number)
        for keyword in (
            "EchoTime",
            "EchoNumbers",
            "PixelSpacing",
            "ImageOrientationPatient",
            "ImagePositionPatient",
            "ImagingFrequency",
            "ScanningSequence",
            "SequenceVariant",
            "AcquisitionTime",
        ):
            delattr(ds, keyword)
        ds.SOPClassUID = ENHANCED
        ds.Manufacturer = manufacturer
        ds.ImageType = ["ORIGINAL", "PRIMARY", "T1", "MIXED"]
        ds.EchoPulseSequence = "GRADIENT"
        shared = Dataset()
        shared.PixelMeasuresSequence = [Dataset()]
        shared.PixelMeasuresSequence[0].PixelSpacing = list(protocol.spacing_mm)
        shared.PlaneOrientationSequence = [Dataset()]
        shared.PlaneOrientationSequence[0].ImageOrientationPatient = list(protocol.orientation)
        shared.MRImagingModifierSequence = [Dataset()]
        shared.MRImagingModifierSequence[0].TransmitterFrequency = 127.75
        ds.SharedFunctionalGroupsSequence = Sequence([shared])
        frames = [_frame(protocol, *cell) for cell in cells]
        ds.PerFrameFunctionalGroupsSequence = Sequence(frames)
        ds.NumberOfFrames = len(frames)
        return (f"enhanced/{protocol.series}/{number}", ds)


def _frame(protocol: Protocol, echo: int, position: int, letter: str) -> Dataset:
    frame = Dataset()
    frame.MREchoSequence = [Dataset()]
    frame.MREchoSequence[0].EffectiveEchoTime = 0.0 if letter == "F" else protocol.echo_times_ms[echo] + 1e-9
    frame.MRImageFrameTypeSequence = [Dataset()]
    kind = frame.MRImageFrameTypeSequence[0]
    words = {"M": "MAGNITUDE", "P": "PHASE", "R": "REAL", "I": "IMAGINARY", "F": "REAL"}
    kind.ComplexImageComponent = words[letter]
    kind.FrameType = ["ORIGINAL", "PRIMARY", "T1", "FIELD_MAP" if letter == "F" else letter]
    frame.PlanePositionSequence = [Dataset()]
    frame.PlanePositionSequence[0].ImagePositionPatient = [n * position * protocol.step_mm for n in protocol.normal]
    frame.PixelValueTransformationSequence = [Dataset()]
    transformation = frame.PixelValueTransformationSequence[0]
    phase = letter == "P"
    transformation.RescaleSlope, transformation.RescaleIntercept = ("1.53455", "-3142") if phase else ("1", "0")
    transformation.RescaleType = "US"
    return frame


@pytest.fixture(scope="session")
def scans() -> type[Scans]:
    """Builder of synthetic scans."""
    return Scans
