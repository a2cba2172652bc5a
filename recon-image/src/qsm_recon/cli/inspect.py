"""`qsm-recon inspect`."""

import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from qsm_acquisition.acquisition import Acquisition, Survey
from qsm_recon import survey
from qsm_recon.cli import options


@click.command(name="inspect")
@click.argument("source", metavar="DICOM_DIR", type=options.EXISTING_PATH)
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def command(*, source: Path, as_json: bool) -> None:
    """Tell what a folder (or one file) holds, by header alone.

    Each acquisition is usable or refused with its reason. The exit code is 0 whenever it could look, whatever it
    found. Numbers are those that `run --acquisition` takes.
    """
    found = survey.look(source)
    if as_json:
        options.print_json(_as_dict(found))
    else:
        _print(found)


def _as_dict(found: Survey) -> dict[str, Any]:
    usable = [_acquisition(number, one) for number, one in enumerate(found.acquisitions, 1)]
    return {"usable": usable, "refused": [survey.refusal_as_dict(refusal) for refusal in found.refusals]}


def _acquisition(number: int, one: Acquisition) -> dict[str, Any]:
    between_rows, between_columns = one.pixel_spacing_mm
    return {
        "number": number,
        "vendor": str(one.vendor),
        "scanner": one.software_versions,
        "matrix": [one.columns, one.rows, one.slice_count],
        "voxel_size_mm": [between_columns, between_rows, one.slice_step_mm],
        "echo_times_s": list(one.echo_times_s),
        "components": sorted(str(component) for component in one.components),
        "field_strength_t": one.field_strength_t,
        "readout": "3D" if one.is_3d else "2D",
        "series_instance_uids": list(one.series_instance_uids),
        "images": len(one.cells),
        "warnings": list(one.warnings),
    }


def _print(found: Survey) -> None:
    """Tables for people; what a header says is printed as plain text, never as markup."""
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 160)
    if found.acquisitions:
        table = Table(title="Usable", title_justify="left", title_style="bold green")
        for heading in ("", "Vendor", "Matrix", "Voxel, mm", "Echo times, ms", "Field", "Images", "Notes"):
            table.add_column(heading, overflow="fold")
        for number, one in enumerate(found.acquisitions, 1):
            table.add_row(str(number), *_row(one))
        console.print(table)
    if found.refusals:
        table = Table(title="Refused", title_justify="left", title_style="bold red")
        table.add_column("Reason", style="bold")
        table.add_column("Files", justify="right")
        table.add_column("Why", overflow="fold")
        for refusal in found.refusals:
            table.add_row(str(refusal.reason), str(refusal.instance_count), refusal.message)
        console.print(table)
    if not found.acquisitions:
        console.print("Nothing here can be reconstructed.")


def _row(one: Acquisition) -> tuple[str, ...]:
    between_rows, between_columns = one.pixel_spacing_mm
    return (
        f"{one.vendor} {one.software_versions}",
        f"{one.columns} x {one.rows} x {one.slice_count}",
        f"{between_columns:.3g} x {between_rows:.3g} x {one.slice_step_mm:.4g}",
        ", ".join(f"{1000 * te:g}" for te in one.echo_times_s),
        f"{one.field_strength_t:.3g} T",
        f"{len(one.cells)} ({', '.join(sorted(str(component) for component in one.components))})",
        "\n".join(warning.partition(":")[0] for warning in one.warnings),
    )
