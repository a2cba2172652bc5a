"""`qsm-recon inspect`."""

import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from qsm_acquisition.acquisition import Acquisition, Survey
from qsm_recon import survey
from qsm_recon.cli import options

_WIDTH = 80
"""Columns where the output is no terminal."""


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
        "device": one.scanner,
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
    """Blocks of text for people, wrapped to the terminal; a header's words are printed plain, never as markup."""
    console = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else _WIDTH)
    if found.acquisitions:
        console.print("Usable", style="bold green")
    for number, one in enumerate(found.acquisitions, 1):
        console.print(f"{number:>3}  {one.vendor} {one.software_versions}", style="bold")
        for line in (*_lines(one), *one.warnings):
            console.print(Padding(Text(line), (0, 0, 0, 5), expand=False))
    if found.refusals:
        console.print("Refused", style="bold red")
    for refusal in found.refusals:
        files = "1 file" if refusal.instance_count == 1 else f"{refusal.instance_count} files"
        console.print(f"     {refusal.reason}, {files}", style="bold")
        console.print(Padding(Text(refusal.message), (0, 0, 0, 5), expand=False))
    if not found.acquisitions:
        console.print("Nothing here can be reconstructed.")


def _lines(one: Acquisition) -> tuple[str, ...]:
    between_rows, between_columns = one.pixel_spacing_mm
    times = ", ".join(f"{1000 * te:g}" for te in one.echo_times_s)
    return (
        (
            f"{one.columns} x {one.rows} x {one.slice_count} voxels of {between_columns:.3g} x {between_rows:.3g} x "
            f"{one.slice_step_mm:.4g} mm, {'3D' if one.is_3d else '2D'}, {one.field_strength_t:.3g} T"
        ),
        f"{one.echo_count} echoes at {times} ms",
        f"{len(one.cells)} images: {', '.join(sorted(str(component) for component in one.components))}",
    )
