"""Looking after a store: is it whole, what may go, how long things stay."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from qsm_recon.errors import StorageError, UsageError
from qsm_recon.store.backing import Entry
from qsm_recon.store.in_folder import PART
from qsm_recon.store.manifests import RunManifest, StageManifest
from qsm_recon.store.store import CLASSES, MANIFEST_BYTES, STAGES, VOLUMES, DamagedError, Store, parsed_stage

LEAST_LETTERS = 6
"""Of a run's name, to mean it."""


@dataclass(frozen=True)
class Finding:
    """Something in the store that is not right, or not needed."""

    name: str
    """Of the file."""
    why: str
    bytes: int


def find_run(store: Store, wanted: str) -> tuple[str, RunManifest]:
    """A run by the first letters of its name, or `last`; its full name and manifest.

    Raises
    ------
    UsageError
        None, or several.
    StorageError
        `StoreDamaged`: it is there and not what its name says.
    """
    if wanted != "last" and (len(wanted) < LEAST_LETTERS or not wanted.isalnum()):
        raise UsageError(f"RUN is `last` or at least {LEAST_LETTERS} letters of a run's name, as `store ls` lists them")
    found = [(entry, run) for entry, run in store.runs() if wanted == "last" or run_name(entry.name).startswith(wanted)]
    if wanted == "last":
        found = sorted(found, key=lambda pair: pair[1].finished if pair[1] is not None else "")[-1:]
    if not found:
        raise UsageError("the store has no such run; `store ls` lists them")
    if len(found) > 1:
        raise UsageError(f"{len(found)} runs begin with these letters; give more of them")
    ((entry, run),) = found
    if run is None:
        raise StorageError(
            "StoreDamaged", "this run's manifest has changed since it was written; `store verify` tells more"
        )
    return run_name(entry.name), run


def find_stage(store: Store, run: RunManifest, stage: str) -> StageManifest:
    """The kept stage of a run.

    Raises
    ------
    UsageError
        The run has no such stage, or did not keep it.
    StorageError
        `StoreExpired` where it is no longer there, `StoreDamaged` where it has changed.
    """
    record = next((one for one in run.stages if one.stage == stage and one.key), None)
    if record is None or record.key is None:
        names = ", ".join(one.stage for one in run.stages if one.key)
        raise UsageError(f"this run kept no stage of that name; it has {names or 'none'}")
    content = store.backing.read(f"{STAGES}{stage}/{record.key}.json", MANIFEST_BYTES)
    if content is None:
        raise StorageError("StoreExpired", "this stage is no longer in the store; run the recipe again to have it")
    try:
        return parsed_stage(content)
    except DamagedError as error:
        raise StorageError("StoreDamaged", f"{error}; `store verify --remove` takes it away") from None


def verify(store: Store) -> Iterator[Finding]:
    """Read everything and tell what is not what it claims to be."""
    volumes = {entry.name: entry for entry in store.backing.entries(VOLUMES) if not entry.name.endswith(PART)}
    for entry in volumes.values():
        if not store.holds_its_name(entry):
            yield Finding(entry.name, "its bytes do not match its name", entry.bytes)
    for entry in _manifests(store):
        manifest = _stage(store, entry)
        if manifest is None:
            yield Finding(entry.name, "the manifest has changed, or lies at another stage's key", entry.bytes)
        elif any(_is_gone(part.file, part.bytes, volumes) for part in manifest.volumes.values()):
            yield Finding(entry.name, "volumes it names are gone or cut short", entry.bytes)
    for entry, run in store.runs():
        if run is None:
            yield Finding(entry.name, "the run's manifest has changed", entry.bytes)


def garbage(store: Store, grace: timedelta, now: datetime | None = None) -> Iterator[Finding]:
    """What may go: expired files, volumes no stage names, stages whose volumes are gone, parts of cut-off writes.

    Parameters
    ----------
    grace
        Younger files stay: a run may be about to name them.
    now
        For tests.
    """
    now = now or datetime.now(tz=UTC)
    expired = {finding.name: finding for finding in _expired(store, now)}
    yield from expired.values()
    volumes = {entry.name: entry for entry in store.backing.entries(VOLUMES) if entry.name not in expired}
    named: set[str] = set()
    for entry in _manifests(store):
        if entry.name in expired:
            continue
        manifest = _stage(store, entry)
        if manifest is not None and not any(_is_gone(p.file, p.bytes, volumes) for p in manifest.volumes.values()):
            named.update(part.file for part in manifest.volumes.values())
        elif now - entry.modified > grace:
            yield Finding(entry.name, "changed, or its volumes are gone", entry.bytes)
    for entry in volumes.values():
        if entry.name not in named and now - entry.modified > grace:
            yield Finding(entry.name, "no stage names it", entry.bytes)


def _expired(store: Store, now: datetime) -> Iterator[Finding]:
    """Files beyond their class's days, where nobody else removes them."""
    for name, days in store.backing.retention().items() if not store.backing.expires_by_itself else ():
        for entry in store.backing.entries(CLASSES[name]):
            if now - entry.modified > timedelta(days=days):
                yield Finding(entry.name, f"older than {days} days", entry.bytes)


def _manifests(store: Store) -> list[Entry]:
    return [entry for entry in store.backing.entries(STAGES) if entry.name.endswith(".json")]


def _stage(store: Store, entry: Entry) -> StageManifest | None:
    """A stage's manifest where it is whole and lies at its own key."""
    content = store.backing.read(entry.name, MANIFEST_BYTES)
    try:
        manifest = parsed_stage(content or b"")
    except DamagedError:
        return None
    at_home = entry.name == f"{STAGES}{manifest.address['stage']}/{manifest.key}.json"
    return manifest if at_home else None


def _is_gone(name: str, size: int, volumes: dict[str, Entry]) -> bool:
    return name not in volumes or volumes[name].bytes != size


def run_name(name: str) -> str:
    """A run's name from that of its file."""
    return name.rpartition("/")[2].removesuffix(".json")
