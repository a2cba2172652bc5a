"""`qsm-recon reconstruct`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from qsm_recon import app
from qsm_recon.cli import options, volumes
from qsm_recon.cli.console import watching
from qsm_recon.cli.run import tell_result
from qsm_recon.folder import check_target
from qsm_recon.store.interim import NOWHERE, InterimData


@click.command(name="reconstruct")
@options.echo_options
@click.option(
    "--mask", type=options.EXISTING_FILE, help="Mask to use instead of finding the brain; not zero is inside."
)
@options.geometry_options
@options.recipe_option
@options.backend_option
@options.store_options
@options.talk_options
@click.option("--output", "-o", type=options.NEW_PATH, required=True, help="New folder; appears when all is done.")
def command(
    *,
    mask: Path | None,
    recipe_name: str,
    backend_name: str,
    interim: Callable[[], InterimData] | None,
    quiet: bool,
    as_json: bool,
    output: Path,
    **scan_options: Any,
) -> None:
    """Make a susceptibility map from magnitude and phase in NIfTI.

    Writes into OUTPUT: chi.nii (ppm), mask.nii (where it is valid), total_field.nii and local_field.nii (ppm of
    B0), noise.nii (ppm), r2star.nii (1/s) and more, report.html, preview.png, report.json.
    """
    check_target(output)
    method = app.Method.named(recipe_name, backend_name)
    kept = NOWHERE if interim is None else interim()
    scan, witness = volumes.read_echoes(**scan_options)
    inside = None if mask is None else volumes.read_mask(mask, "--mask", witness)
    with watching(quiet=quiet) as observer:
        notes = volumes.span_warnings(scan)
        report = app.run_volumes(scan, witness.affine, output, method, observer, mask=inside, notes=notes, interim=kept)
    if as_json:
        options.print_json({"output": str(output), "report": report})
    else:
        tell_result(report, output, quiet=quiet)
