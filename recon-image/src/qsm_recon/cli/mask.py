"""`qsm-recon mask`."""

from pathlib import Path
from typing import Any

import click

from qsm_recon import recipes
from qsm_recon.cli import options, volumes
from qsm_recon.cli.console import watching
from qsm_recon.folder import new_file
from qsm_recon.nifti import write_volume
from qsm_recon.qsm.field_mapping import fit_field
from qsm_recon.qsm.masking import make_mask
from qsm_recon.qsm.observing import StageClock


@click.command(name="mask")
@options.echo_options
@options.geometry_options
@options.recipe_option
@options.talk_options
@click.option("--output", "-o", type=options.NEW_VOLUME, required=True, help="Mask NIfTI, 0 and 1.")
def command(*, recipe_name: str, output: Path, quiet: bool, as_json: bool, **scan_options: Any) -> None:
    """Find the brain from magnitude and phase."""
    config = recipes.load(recipe_name).config
    scan, witness = volumes.read_echoes(**scan_options)
    with watching(quiet=quiet) as observer:
        clock = StageClock(observer)
        with clock.stage("field_mapping") as progress:
            fit = fit_field(scan, config.field_mapping, progress)
        with clock.stage("masking") as progress:
            brain = make_mask(scan, fit, config.masking, progress)
    with new_file(output) as staging:
        write_volume(staging, brain.mask, witness.affine, description="brain mask")
    options.finish(dict(brain.quality), brain.warnings, output, quiet=quiet, as_json=as_json)
