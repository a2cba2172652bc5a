"""The story: look, choose, read, reconstruct, write, report."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsm_acquisition.acquisition import Acquisition, Survey
from qsm_recon import devices, folder, outputs, recipes, survey
from qsm_recon.dicom.read import read_scan
from qsm_recon.qsm.observing import Observer, StageClock
from qsm_recon.qsm.pipeline import Reconstruction, reconstruct
from qsm_recon.qsm.scan import MultiEchoScan
from qsm_recon.recipes import Recipe
from qsm_recon.report import document, facts, write_report
from qsm_recon.report.document import OutputFile
from qsm_recon.store.interim import NOWHERE, InterimData, InterimRun, Origin, running


@dataclass(frozen=True)
class Method:
    """How to reconstruct: settled before anything is read."""

    recipe: Recipe
    device: str
    """`cpu` or `gpu`."""

    @classmethod
    def named(cls, recipe_name: str, backend_name: str) -> "Method":
        """Recipe by name or file, backend `auto`, `cpu` or `gpu`."""
        return cls(recipes.load(recipe_name), devices.choose(backend_name))


def run(
    source: Path,
    output: Path,
    method: Method,
    observer: Observer,
    *,
    wanted: str = "",
    nifti: bool = False,
    interim: InterimData = NOWHERE,
    found: Survey | None = None,
) -> list[dict[str, Any]]:
    """Reconstruct what a folder of DICOM holds into a new folder; the reports of what was made.

    Several acquisitions go into subfolders 1, 2, ...; all of them or none. Finished stages are kept in `interim`, and
    taken from there. `found`: what the folder holds, where the caller has looked already.

    Raises
    ------
    ReconError
        With the reason; nothing has been written then.
    """
    folder.check_target(output)
    clock = StageClock(observer)
    if found is None:
        with clock.stage("look") as progress:
            found = survey.look(source, progress)
    chosen, left_out = survey.choose(found, wanted), survey.left_out(found)
    interim.prepare()
    with folder.new_folder(output) as staging:
        reports, runs = [], []
        for place, acquisition in _places(staging, chosen):
            with clock.stage("read") as progress:
                loaded = read_scan(acquisition, progress=progress, hash_volume=interim.hash_volume)
            affine_ras = loaded.grid.affine_ras_mm
            scan_facts = {**facts.of_scan(loaded.scan), **facts.of_acquisition(acquisition)}
            origin = Origin(loaded.manifest_sha256, acquisition.series_instance_uids, scan_facts, loaded.pixels_sha256)
            with _running(interim, method, loaded.scan, affine_ras, None, origin, clock) as kept:
                result = _reconstruct(loaded.scan, method, clock, None, kept)
                with clock.stage("write"):
                    files, notes = outputs.write_dicom(place, loaded, result, method.recipe)
                    if nifti:
                        files += outputs.write_volumes(place / "nifti", place, result, affine_ras, bids=True)
                _settle(kept, clock)
            report = _report(
                place,
                result,
                method,
                clock,
                scan_facts=scan_facts,
                files=files,
                affine_lps_mm=loaded.grid.affine_lps_mm,
                warnings=(*left_out, *loaded.warnings, *notes, *kept.warnings),
                cached=kept.cached,
            )
            reports.append(report)
            runs.append(kept)
            clock = StageClock(observer)
        for kept, report in zip(runs, reports, strict=True):
            kept.succeeded(report)
    return reports


def run_volumes(
    scan: MultiEchoScan,
    affine_ras_mm: NDArray[np.float64],
    output: Path,
    method: Method,
    observer: Observer,
    *,
    mask: NDArray[np.bool_] | None = None,
    notes: tuple[str, ...] = (),
    interim: InterimData = NOWHERE,
) -> dict[str, Any]:
    """Reconstruct a scan that is in memory already into a new folder of NIfTI volumes; its report.

    `notes` are warnings of reading, "Code: sentence.", for the report.

    Raises
    ------
    ReconError
        With the reason; nothing has been written then.
    """
    folder.check_target(output)
    clock = StageClock(observer)
    scan_facts = facts.of_scan(scan)
    with folder.new_folder(output) as staging:
        with _running(interim, method, scan, affine_ras_mm, mask, Origin(facts=scan_facts), clock) as kept:
            result = _reconstruct(scan, method, clock, mask, kept)
            with clock.stage("write"):
                files = outputs.write_volumes(staging, staging, result, affine_ras_mm, bids=False)
            _settle(kept, clock)
        affine_lps_mm = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine_ras_mm
        report = _report(
            staging,
            result,
            method,
            clock,
            scan_facts=scan_facts,
            files=files,
            affine_lps_mm=affine_lps_mm,
            warnings=(*notes, *kept.warnings),
            cached=kept.cached,
        )
        kept.succeeded(report)
    return report


def _reconstruct(
    scan: MultiEchoScan, method: Method, clock: StageClock, mask: NDArray[np.bool_] | None, kept: InterimRun
) -> Reconstruction:
    """One move to the device, one back."""
    on_device = devices.scan_on(method.device, scan)
    there = devices.mask_on(method.device, mask)
    result = reconstruct(on_device, method.recipe.config, mask=there, clock=clock, keeper=kept.stage_keeper)
    return devices.on_host(result)


def _running(
    interim: InterimData,
    method: Method,
    scan: MultiEchoScan,
    affine_ras_mm: NDArray[np.float64],
    mask: NDArray[np.bool_] | None,
    origin: Origin,
    clock: StageClock,
) -> AbstractContextManager[InterimRun]:
    return running(interim, method.recipe, method.device, scan, affine_ras_mm, mask=mask, origin=origin, clock=clock)


def _settle(kept: InterimRun, clock: StageClock) -> None:
    """Wait for what is still on its way to the store."""
    if kept.keeper is not None:
        with clock.stage("settle"):
            kept.settle()


def _places(staging: Path, chosen: tuple[Acquisition, ...]) -> Iterator[tuple[Path, Acquisition]]:
    """A folder for each acquisition: the staging folder itself for a single one."""
    if len(chosen) == 1:
        yield staging, chosen[0]
        return
    for number, acquisition in enumerate(chosen, 1):
        place = staging / str(number)
        place.mkdir()
        yield place, acquisition


def _report(
    place: Path,
    result: Reconstruction,
    method: Method,
    clock: StageClock,
    *,
    scan_facts: dict[str, Any],
    files: tuple[OutputFile, ...],
    affine_lps_mm: NDArray[np.float64],
    warnings: tuple[str, ...],
    cached: list[str],
) -> dict[str, Any]:
    report = document.build(
        result=result,
        recipe=method.recipe,
        timings=clock.timings,
        scan_facts=scan_facts,
        outputs=files,
        device=method.device,
        warnings=(*warnings, *result.warnings),
        cached=cached,
    )
    write_report(place, report, result, affine_lps_mm)
    return report
