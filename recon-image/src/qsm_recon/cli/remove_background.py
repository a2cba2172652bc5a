"""`qsm-recon remove-background`."""

from pathlib import Path

import click
import numpy as np

from qsm_recon import recipes
from qsm_recon.cli import options, volumes
from qsm_recon.cli.console import watching
from qsm_recon.cli.field_unit import FieldUnit
from qsm_recon.folder import new_file
from qsm_recon.nifti import write_volume
from qsm_recon.qsm.background import remove_background
from qsm_recon.qsm.observing import StageClock


@click.command(name="remove-background")
@click.option("--field", type=options.EXISTING_FILE, required=True, help="Unwrapped total field (x, y, z).")
@click.option("--mask", type=options.EXISTING_FILE, required=True, help="Brain mask; not zero is inside.")
@click.option("--noise", type=options.EXISTING_FILE, help="Standard deviation of the field, same unit.")
@options.field_unit_options
@options.geometry_options
@options.recipe_option
@options.talk_options
@click.option("--mask-output", type=options.NEW_VOLUME, help="Also write the mask in which the local field is valid.")
@click.option("--output", "-o", type=options.NEW_VOLUME, required=True, help="Local field NIfTI, ppm; 0 outside.")
def command(
    *,
    field: Path,
    mask: Path,
    noise: Path | None,
    unit: FieldUnit,
    voxel_size_mm: tuple[float, ...] | None,
    b0_direction: tuple[float, ...],
    recipe_name: str,
    mask_output: Path | None,
    output: Path,
    quiet: bool,
    as_json: bool,
) -> None:
    """Take the field of sources outside the mask away from the total field."""
    factor = np.float32(unit.ppm())
    config = recipes.load(recipe_name).config
    total, field_ppm = volumes.read_field(field, "--field", unit)
    inside = volumes.read_mask(mask, "--mask", total)
    noise_field = volumes.read_noise(noise, total)
    geometry = volumes.geometry(total, voxel_size_mm, b0_direction)
    with watching(quiet=quiet) as observer, StageClock(observer).stage("background") as progress:
        local = remove_background(
            field_ppm,
            inside,
            None if noise_field is None else noise_field * factor,
            geometry,
            config.background,
            progress,
        )
    with new_file(output) as staging:
        write_volume(staging, local.local_field_ppm, total.affine, description="local field, ppm of B0")
    if mask_output is not None:
        with new_file(mask_output) as staging:
            write_volume(staging, local.mask, total.affine, description="mask of the local field")
    options.finish({}, local.warnings, output, quiet=quiet, as_json=as_json)
