"""`qsm-recon store ls|show|get|verify|gc|lifecycle`."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from qsm_recon.cli import options
from qsm_recon.cli.console import tell
from qsm_recon.errors import StorageError
from qsm_recon.folder import new_folder
from qsm_recon.store import housekeeping
from qsm_recon.store.interim import open_store
from qsm_recon.store.manifests import RunManifest, encoded
from qsm_recon.store.store import CLASSES, DamagedError, Store

F = TypeVar("F", bound=Callable[..., Any])
_MEGA = 1e6


def _place(function: F) -> F:
    """`--store` and its connection."""
    function = options.store_connection_option(function)
    return click.option(
        "--store",
        "place",
        metavar="DIR|s3://BUCKET/PREFIX",
        required=True,
        envvar="QSM_STORE",
        show_envvar=True,
        help="The store.",
    )(function)


def _json(function: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")(function)


@click.group(name="store")
def command() -> None:
    """Look into a store of interim data and look after it (docs/store.md)."""


@command.command(name="ls")
@_place
@_json
def list_runs(*, place: str, connection: Path | None, as_json: bool) -> None:
    """List runs: name, end, recipe, outcome, stages taken from the store, megabytes."""
    store = open_store(place, connection, make=False)
    runs = [(housekeeping.run_name(entry.name), run) for entry, run in store.runs()]
    runs.sort(key=lambda pair: pair[1].finished if pair[1] else "")
    if as_json:
        options.print_json([_line(name, run) for name, run in runs])
        return
    for name, run in runs:
        line = _line(name, run)
        sys.stdout.write(
            f"{name[:12]}  {line['finished']:<25}  {line['recipe']:<16}  {line['outcome']:<18}  "
            f"{len(line['cached'])} cached  {line['bytes'] / _MEGA:8.1f} MB\n"
        )


@command.command()
@click.argument("run")
@_place
def show(*, run: str, place: str, connection: Path | None) -> None:
    """Print a run's manifest; RUN is the beginning of its name, or `last`."""
    _name, manifest = housekeeping.find_run(open_store(place, connection, make=False), run)
    sys.stdout.write(encoded(manifest).decode("ascii"))


@command.command()
@click.argument("run")
@click.argument("stage")
@_place
@click.option("--output", "-o", type=options.NEW_PATH, required=True, help="New folder.")
def get(*, run: str, stage: str, place: str, connection: Path | None, output: Path) -> None:
    """Copy what a stage of a run gave: one NIfTI for each volume, named by field, and manifest.json."""
    store = open_store(place, connection, make=False)
    _name, manifest = housekeeping.find_run(store, run)
    kept = housekeeping.find_stage(store, manifest, stage)
    with new_folder(output) as staging:
        (staging / "manifest.json").write_bytes(encoded(kept))
        for field, part in kept.volumes.items():
            try:
                content = store.read_file(part)
            except DamagedError as error:
                raise StorageError("StoreDamaged", f"{field}: {error}; run the recipe again to repair it") from None
            ending = ".nii.gz" if part.file.endswith(".gz") else ".nii"
            (staging / f"{field}{ending}").write_bytes(content)


@command.command()
@_place
@click.option("--remove", is_flag=True, help="Take damaged files away; the next run makes them again.")
@_json
def verify(*, place: str, connection: Path | None, remove: bool, as_json: bool) -> None:
    """Read everything and check it; exit 78 where something is damaged."""
    store = open_store(place, connection, make=False)
    found = list(housekeeping.verify(store))
    _tell(found, "damaged", as_json=as_json)
    if remove:
        _remove(store, found)
    elif found:
        raise StorageError("StoreDamaged", f"{len(found)} files are damaged; --remove takes them away")


@command.command()
@_place
@click.option("--dry-run", is_flag=True, help="Only tell.")
@click.option(
    "--grace-hours",
    type=click.FloatRange(min=0),
    default=24.0,
    show_default=True,
    help="Younger files stay: a run may be about to name them.",
)
@_json
def gc(*, place: str, connection: Path | None, dry_run: bool, grace_hours: float, as_json: bool) -> None:
    """Remove what nothing needs: volumes no stage names, broken stages; in a folder also what has expired."""
    store = open_store(place, connection, make=False)
    found = list(housekeeping.garbage(store, timedelta(hours=grace_hours)))
    _tell(found, "would go" if dry_run else "gone", as_json=as_json)
    if not dry_run:
        _remove(store, found)


@command.command()
@_place
@click.option("--interim-days", "interim", type=click.IntRange(min=1), help="Stages and volumes.")
@click.option("--results-days", "results", type=click.IntRange(min=1), help="Manifests of runs that gave a map.")
@click.option("--failed-days", "failed", type=click.IntRange(min=1), help="Manifests of runs that did not.")
def lifecycle(*, place: str, connection: Path | None, **days: int | None) -> None:
    """Set how many days each class of files stays, or show it as JSON.

    In a bucket the server removes what is older (lifecycle rules; those of others are left alone); in a folder
    `gc` does. Classes that are not named keep their days; without a rule files stay for ever.
    """
    store = open_store(place, connection)
    said = {name: days[name] for name in CLASSES if days[name] is not None}
    if said:
        store.backing.set_retention({**store.backing.retention(), **{k: v for k, v in said.items() if v}})
    options.print_json(store.backing.retention())


def _line(name: str, run: RunManifest | None) -> dict[str, Any]:
    if run is None:
        return {"run": name, "finished": "", "recipe": "", "outcome": "damaged", "cached": [], "bytes": 0}
    return {
        "run": name,
        "finished": run.finished,
        "recipe": run.recipe.name,
        "outcome": run.failure.reason if run.failure else "map",
        "cached": [stage.stage for stage in run.stages if stage.outcome == "cached"],
        "bytes": sum(stage.bytes for stage in run.stages),
    }


def _tell(found: list[housekeeping.Finding], what: str, *, as_json: bool) -> None:
    if as_json:
        options.print_json([asdict(finding) for finding in found])
        return
    for finding in found:
        sys.stdout.write(f"{finding.name}: {finding.why}\n")
    tell(f"{len(found)} files, {sum(finding.bytes for finding in found) / _MEGA:.1f} MB {what}")


def _remove(store: Store, found: list[housekeeping.Finding]) -> None:
    for finding in found:
        store.backing.remove(finding.name)
