"""`qsm-recon simulate`."""

import json
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from qsm_recon.cli import options
from qsm_recon.cli.console import watching
from qsm_recon.folder import check_target, new_folder
from qsm_recon.nifti import write_volume
from qsm_recon.qsm.observing import StageClock
from qsm_recon.simulation import PROTOCOLS, Phantom, make_phantom, protocol
from qsm_recon.simulation.anatomy import Label
from qsm_recon.simulation.vendors import VENDORS

_TRUTH = (
    ("chi_ppm", "Chimap", "true susceptibility, ppm, fluid is 0"),
    ("r2star_per_s", "R2starmap", "true R2*, 1/s"),
    ("total_field_ppm", "desc-total_fieldmap", "true total field after shimming, ppm"),
    ("local_field_ppm", "desc-local_fieldmap", "true field of the brain's own sources, ppm"),
    ("mask", "desc-brain_mask", "voxels that are brain throughout"),
    ("labels", "dseg", "tissue, see scan.json"),
)


@click.command(name="simulate")
@click.option("--vendor", type=click.Choice(list(VENDORS)), default="siemens", show_default=True, help="Whose dialect.")
@click.option(
    "--protocol",
    "protocol_name",
    type=click.Choice(list(PROTOCOLS)),
    default="small",
    show_default=True,
    help="Matrix and echoes; small is coarse and quick.",
)
@click.option("--angle", type=float, default=0.0, show_default=True, help="Tilt of the slab about left-right, degrees.")
@click.option("--snr", type=options.PositiveFloat(), default=40.0, show_default=True, help="White matter, first echo.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Whose head, coil and noise.")
@click.option("--field-strength-t", type=options.PositiveFloat(), default=3.0, show_default=True, help="B0 in tesla.")
@click.option("--echo-times-s", type=options.Numbers("s,s,..."), help="Other echo times than the protocol's, s.")
@click.option("--bipolar", is_flag=True, help="Read even echoes backwards.")
@options.talk_options
@click.option("--output", "-o", type=options.NEW_PATH, required=True, help="New folder.")
def command(
    *,
    vendor: str,
    protocol_name: str,
    angle: float,
    snr: float,
    seed: int,
    field_strength_t: float,
    echo_times_s: tuple[float, ...] | None,
    bipolar: bool,
    quiet: bool,
    as_json: bool,
    output: Path,
) -> None:
    """Write a digital head as a vendor's scanner would, with its truth.

    The head has nuclei, ventricles, veins, a calcification, a haemorrhage and air-filled sinuses. Writes into
    OUTPUT: dicom/ (the scan), truth/ (NIfTI on the scan's grid), scan.json (what was simulated).
    """
    check_target(output)
    chosen = protocol(protocol_name)
    if echo_times_s is not None:
        options.check_echo_times(echo_times_s)
        chosen = chosen.with_echo_times(echo_times_s)
    with watching(quiet=quiet) as observer:
        clock = StageClock(observer)
        with clock.stage("simulate") as progress:
            phantom = make_phantom(
                chosen,
                seed=seed,
                angle_deg=angle,
                snr=snr,
                field_strength_t=field_strength_t,
                bipolar=bipolar,
                progress=progress,
            )
        with new_folder(output) as staging, clock.stage("write") as progress:
            images = VENDORS[vendor](phantom.measurement, staging / "dicom", progress)
            _write_truth(phantom, staging / "truth")
            facts = {
                "vendor": vendor,
                "protocol": asdict(chosen),
                "angle_deg": angle,
                "snr": snr,
                "seed": seed,
                "field_strength_t": field_strength_t,
                "b0_direction": list(phantom.geometry.b0_direction),
                "bipolar_readout": bipolar,
                "labels": {label.name.lower(): int(label) for label in Label},
                "files": images,
            }
            (staging / "scan.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    options.finish(facts, (), output, quiet=quiet, as_json=as_json)


def _write_truth(phantom: Phantom, folder: Path) -> None:
    folder.mkdir()
    affine_ras_mm: NDArray[np.float64] = np.diag([-1.0, -1.0, 1.0, 1.0]) @ phantom.measurement.affine_lps_mm
    for attribute, name, description in _TRUTH:
        volume = getattr(phantom.truth, attribute)
        write_volume(folder / f"{name}.nii.gz", volume, affine_ras_mm, description=description)
