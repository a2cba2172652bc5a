"""The story: look, choose, read, reconstruct, write, report."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qsm_acquisition.acquisition import Acquisition, Survey

from qsm_recon import devices, folder, recipes, survey
from qsm_recon.dicom.read import LoadedScan, read_scan
from qsm_recon.errors import UsageError
from qsm_recon.outputs import write_dicom, write_nifti, write_volumes
from qsm_recon.qsm.observing import Observer, StageClock
from qsm_recon.qsm.pipeline import Reconstruction, reconstruct
from qsm_recon.qsm.scan import MultiEchoScan
from qsm_recon.report import document, write_report
from qsm_recon.report.facts import of_acquisition, of_scan


@dataclass(frozen=True)
class Order:
    """What a person asked for."""

    output: Path
    """New folder."""
    recipe_name: str = recipes.DEFAULT
    backend_name: str = "auto"
    nifti: bool = False
    """Also write every stage's volume as NIfTI."""
    acquisition: str = ""
    """Number as `inspect` lists it, `all`, or empty: the only usable one."""


def run(source: Path, order: Order, observer: Observer) -> list[dict[str, Any]]:
    """Reconstruct what a folder of DICOM holds; the reports of what was made.

    Raises
    ------
    ReconError
        With the reason; nothing has been written then.
    """
    recipe = recipes.load(order.recipe_name)
    device = devices.choose(order.backend_name)
    folder.check_target(order.output)
    clock = StageClock(observer)
    with clock.stage("look"):
        chosen = survey.choose(survey.look(source), order.acquisition)
    with folder.new_folder(order.output) as staging:
        reports = []
        for place, acquisition in _places(staging, chosen):
            loaded, result = _reconstruct_one(acquisition, recipe, device, clock)
            reports.append(_write_one(place, loaded, result, recipe, device, clock, nifti=order.nifti))
            clock = StageClock(observer)
    return reports
