"""The command line: what each command is called, and where it lives.

Commands load when they are called, so that `--help` answers at once although the science takes a second to
import.
"""

import importlib
from collections.abc import Mapping
from types import MappingProxyType

import click

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "run": ("run", "Folder of scanner DICOM to susceptibility map, report and picture."),
        "inspect": ("inspect", "Tell what a folder holds: each acquisition, usable or refused with its reason."),
        "reconstruct": ("reconstruct", "Magnitude and phase NIfTI to susceptibility map."),
        "fit-field": ("fit_field", "Magnitude and phase NIfTI to wrapped field and noise."),
        "mask": ("mask", "Magnitude and phase NIfTI to brain mask."),
        "unwrap": ("unwrap", "Remove 2 pi jumps from a phase volume."),
        "remove-background": ("remove_background", "Total field to local field."),
        "invert": ("invert", "Local field to susceptibility."),
        "simulate": ("simulate", "Write a digital head as a vendor's DICOM, with its truth."),
        "selftest": ("selftest", "Reconstruct a tiny simulated head and compare it with its truth."),
        "job": ("job", "Do what QSM_REQUEST asks (started by the operator)."),
        "store": ("store", "Look into a store of interim data, check it, clear it up."),
        "recipes": ("recipes", "List and show recipes."),
        "version": ("version", "Versions of the program and of what it stands on."),
    }
)
"""Command name to (module in this folder, one line of help), in the order of `--help`."""


class LazyGroup(click.Group):
    """A group that imports a command's module only when that command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import and return the command, None where there is no such."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"qsm_recon.cli.{COMMANDS[cmd_name][0]}")
        command = module.command
        if not isinstance(command, click.Command):
            raise TypeError(f"{module.__name__}.command is no click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """List the commands from the table, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_module, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def qsm_recon() -> None:
    """Quantitative susceptibility maps from multi-echo gradient-echo MRI.

    Research software, no medical device. `qsm-recon COMMAND --help` tells a command's options and units. Exit
    codes: 0 done, 64 wrong usage, 65 data that cannot give a correct map, 69 no such device, 70 a defect,
    75 try again, 78 wrong recipe.
    """
