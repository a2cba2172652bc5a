"""An `Acquisition` (headers) becomes a `MultiEchoScan` (arrays): pixels decoded once, scaled by the vendor's rule.

Order of work: volume after volume (echo, component), file after file within it. A volume is staged as
(slice, row, column), the order the files have. While the next one is read, it is turned into (x, y, z), checked and,
where somebody asks, hashed: that leaves the interpreter, which reading of files needs. Nothing larger than the result
plus three volumes is ever held.
"""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from qsm_acquisition.acquisition import Acquisition, Cell
from qsm_acquisition.frames import Component, FrameHeader
from qsm_recon.dicom import phase, phase_checks
from qsm_recon.dicom.finishing import Behind, Finisher
from qsm_recon.dicom.geometry import VoxelGrid, voxel_grid
from qsm_recon.dicom.pixels import read_frames, read_header
from qsm_recon.errors import InputError
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.qsm.scan import MultiEchoScan

WORKERS = 2
"""Threads that read and decode; header parsing holds the interpreter lock, so more bring nothing."""

DUPLICATES = "DuplicateImages"


@dataclass(frozen=True)
class SourceReference:
    """One image that went into the result."""

    sop_class_uid: str
    sop_instance_uid: str
    frame_number: int | None
    """1-based as DICOM counts; None for a classic instance."""


@dataclass(frozen=True, eq=False)
class LoadedScan:
    """What was read, and what is needed to write a result that belongs to it."""

    scan: MultiEchoScan
    grid: VoxelGrid
    acquisition: Acquisition
    template: Dataset
    """Header (no pixels) of the first slice's first-echo magnitude: patient, study, equipment."""
    sources: tuple[tuple[SourceReference, ...], ...]
    """Per slice, every image of every echo and component that was used."""
    manifest_sha256: str
    """Identity of the input: hash over every image's SOP Instance UID, frame, echo, slice and component."""
    warnings: tuple[str, ...] = ()
    """The acquisition's warnings, then those of reading."""
    pixels_sha256: tuple[str, ...] = ()
    """What `hash_volume` said of every echo's magnitude, then of every echo's phase; empty without it."""


def read_scan(
    acquisition: Acquisition,
    *,
    progress: Progress = silent,
    hash_volume: Callable[[NDArray[np.float32]], str] | None = None,
) -> LoadedScan:
    """Read all pixels of an acquisition whose frames' `source` are file paths.

    Parameters
    ----------
    acquisition
        A complete one.
    progress
        Called with the fraction of images read.
    hash_volume
        Called with every finished volume while others are read, from another thread.

    Raises
    ------
    InputError
        A reason and the echo, slice and component it concerns: `PhaseScaleUnknown`, `VendorUnsupported`,
        `FilteredPhase`, `AmbiguousImages`, `TruncatedPixels`, `InvalidPixels`, `ConstantPixels`,
        `LossyCompression`, `InconsistentGeometry`, `InvalidAttribute`.
    TransientError
        `InputUnreadable` where the file system fails.
    """
    grid = voxel_grid(acquisition)
    shape = (acquisition.echo_count, *grid.shape)
    finisher = Finisher(
        magnitude=np.empty(shape, dtype=np.float32),
        phase_rad=np.empty(shape, dtype=np.float32),
        sign=phase.field_sign(acquisition.vendor),
        may_alternate=acquisition.dialect.alternates_slice_sign,
        hash_volume=hash_volume,
    )
    with ThreadPoolExecutor(WORKERS) as pool, Behind() as behind:
        reader = _Reader(acquisition, pool, behind, progress)
        reader.compare_duplicates()
        for echo in range(acquisition.echo_count):
            if {Component.REAL, Component.IMAGINARY} <= acquisition.components:
                reader.complex_echo(echo, finisher)
            else:
                reader.polar_echo(echo, finisher)
    magnitude, phase_rad = finisher.magnitude, finisher.phase_rad
    if finisher.alternates:
        reader.warnings.append("SliceSignsAlternated: Every second slice carried the opposite sign; this was undone.")
    if warning := phase_checks.check_span(phase_rad):
        reader.warnings.append(warning)
    phase_checks.check_not_filtered(magnitude, phase_rad)
    scan = MultiEchoScan(
        magnitude=magnitude,
        phase_rad=phase_rad,
        echo_times_s=acquisition.echo_times_s,
        center_frequency_hz=acquisition.center_frequency_hz,
        geometry=grid.geometry(),
        bipolar_readout=acquisition.bipolar_readout,
    )
    return LoadedScan(
        scan=scan,
        grid=grid,
        acquisition=acquisition,
        template=read_header(Path(_template_frame(acquisition).source)),
        sources=_sources(acquisition),
        manifest_sha256=manifest_sha256(acquisition),
        warnings=(
            # "their pixels must agree" has become "they do"
            *(w for w in acquisition.warnings if not w.startswith(DUPLICATES)),
            *_once(reader.warnings),
        ),
        pixels_sha256=tuple(sha256 for _, sha256 in sorted(finisher.hashes.items())),
    )


def manifest_sha256(acquisition: Acquisition) -> str:
    """Identity of an acquisition's images, whatever the order or the names of the files."""
    digest = hashlib.sha256()
    for (echo, index, component), header in sorted(acquisition.cells.items()):
        line = f"{echo} {index} {component} {header.sop_instance_uid} {header.frame_index}\n"
        digest.update(line.encode())
    return digest.hexdigest()


def in_words(cell: Cell) -> str:
    """A cell as a person counts: 'echo 3, slice 17, phase'."""
    echo, index, component = cell
    return f"echo {echo + 1}, slice {index + 1}, {component}"


@dataclass
class _Reader:
    """Reads volumes of one acquisition; keeps count for the progress, and the warnings."""

    acquisition: Acquisition
    pool: ThreadPoolExecutor
    behind: Behind
    progress: Progress
    warnings: list[str] = field(default_factory=list)
    _done: int = 0

    def polar_echo(self, echo: int, finisher: Finisher) -> None:
        """One echo from stated magnitude and phase."""
        magnitude = self.volume(echo, Component.MAGNITUDE)
        self.behind.do(lambda: finisher.take_magnitude(echo, magnitude), magnitude)
        phase_rad = self.volume(echo, Component.PHASE)
        self.behind.do(lambda: finisher.take_phase(echo, phase_rad), phase_rad)

    def complex_echo(self, echo: int, finisher: Finisher) -> None:
        """One echo from real and imaginary parts; a stated magnitude, if any, must agree."""
        real, imaginary = self.volume(echo, Component.REAL), self.volume(echo, Component.IMAGINARY)
        self.behind.do(lambda: finisher.take_parts(echo, real, imaginary), real, imaginary)
        if Component.MAGNITUDE in self.acquisition.components:
            stated = self.volume(echo, Component.MAGNITUDE)
            self.behind.do(lambda: finisher.check_stated(echo, stated), stated)
        self._done += self._frames_of(echo, Component.PHASE)  # a stated phase, if any, is not needed

    def volume(self, echo: int, component: Component) -> NDArray[np.float32]:
        """One scaled volume as (slice, row, column), the order the files have."""
        a = self.acquisition
        shape = (a.slice_count, a.rows, a.columns)
        staged = self.behind.free.pop() if self.behind.free else np.empty(shape, dtype=np.float32)
        cells = {(echo, index, component): a.cells[echo, index, component] for index in range(a.slice_count)}
        scalings = {cell: self._scaling(cell, header) for cell, header in cells.items()}
        self.warnings += [s.warning for s in scalings.values() if s.warning]

        def fill(group: list[Cell]) -> int:
            for cell, frame in zip(group, self._frames(group), strict=True):
                to_real = scalings[cell].to_real
                out = staged[cell[1]]
                np.multiply(frame, np.float32(to_real.slope), out=out, casting="unsafe")
                out += np.float32(to_real.intercept)
            return len(group)

        for count in self.pool.map(fill, _by_file(cells)):
            self._advance(count)
        _check_volume(staged, f"echo {echo + 1}, {component}")
        return staged

    def compare_duplicates(self) -> None:
        """Refuse cells whose further images differ in their pixels; say how many are the same."""
        cells = self.acquisition.cells
        others = [(cell, other) for cell, several in self.acquisition.alternatives.items() for other in several]
        repeats: dict[str, list[str]] = {}
        for used, repeat in self.acquisition.duplicates:
            repeats.setdefault(used, []).append(repeat)
        others += [
            (c, replace(h, source=repeat, pixel_place=None))
            for c, h in cells.items()
            for repeat in repeats.get(h.source, ())
        ]
        for cell, other in others:
            if not np.array_equal(self._single(cell, cells[cell]), self._single(cell, other)):
                raise InputError(
                    "AmbiguousImages",
                    f"{in_words(cell)}: several images, and their pixels differ; it cannot be told which is meant.",
                )
        if others:
            self.warnings.append(
                f"{DUPLICATES}: {len(others)} images repeat others pixel by pixel; each was used once."
            )

    def _single(self, cell: Cell, header: FrameHeader) -> NDArray[Any]:
        scaling = self._scaling(cell, header).to_real
        (frame,) = read_frames([header], [in_words(cell)])
        return frame * np.float64(scaling.slope) + scaling.intercept

    def _frames(self, group: list[Cell]) -> Iterator[NDArray[Any]]:
        headers = [self.acquisition.cells[cell] for cell in group]
        return read_frames(headers, [in_words(cell) for cell in group])

    def _scaling(self, cell: Cell, header: FrameHeader) -> phase.Scaling:
        where = in_words(cell)
        match cell[2]:
            case Component.PHASE:
                return phase.phase_scaling(header, self.acquisition.vendor, where)
            case Component.REAL | Component.IMAGINARY:
                return phase.complex_scaling(header, where)
            case Component.MAGNITUDE:
                return phase.intensity_scaling(header, where)

    def _frames_of(self, echo: int, component: Component) -> int:
        return sum(1 for cell in self.acquisition.cells if cell[0] == echo and cell[2] is component)

    def _advance(self, count: int) -> None:
        self._done += count
        self.progress(self._done / len(self.acquisition.cells))


def _by_file(cells: dict[Cell, FrameHeader]) -> list[list[Cell]]:
    """Cells of one file together, in frame order: each file is opened once per volume and read forward."""
    groups: dict[str, list[Cell]] = {}
    for cell, header in cells.items():
        groups.setdefault(header.source, []).append(cell)
    return [sorted(group, key=lambda cell: cells[cell].frame_index or 0) for group in groups.values()]


def _check_volume(volume: NDArray[np.float32], where: str) -> None:
    low, high = float(volume.min()), float(volume.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError("InvalidPixels", f"{where}: there are values that are not numbers.")
    if low == high:
        raise InputError("ConstantPixels", f"{where}: every voxel has the same value; there is no image.")


def _template_frame(acquisition: Acquisition) -> FrameHeader:
    component = Component.MAGNITUDE if Component.MAGNITUDE in acquisition.components else Component.REAL
    return acquisition.cells[0, 0, component]


def _sources(acquisition: Acquisition) -> tuple[tuple[SourceReference, ...], ...]:
    slices: list[list[SourceReference]] = [[] for _ in range(acquisition.slice_count)]
    for (_, index, _), header in sorted(acquisition.cells.items()):
        number = None if header.frame_index is None else header.frame_index + 1
        slices[index].append(SourceReference(header.sop_class_uid, header.sop_instance_uid, number))
    return tuple(tuple(references) for references in slices)


def _once(warnings: list[str]) -> tuple[str, ...]:
    """The first warning of each code, with the number of others: one sentence for a thousand slices."""
    first: dict[str, str] = {}
    count: dict[str, int] = {}
    for warning in warnings:
        code = warning.partition(":")[0]
        first.setdefault(code, warning)
        count[code] = count.get(code, 0) + 1
    return tuple(w if count[c] == 1 else f"{w} ({count[c] - 1} more images alike.)" for c, w in first.items())
