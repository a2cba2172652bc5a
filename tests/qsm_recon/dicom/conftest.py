"""Acquisitions made by hand from classic files, and small synthetic scans on disk."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from qsm_acquisition import read_header, survey
from qsm_acquisition.acquisition import Acquisition, Cell
from qsm_acquisition.frames import Component, FrameHeader, Rescale, Vendor

ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
_LETTER = {"M": Component.MAGNITUDE, "P": Component.PHASE, "R": Component.REAL, "I": Component.IMAGINARY}


def _rescale(ds: Dataset) -> Rescale | None:
    if "RescaleSlope" not in ds:
        return None
    return Rescale(float(ds.RescaleSlope), float(ds.RescaleIntercept), str(ds.get("RescaleType", "")))


def classic_header(path: Path) -> FrameHeader:
    """What a classic file says, by the one rule these fixtures need: image type value 3 or 4."""
    ds = dcmread(path, stop_before_pixels=True)
    letter = next(v for v in ds.ImageType[2:] if v in _LETTER)
    iop = [float(v) for v in ds.ImageOrientationPatient]
    x, y, z = (float(v) for v in ds.ImagePositionPatient)
    between_rows, between_columns = (float(v) for v in ds.PixelSpacing)
    return FrameHeader(
        source=str(path),
        frame_index=None,
        sop_class_uid=str(ds.SOPClassUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
        series_instance_uid=str(ds.SeriesInstanceUID),
        echo_time_ms=float(ds.EchoTime),
        component=_LETTER[letter],
        image_position_mm=(x, y, z),
        row_cosines=(iop[0], iop[1], iop[2]),
        column_cosines=(iop[3], iop[4], iop[5]),
        pixel_spacing_mm=(between_rows, between_columns),
        rows=int(ds.Rows),
        columns=int(ds.Columns),
        bits_stored=int(ds.BitsStored),
        pixel_representation=int(ds.PixelRepresentation),
        rescale=_rescale(ds),
        real_world_value=None,
        instance_number=int(ds.InstanceNumber),
    )


def acquisition_of(headers: list[FrameHeader], vendor: Vendor) -> Acquisition:
    """The matrix of a complete set of headers."""
    first = headers[0]
    normal = np.cross(first.row_cosines, first.column_cosines)
    echoes = sorted({round(h.echo_time_ms, 2) for h in headers})
    places = {round(float(np.dot(normal, h.image_position_mm)), 2): h.image_position_mm for h in headers}
    heights = sorted(places)
    cells: dict[Cell, FrameHeader] = {}
    for h in headers:
        height = round(float(np.dot(normal, h.image_position_mm)), 2)
        cell = (echoes.index(round(h.echo_time_ms, 2)), heights.index(height), h.component)
        assert cell not in cells
        cells[cell] = h
    ds = dcmread(first.source, stop_before_pixels=True)
    return Acquisition(
        study_instance_uid=str(ds.StudyInstanceUID),
        series_instance_uids=tuple(sorted({h.series_instance_uid for h in headers})),
        frame_of_reference_uid=str(ds.FrameOfReferenceUID),
        vendor=vendor,
        software_versions="test",
        echo_times_s=tuple(e / 1000 for e in echoes),
        components=frozenset(h.component for h in headers),
        cells=cells,
        slice_positions_mm=tuple(places[h] for h in heights),
        row_cosines=first.row_cosines,
        column_cosines=first.column_cosines,
        pixel_spacing_mm=first.pixel_spacing_mm,
        slice_step_mm=(heights[-1] - heights[0]) / (len(heights) - 1),
        rows=first.rows,
        columns=first.columns,
        center_frequency_hz=float(ds.get("ImagingFrequency", 127.74)) * 1e6,
        field_strength_t=float(ds.get("MagneticFieldStrength", 3)),
        bipolar_readout=False,
        is_3d=True,
    )


def only_acquisition(folder: Path) -> Acquisition:
    """The acquisition that the headers of a folder make."""
    found = survey((str(f), header) for f in sorted(folder.iterdir()) if isinstance(header := read_header(f), Dataset))
    (acquisition,) = found.acquisitions
    return acquisition


@pytest.fixture(scope="session")
def philips(shared_data: Path) -> Acquisition:
    """Real brain, 2 echoes, Philips classic."""
    return only_acquisition(shared_data / "philips_ingenia_2echo_brain_classic" / "dicom")


@pytest.fixture(scope="session")
def siemens(shared_data: Path) -> Acquisition:
    """Real sphere, 6 echoes, Siemens classic, magnitude and phase in two series."""
    return only_acquisition(shared_data / "siemens_prisma_6echo_phantom" / "dicom")


@dataclass
class Synthetic:
    """A small scan to be written as one vendor would: stored integers per component, (echo, x, y, z)."""

    stored: dict[Component, NDArray[Any]]
    vendor: Vendor = Vendor.SIEMENS
    echo_times_ms: tuple[float, ...] = (5.0, 10.0, 15.0)
    rescale: Rescale | None = None
    iop: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    spacing_mm: tuple[float, float] = (1.5, 1.2)
    step_mm: float = 2.0
    charset: str = "ISO_IR 100"
    patient: str = "Test^Head"

    def pixel_attributes(self, stored: NDArray[Any]) -> Dataset:
        ds = Dataset()
        signed = stored.dtype.kind == "i"
        ds.Rows, ds.Columns = stored.shape[2], stored.shape[1]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored = 16, 16 if signed else 12
        ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, int(signed)
        return ds

    def common(self) -> Dataset:
        ds = Dataset()
        ds.SpecificCharacterSet = self.charset
        ds.SOPClassUID = MRImageStorage
        ds.Modality = "MR"
        ds.Manufacturer = str(self.vendor).upper()
        ds.ManufacturerModelName, ds.DeviceSerialNumber, ds.SoftwareVersions = "Model", "1", "V1"
        ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = self.patient, "ID1", "19700101", "O"
        ds.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
        ds.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame"])
        ds.SeriesInstanceUID = generate_uid(entropy_srcs=["series"])
        ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20240102", "101112", "7", "A7"
        ds.ReferringPhysicianName = ""
        ds.SeriesNumber, ds.PatientPosition, ds.PositionReferenceIndicator = 4, "HFS", ""
        ds.ScanningSequence, ds.SequenceVariant, ds.MRAcquisitionType = "GR", "SP", "3D"
        ds.MagneticFieldStrength, ds.ImagingFrequency = 3, 127.74
        return ds

    def positions(self) -> list[list[float]]:
        normal = np.cross(self.iop[:3], self.iop[3:])
        origin = np.array([-20.0, -30.0, 5.0])
        count = next(iter(self.stored.values())).shape[3]
        return [[round(float(v), 6) for v in origin + k * self.step_mm * normal] for k in range(count)]

    def write(self, folder: Path) -> Acquisition:
        """One classic file per image; the acquisition that refers to them."""
        folder.mkdir(parents=True, exist_ok=True)
        headers = []
        for component, stored in self.stored.items():
            for e, te in enumerate(self.echo_times_ms):
                for k, position in enumerate(self.positions()):
                    ds = self.common()
                    ds.update(self.pixel_attributes(stored))
                    ds.SOPInstanceUID = generate_uid(entropy_srcs=[component, str(e), str(k)])
                    ds.ImageType = ["ORIGINAL", "PRIMARY", component.value[0].upper(), "ND"]
                    ds.EchoTime, ds.InstanceNumber = te, k + 1
                    ds.ImageOrientationPatient, ds.ImagePositionPatient = list(self.iop), position
                    ds.PixelSpacing, ds.SliceThickness = list(self.spacing_mm), self.step_mm
                    if self.rescale and component is Component.PHASE:
                        ds.RescaleSlope, ds.RescaleIntercept = self.rescale.slope, self.rescale.intercept
                        ds.RescaleType = self.rescale.unit or "US"
                    ds.PixelData = np.ascontiguousarray(stored[e, :, :, k].T).tobytes()
                    path = folder / f"{component}_{e}_{k}.dcm"
                    _save(ds, path)
                    headers.append(classic_header(path))
        return acquisition_of(headers, self.vendor)

    def write_enhanced(self, path: Path) -> Acquisition:
        """All images as frames of one enhanced object, in an order unlike the matrix's."""
        classic = self.write(path.parent / "classic")
        cells = sorted(classic.cells, key=lambda cell: (cell[1], cell[2], -cell[0]))
        ds = self.common()
        any_stored = next(iter(self.stored.values()))
        ds.update(self.pixel_attributes(any_stored))
        ds.SOPClassUID, ds.SOPInstanceUID = ENHANCED_MR, generate_uid(entropy_srcs=["enhanced"])
        ds.ImageType, ds.InstanceNumber, ds.NumberOfFrames = ["ORIGINAL", "PRIMARY", "T1", "MIXED"], 1, len(cells)
        del ds.ScanningSequence, ds.SequenceVariant
        timing = Dataset()
        timing.RepetitionTime, timing.FlipAngle = 40, 15
        shared = Dataset()
        shared.MRTimingAndRelatedParametersSequence = Sequence([timing])
        measures = Dataset()
        measures.SliceThickness, measures.PixelSpacing = self.step_mm, list(self.spacing_mm)
        shared.PixelMeasuresSequence = Sequence([measures])
        ds.SharedFunctionalGroupsSequence = Sequence([shared])
        ds.PixelData = b"".join(
            np.ascontiguousarray(self.stored[cell[2]][cell[0], :, :, cell[1]].T).tobytes() for cell in cells
        )
        _save(ds, path)
        frames = {
            cell: replace(
                classic.cells[cell],
                source=str(path),
                frame_index=i,
                sop_class_uid=ENHANCED_MR,
                sop_instance_uid=str(ds.SOPInstanceUID),
            )
            for i, cell in enumerate(cells)
        }
        return replace(classic, cells=frames)


def _save(ds: Dataset, path: Path) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    FileDataset(path, ds, file_meta=meta, preamble=b"\0" * 128).save_as(path, enforce_file_format=True)


def stored_siemens_phase(phase_rad: NDArray[Any]) -> NDArray[np.uint16]:
    """0..4095 as Siemens stores it."""
    wrapped = np.angle(np.exp(1j * phase_rad))
    return np.clip(np.round((wrapped / np.pi + 1) * 2048), 0, 4095).astype(np.uint16)


def head(shape: tuple[int, int, int] = (36, 34, 6), echoes: int = 3) -> tuple[NDArray[Any], NDArray[Any]]:
    """Magnitude and unwrapped phase (echo, x, y, z) without symmetry, so that a flip or a swap shows."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    magnitude = 1000 * np.exp(-((x - 0.1) ** 2 + (y + 0.2) ** 2 + 0.3 * z**2)) + 30 * (1 + x)
    field = 1.1 * x + 0.8 * y * z + 0.5 * x**2 - 0.3 * z + 0.4
    index = np.arange(1, echoes + 1)[:, None, None, None]
    return magnitude * np.exp(-0.1 * index), 0.3 + 0.2 * y + 1.4 * field * index


@pytest.fixture
def synthetic() -> Synthetic:
    """Three echoes of a smooth head, stored as Siemens does."""
    magnitude, phase_rad = head()
    return Synthetic(
        {Component.MAGNITUDE: magnitude.astype(np.uint16), Component.PHASE: stored_siemens_phase(phase_rad)}
    )


@pytest.fixture(scope="session")
def make_synthetic() -> type[Synthetic]:
    return Synthetic


@pytest.fixture(scope="session")
def make_head() -> Callable[..., tuple[NDArray[Any], NDArray[Any]]]:
    return head


@pytest.fixture(scope="session")
def make_stored() -> Callable[[], dict[Component, NDArray[Any]]]:
    """Magnitude and phase of a small head as Siemens stores them."""

    def stored() -> dict[Component, NDArray[Any]]:
        magnitude, phase_rad = head()
        return {Component.MAGNITUDE: magnitude.astype(np.uint16), Component.PHASE: stored_siemens_phase(phase_rad)}

    return stored
