"""`report.json`: everything that tells how a map came about, without telling whose it is."""

import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qsm_recon.qsm import backend
from qsm_recon.qsm.observing import StageTiming
from qsm_recon.qsm.pipeline import Reconstruction
from qsm_recon.recipes import Recipe

SCHEMA_VERSION = 1
"""Grows when a field changes its meaning or goes; new fields do not count."""

PACKAGES = ("numpy", "scipy", "numba", "pydicom", "nibabel", "pydantic", "pillow", "cupy-cuda12x")


@dataclass(frozen=True)
class OutputFile:
    """One file of the result."""

    path: str
    """Relative to the output folder."""
    sha256: str
    quantity: str
    """What it holds, e.g. `susceptibility`."""
    unit: str
    series_instance_uid: str = ""
    """Empty where it is no DICOM."""


def versions() -> dict[str, str]:
    """Versions of this program, Python, and the packages a result depends on, as installed."""
    found = {"qsm-recon": program_version(), "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # not installed here (CuPy on a machine without a GPU): nothing to tell
    return found


def program_version() -> str:
    """Version of this program."""
    return importlib.metadata.version("qsm-recon")


def build(
    *,
    result: Reconstruction,
    recipe: Recipe,
    timings: tuple[StageTiming, ...],
    scan_facts: dict[str, Any],
    outputs: tuple[OutputFile, ...],
    device: str,
    warnings: tuple[str, ...],
    cached: Sequence[str] = (),
) -> dict[str, Any]:
    """The report as plain data.

    Parameters
    ----------
    result, recipe, timings
        What was made, by which method, and what each stage took.
    scan_facts
        Facts of the scan (matrix, echo times, ...) that identify nobody.
    outputs
        Files written so far.
    device
        `cpu` or `gpu`.
    warnings
        "Code: sentence." of reading and of every stage.
    cached
        Stages that were taken from interim data.
    """
    quality = result.quality.as_dict()
    return {
        "schema_version": SCHEMA_VERSION,
        "notice": "Research software, no medical device: not for diagnosis.",
        "versions": versions(),
        "recipe": {
            "name": recipe.config.name,
            "version": recipe.config.version,
            "description": recipe.config.description,
            "origin": recipe.origin,
            "sha256": recipe.sha256,
            "values": recipe.config.canonical(),
        },
        "hardware": {"device": device, "threads": backend.threads(), "machine": platform.machine()},
        "scan": scan_facts,
        "stages": [asdict(timing) for timing in timings],
        "cached": list(cached),
        "seconds": sum(timing.seconds for timing in timings),
        "quality": quality,
        "reference": {
            "region": result.reference_region,
            "voxels": quality["reference_voxels"],
            "offset_ppb": quality["reference_offset_ppb"],
        },
        "warnings": [split_warning(warning) for warning in warnings],
        "outputs": [asdict(output) for output in outputs],
    }


def split_warning(text: str) -> dict[str, str]:
    """A warning "Code: sentence." as {code, message}."""
    code, colon, message = text.partition(": ")
    return {"code": code, "message": message} if colon else {"code": "Note", "message": text}
