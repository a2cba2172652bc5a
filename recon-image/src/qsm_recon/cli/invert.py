"""`qsm-recon invert`."""

from pathlib import Path

import click
import numpy as np

from qsm_recon import recipes
from qsm_recon.cli import options, volumes
from qsm_recon.cli.console import watching
from qsm_recon.cli.field_unit import FieldUnit
from qsm_recon.folder import new_file
from qsm_recon.nifti import write_volume
from qsm_recon.qsm.inversion import invert
from qsm_recon.qsm.observing import StageClock
from qsm_recon.qsm.referencing import reference


@click.command(name="invert")
@click.option("--local-field", type=options.EXISTING_FILE, required=True, help="Local field (x, y, z).")
@click.option("--mask", type=options.EXISTING_FILE, required=True, help="Where the field is valid; not zero is inside.")
@click.option("--magnitude", type=options.EXISTING_FILE, help="Magnitude (x, y, z) or (x, y, z, echo): shows edges.")
@click.option("--noise", type=options.EXISTING_FILE, help="Standard deviation of the field, same unit.")
@click.option("--csf-mask", type=options.EXISTING_FILE, help="Ventricular fluid, the zero of the map.")
@options.field_unit_options
@options.geometry_options
@options.recipe_option
@options.talk_options
@click.option("--output", "-o", type=options.NEW_VOLUME, required=True, help="Susceptibility NIfTI, ppm; 0 outside.")
def command(
    *,
    local_field: Path,
    mask: Path,
    magnitude: Path | None,
    noise: Path | None,
    csf_mask: Path | None,
    unit: FieldUnit,
    voxel_size_mm: tuple[float, ...] | None,
    b0_direction: tuple[float, ...],
    recipe_name: str,
    output: Path,
    quiet: bool,
    as_json: bool,
) -> None:
    """Invert a local field to susceptibility in ppm.

    Without --csf-mask the recipe's fluid constraint cannot act, and the map is referenced as the recipe says for
    a brain without fluid.
    """
    factor = np.float32(unit.ppm())
    config = recipes.load(recipe_name).config
    local, field_ppm = volumes.read_field(local_field, "--local-field", unit)
    inside = volumes.read_mask(mask, "--mask", local)
    noise_field = volumes.read_noise(noise, local)
    fluid = None if csf_mask is None else volumes.read_mask(csf_mask, "--csf-mask", local)
    edges = volumes.read_magnitude(magnitude, "--magnitude", local)
    geometry = volumes.geometry(local, voxel_size_mm, b0_direction)
    with watching(quiet=quiet) as observer, StageClock(observer).stage("inversion") as progress:
        inversion = invert(
            field_ppm,
            inside,
            geometry,
            config.inversion,
            noise_ppm=None if noise_field is None else noise_field * factor,
            magnitude=edges,
            csf_mask=fluid,
            progress=progress,
        )
        referenced = reference(inversion.chi_ppm, inversion.mask, fluid, config.referencing)
    with new_file(output) as staging:
        write_volume(staging, referenced.chi_ppm, local.affine, description="susceptibility, ppm")
    facts = {"reference_region": referenced.region, "reference_offset_ppm": referenced.offset_ppm}
    notes = (*inversion.warnings, *referenced.warnings)
    options.finish(facts, notes, output, quiet=quiet, as_json=as_json)
