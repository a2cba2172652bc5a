"""`qsm-recon unwrap`."""

from pathlib import Path

import click
import numpy as np

from qsm_recon import recipes
from qsm_recon.cli import options, volumes
from qsm_recon.cli.console import watching
from qsm_recon.folder import new_file
from qsm_recon.nifti import write_volume
from qsm_recon.qsm.observing import StageClock
from qsm_recon.qsm.unwrapping import unwrap


@click.command(name="unwrap")
@click.option("--phase", type=options.EXISTING_FILE, required=True, help="Wrapped phase (x, y, z) in rad.")
@click.option("--mask", type=options.EXISTING_FILE, required=True, help="Where to unwrap; not zero is inside.")
@click.option(
    "--noise", type=options.EXISTING_FILE, help="Standard deviation of the phase, rad: the surest path first."
)
@options.geometry_options
@options.recipe_option
@options.talk_options
@click.option("--output", "-o", type=options.NEW_VOLUME, required=True, help="Unwrapped phase NIfTI, rad; 0 outside.")
def command(
    *,
    phase: Path,
    mask: Path,
    noise: Path | None,
    voxel_size_mm: tuple[float, ...] | None,
    b0_direction: tuple[float, ...],
    recipe_name: str,
    output: Path,
    quiet: bool,
    as_json: bool,
) -> None:
    """Remove 2 pi jumps from a phase volume."""
    config = recipes.load(recipe_name).config
    wrapped = volumes.read_3d(phase, "--phase")
    volumes.check_phase(wrapped.array)
    inside = volumes.read_mask(mask, "--mask", wrapped)
    noise_rad = volumes.read_noise(noise, wrapped)
    if noise_rad is None:
        noise_rad = np.ones(wrapped.array.shape, dtype=np.float32)
    geometry = volumes.geometry(wrapped, voxel_size_mm, b0_direction)
    with watching(quiet=quiet) as observer, StageClock(observer).stage("unwrapping") as progress:
        unwrapped = unwrap(wrapped.array, inside, noise_rad, geometry, config.unwrapping, progress)
    with new_file(output) as staging:
        write_volume(staging, unwrapped, wrapped.affine, description="unwrapped phase, rad")
    options.finish({}, (), output, quiet=quiet, as_json=as_json)
