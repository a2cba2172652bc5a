"""`qsm-recon version`."""

import sys

import click

from qsm_recon.cli.options import print_json
from qsm_recon.report.document import versions


@click.command(name="version")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def command(*, as_json: bool) -> None:
    """Versions of the program and of what it stands on."""
    found = versions()
    if as_json:
        print_json(found)
    else:
        width = max(len(name) for name in found)
        sys.stdout.writelines(f"{name:<{width}}  {version}\n" for name, version in found.items())
