"""`qsm-recon run`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from qsm_recon import app
from qsm_recon.cli import options
from qsm_recon.cli.console import tell, watching
from qsm_recon.store.interim import NOWHERE, InterimData


@click.command(name="run")
@click.argument("source", metavar="DICOM_DIR", type=options.EXISTING_PATH)
@options.recipe_option
@options.backend_option
@click.option(
    "--acquisition",
    "wanted",
    metavar="N|all",
    default="",
    help="Which usable acquisition, as `inspect` numbers them; all: each into a subfolder.  [default: the only one]",
)
@click.option("--nifti", is_flag=True, help="Also write every stage's volume as NIfTI under BIDS names, in nifti/.")
@options.store_options
@options.talk_options
@click.option("--output", "-o", type=options.NEW_PATH, required=True, help="New folder; appears when all is done.")
def command(
    *,
    source: Path,
    recipe_name: str,
    backend_name: str,
    wanted: str,
    nifti: bool,
    interim: Callable[[], InterimData] | None,
    quiet: bool,
    as_json: bool,
    output: Path,
) -> None:
    """Make a susceptibility map from a folder of scanner DICOM.

    Writes into OUTPUT: dicom/chi (ppb) and dicom/r2star (1/s) as DICOM series, report.html with pictures,
    preview.png, report.json. Nothing is written unless everything succeeds. The DICOM files carry the patient's
    header; the reports carry no identity.
    """
    method = app.Method.named(recipe_name, backend_name)
    kept = NOWHERE if interim is None else interim()
    with watching(quiet=quiet) as observer:
        reports = app.run(source, output, method, observer, wanted=wanted, nifti=nifti, interim=kept)
    if as_json:
        options.print_json({"output": str(output), "reports": reports})
        return
    for number, report in enumerate(reports, 1):
        tell_result(report, output if len(reports) == 1 else output / str(number), quiet=quiet)


def tell_result(report: dict[str, Any], folder: Path, *, quiet: bool) -> None:
    """Warnings, the main figures and where to look."""
    for warning in report["warnings"]:
        tell(f"note: {warning['code']}: {warning['message']}", quiet=quiet)
    quality = report["quality"]
    tell(
        f"brain {quality['mask_volume_ml']:.0f} ml, field noise {quality['noise_median_ppb']:.1f} ppb, zero is "
        f"{report['reference']['region']}, {report['seconds']:.1f} s",
        quiet=quiet,
    )
    tell(f"picture {folder / 'preview.png'}\nreport  {folder / 'report.html'}", quiet=quiet)
