"""Options that several commands share, written once so that they mean the same everywhere."""

import functools
import json
import math
import os
import stat
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from qsm_recon.cli.field_unit import FieldUnit
from qsm_recon.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])

LOWEST_FIELD_T, HIGHEST_FIELD_T = 0.01, 25.0
"""From Earth-field-like research magnets to the strongest ones that held an animal."""


class Numbers(click.ParamType[tuple[float, ...]]):
    """Finite numbers separated by commas or blanks, e.g. `0.004,0.008` or `0.004 0.008`."""

    def __init__(self, name: str, count: int | None = None) -> None:
        self.name = name
        self._count = count

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Numbers as a tuple."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(part) for part in str(value).replace(",", " ").split())
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers", param, ctx)
        if not numbers or not all(math.isfinite(number) for number in numbers):
            self.fail(f"{value!r} is not a list of finite numbers", param, ctx)
        if self._count is not None and len(numbers) != self._count:
            self.fail(f"needs {self._count} numbers, got {len(numbers)}", param, ctx)
        return numbers


class PositiveFloat(click.ParamType[float]):
    """A finite number above zero."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Number as float."""
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number", param, ctx)
        if not math.isfinite(number) or number <= 0:
            self.fail(f"must be a finite number above zero, got {value}", param, ctx)
        return number


class ExistingPath(click.ParamType[Path]):
    """A path that must be there; messages name the option, not the path, which may hold a patient's name."""

    name = "path"

    def __init__(self, *, folders: bool = True) -> None:
        self._folders = folders

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path."""
        path = Path(value)
        try:
            status = path.stat()
        except (OSError, ValueError) as error:
            self.fail(f"cannot be opened ({getattr(error, 'strerror', None) or 'no legal path'})", param, ctx)
        if stat.S_ISDIR(status.st_mode) and not self._folders:
            self.fail("must be a file, it is a folder", param, ctx)
        if not os.access(path, os.R_OK):
            self.fail("cannot be read (permission)", param, ctx)
        return path


class NewVolume(click.ParamType[Path]):
    """A NIfTI file to write, found impossible before minutes of work, not after."""

    name = "file.nii[.gz]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path."""
        path = Path(value)
        if not path.name.endswith((".nii", ".nii.gz")):
            self.fail("must end in .nii or .nii.gz", param, ctx)
        if path.is_dir():
            self.fail("is a folder; name a file", param, ctx)
        if not path.absolute().parent.is_dir() or not os.access(path.absolute().parent, os.W_OK | os.X_OK):
            self.fail("its folder is not there, or cannot be written", param, ctx)
        return path


class FieldStrength(PositiveFloat):
    """B0 in tesla; 3000 is mT, 127 is MHz."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Number as float."""
        number = super().convert(value, param, ctx)
        if not LOWEST_FIELD_T <= number <= HIGHEST_FIELD_T:
            self.fail(f"must be in tesla, {LOWEST_FIELD_T} to {HIGHEST_FIELD_T}, got {value}", param, ctx)
        return number


EXISTING_FILE = ExistingPath(folders=False)
EXISTING_PATH = ExistingPath()
NEW_PATH = click.Path(path_type=Path)
NEW_VOLUME = NewVolume()


def recipe_option(function: F) -> F:
    """`--recipe NAME|FILE`."""
    return click.option(
        "--recipe",
        "-r",
        "recipe_name",
        metavar="NAME|FILE",
        default="medi0-v1",
        show_default=True,
        help="Packaged recipe by name (`qsm-recon recipes list`), or a YAML file.",
    )(function)


def backend_option(function: F) -> F:
    """`--backend auto|cpu|gpu`."""
    return click.option(
        "--backend",
        "backend_name",
        type=click.Choice(["auto", "cpu", "gpu"]),
        default="auto",
        show_default=True,
        help="Where to compute: auto takes a GPU where there is one; gpu without one is an error (exit 69).",
    )(function)


def store_options(function: F) -> F:
    """`--store`, its connection, and what happens when it is away; handed on as `interim`, opened when called."""

    @click.option(
        "--store",
        "place",
        metavar="DIR|s3://BUCKET/PREFIX",
        default=None,
        help="Keep finished stages there, and take from there what an earlier run finished.",
    )
    @store_connection_option
    @click.option(
        "--store-failure",
        type=click.Choice(["fail", "continue"]),
        default="continue",
        show_default=True,
        help="When the store is away: end (exit 75 or 78), or go on without and warn.",
    )
    @functools.wraps(function)
    def with_store(*, place: str | None, connection: Path | None, store_failure: str, **rest: Any) -> Any:
        if place is None:
            if connection is not None:
                raise UsageError("--store-connection belongs to --store, which is not given")
            return function(interim=None, **rest)
        from qsm_recon.store.interim import opened  # noqa: PLC0415 - `--help` must not wait for the science

        return function(
            interim=functools.partial(opened, place, connection, cast("Any", store_failure)),
            **rest,
        )

    return cast("F", with_store)


def store_connection_option(function: F) -> F:
    """`--store-connection DIR`."""
    return click.option(
        "--store-connection",
        "connection",
        type=EXISTING_PATH,
        default=None,
        help="For s3://: folder with the files endpoint, AWS_ACCESS_KEY_ID, ... (docs/contract.md, Connections).",
    )(function)


def talk_options(function: F) -> F:
    """`--quiet` and `--json`."""
    function = click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")(function)
    return click.option("--json", "as_json", is_flag=True, help="Result, or failure, as JSON on stdout.")(function)


def geometry_options(function: F) -> F:
    """`--voxel-size-mm` and `--b0-direction` for NIfTI commands."""
    function = click.option(
        "--b0-direction",
        type=Numbers("x,y,z", 3),
        default="0,0,1",
        show_default=True,
        help="B0 in voxel axes (need not have unit length). A header cannot tell it when the volume was resliced.",
    )(function)
    return click.option(
        "--voxel-size-mm",
        type=Numbers("x,y,z", 3),
        default=None,
        help="Distance between voxel centres in mm.  [default: from the NIfTI header]",
    )(function)


def echo_options(function: F) -> F:
    """Magnitude, phase and how they were acquired; handed on under the names of `volumes.read_echoes`."""
    for option in reversed(
        (
            click.option(
                "--magnitude", "magnitude_path", type=EXISTING_FILE, required=True, help="Magnitude (x, y, z, echo)."
            ),
            click.option(
                "--phase",
                "phase_path",
                type=EXISTING_FILE,
                required=True,
                help="Phase (x, y, z, echo) in rad, within -pi to pi; grows with echo time in a positive field.",
            ),
            click.option(
                "--echo-times-s",
                type=Numbers("s,s,..."),
                required=True,
                help='Echo times in s, ascending, e.g. "0.004,0.008,0.012".',
            ),
            click.option("--field-strength-t", type=FieldStrength(), required=True, help="B0 in tesla."),
            click.option("--bipolar", is_flag=True, help="Even and odd echoes were read in opposite directions."),
        )
    ):
        function = option(function)
    return function


def field_unit_options(function: F) -> F:
    """`--field-unit` with what it needs; handed on as `unit`."""

    @click.option(
        "--field-unit",
        type=click.Choice(["ppm", "hz", "rad"]),
        default="ppm",
        show_default=True,
        help="Unit of the field: ppm of B0, Hz, or rad gathered in --echo-time-s.",
    )
    @click.option("--field-strength-t", type=FieldStrength(), help="B0 in tesla; needed for hz and rad.")
    @click.option("--echo-time-s", type=PositiveFloat(), help="Time in s in which the phase was gathered; for rad.")
    @functools.wraps(function)
    def with_unit(*, field_unit: str, field_strength_t: float | None, echo_time_s: float | None, **rest: Any) -> Any:
        return function(unit=FieldUnit(field_unit, field_strength_t, echo_time_s), **rest)

    return cast("F", with_unit)


def check_echo_times(echo_times_s: tuple[float, ...]) -> None:
    """Echo times in s, ascending; times in ms are caught."""
    if any(later <= earlier for earlier, later in pairwise(echo_times_s)):
        raise UsageError("--echo-times-s must ascend")
    if echo_times_s[0] <= 0:
        raise UsageError("--echo-times-s must be above zero")
    if echo_times_s[-1] > 0.5:
        raise UsageError(f"--echo-times-s are in seconds; {echo_times_s[-1]:g} s is no gradient-echo time (ms?)")


def finish(facts: dict[str, Any], warnings: tuple[str, ...], output: Path, *, quiet: bool, as_json: bool) -> None:
    """Tell what was made: JSON on stdout, or warnings and the path on stderr."""
    if as_json:
        print_json({**facts, "warnings": list(warnings), "output": str(output)})
        return
    if not quiet:
        sys.stderr.writelines(f"note: {warning}\n" for warning in warnings)
        sys.stderr.write(f"wrote {output}\n")


def print_json(data: Any) -> None:
    """A result for programs, on stdout."""
    sys.stdout.write(json.dumps(data, indent=2, allow_nan=False) + "\n")
