"""The simulated scanner: measure a digital head and store DICOM and truth in a folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qsm_recon.errors import UsageError
from qsm_recon.nifti import write_volume
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.simulation.anatomy import NUCLEI, Label
from qsm_recon.simulation.phantom import Phantom
from qsm_recon.simulation.vendors import VENDORS

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class StoredScan:
    """What lies in the folder."""

    dicom: Path
    truth: Path
    file_count: int


def store(phantom: Phantom, vendor: str, folder: Path, progress: Progress = silent) -> StoredScan:
    """Write `folder/dicom` as `vendor` would, and `folder/truth` as NIfTI with `params.json`.

    `folder` exists and is empty; making it appear all at once is the caller's affair.

    Raises
    ------
    UsageError
        Where the vendor is not known.
    """
    if vendor not in VENDORS:
        raise UsageError(f"there is no vendor '{vendor}'; choose one of {', '.join(VENDORS)}")
    dicom, truth = folder / "dicom", folder / "truth"
    dicom.mkdir()
    truth.mkdir()
    count = VENDORS[vendor](phantom.measurement, dicom, progress)
    _write_truth(phantom, truth)
    params = {"vendor": vendor, **parameters(phantom)}
    (truth / "params.json").write_text(json.dumps(params, indent=2) + "\n", encoding="utf-8")
    return StoredScan(dicom, truth, count)


def _write_truth(phantom: Phantom, folder: Path) -> None:
    truth = phantom.truth
    affine = _LPS_TO_RAS @ phantom.measurement.affine_lps_mm
    for name, volume, description in (
        ("Chimap", truth.chi_ppm, "true susceptibility, ppm, fluid = 0"),
        ("R2starmap", truth.r2star_per_s, "true R2*, 1/s"),
        ("totalfield", truth.total_field_ppm, "true field after shim, ppm"),
        ("localfield", truth.local_field_ppm, "true field of the brain's sources, ppm"),
        ("mask", truth.mask.astype(np.uint8), "brain"),
        ("labels", truth.labels, "labels, see params.json"),
    ):
        write_volume(folder / f"{name}.nii.gz", volume, affine, description=description)


def parameters(phantom: Phantom) -> dict[str, Any]:
    """Everything needed to reconstruct and judge the scan, as plain data."""
    m = phantom.measurement
    return {
        "protocol": m.protocol.name,
        "shape": list(m.protocol.shape),
        "voxel_size_mm": list(m.protocol.voxel_size_mm),
        "echo_times_s": list(m.protocol.echo_times_s),
        "field_strength_t": m.field_strength_t,
        "center_frequency_hz": m.center_frequency_hz,
        "b0_direction": list(phantom.geometry.b0_direction),
        "seed": m.seed,
        "bipolar_readout": m.bipolar_readout,
        "noise_sd": phantom.noise_sd,
        "labels": {label.name.lower(): int(label) for label in Label},
        "nuclei": [label.name.lower() for label in NUCLEI],
    }
