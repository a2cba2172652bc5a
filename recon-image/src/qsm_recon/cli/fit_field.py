"""`qsm-recon fit-field`."""

import json
from pathlib import Path
from typing import Any

import click

from qsm_recon import recipes
from qsm_recon.cli import options, volumes
from qsm_recon.cli.console import watching
from qsm_recon.folder import check_target, new_folder
from qsm_recon.nifti import write_volume
from qsm_recon.qsm.field_mapping import fit_field
from qsm_recon.qsm.observing import StageClock


@click.command(name="fit-field")
@options.echo_options
@options.geometry_options
@options.recipe_option
@options.talk_options
@click.option("--output", "-o", type=options.NEW_PATH, required=True, help="New folder.")
def command(*, recipe_name: str, output: Path, quiet: bool, as_json: bool, **scan_options: Any) -> None:
    """Fit the phase slope of the complex echoes, before spatial unwrapping.

    Writes into OUTPUT: phase_slope.nii.gz (wrapped, rad over one echo spacing), noise.nii.gz (its standard
    deviation, rad; infinite without signal), residual.nii.gz (misfit, 1 is noise alone) and fit.json with the
    echo spacing in s, which `remove-background` and `invert` take as --echo-time-s.
    """
    check_target(output)
    config = recipes.load(recipe_name).config
    scan, witness = volumes.read_echoes(**scan_options)
    with watching(quiet=quiet) as observer, StageClock(observer).stage("field_mapping") as progress:
        fit = fit_field(scan, config.field_mapping, progress)
    facts = {"echo_spacing_s": fit.echo_spacing_s, "noise_sd": fit.noise_sd, "warnings": list(fit.warnings)}
    with new_folder(output) as staging:
        write_volume(
            staging / "phase_slope.nii.gz",
            fit.phase_slope_rad,
            witness.affine,
            description="phase over one echo spacing, wrapped, rad",
        )
        write_volume(
            staging / "noise.nii.gz",
            fit.noise_rad,
            witness.affine,
            description="standard deviation of the phase slope, rad",
        )
        write_volume(
            staging / "residual.nii.gz",
            fit.residual,
            witness.affine,
            description="misfit of the complex fit, 1 is noise",
        )
        (staging / "fit.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    options.finish(facts, fit.warnings, output, quiet=quiet, as_json=as_json)
