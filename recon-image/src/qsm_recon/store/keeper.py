"""The keeper of one run: asks the store before a stage computes, and hands results to it while the next one does."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qsm_recon.errors import ReconError
from qsm_recon.qsm import backend
from qsm_recon.qsm.keeping import Kept, Stage, is_volume
from qsm_recon.store.keys import Address
from qsm_recon.store.manifests import StageManifest, VolumePart
from qsm_recon.store.store import DamagedError, Store, stage_name
from qsm_recon.store.writing import Writer

OnFailure = Literal["fail", "continue"]
"""When the store is away: end the run so that it is tried again, or go on without and say so."""

THREADS = 2
"""Volumes that are written or read at once."""

Array = Any


@dataclass
class StageNote:
    """What became of one stage."""

    key: str
    outcome: Literal["computed", "cached", "repaired"] = "computed"
    kept: bool = False
    manifest_sha256: str | None = None
    bytes: int = 0


class InterimKeeper:
    """A `StageKeeper` over a store."""

    def __init__(
        self,
        store: Store,
        addresses: Mapping[str, Address],
        affine_ras_mm: NDArray[np.float64],
        *,
        device: Literal["cpu", "gpu"],
        versions: Mapping[str, str],
        on_failure: OnFailure,
    ) -> None:
        self._store = store
        self._addresses = addresses
        self._affine = affine_ras_mm
        self._device = device
        self._versions = dict(versions)
        self._on_failure = on_failure
        self._writer = Writer()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="store")
        self._damaged: set[str] = set()
        self.notes: dict[str, StageNote] = {}
        """By stage, in the order in which they were asked for."""
        self.away: ReconError | None = None
        """Why the store is not used any more."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """For the report."""
        found = []
        if self.away is not None:
            found.append(not_kept(self.away))
        if self._damaged:
            stages = ", ".join(sorted(self._damaged))
            found.append(f"InterimDamaged: stored results were damaged or lost and were computed again: {stages}.")
        return tuple(found)

    def recall(self, stage: Stage) -> Kept | None:
        """The stage as the store has it."""
        address = self._addresses[stage.name]
        note = self.notes.setdefault(stage.name, StageNote(address.key))
        if self._is_away():
            return None
        try:
            found = self._store.read_stage(address)
        except DamagedError:
            self._damaged.add(stage.name)
            note.outcome = "repaired"
            return None
        except ReconError as error:
            self._lose(error)
            return None
        if found is None:
            return None
        manifest, note.manifest_sha256 = found
        if {field.name for field in fields(stage.result)} != {*manifest.facts, *manifest.volumes}:
            raise TypeError(f"{stage.name}: the kept result has other fields under the same code version")
        note.outcome, note.kept = "cached", True
        note.bytes = sum(part.bytes for part in manifest.volumes.values())
        facts = {name: _with_tuples(value) for name, value in manifest.facts.items()}
        loads = {
            name: partial(self._load, stage.name, part, self._ahead(part) if name in stage.shown else None)
            for name, part in manifest.volumes.items()
        }
        return Kept(facts, loads)

    def offer(self, stage: Stage, result: Any) -> None:
        """Have it written while the run goes on."""
        if self._is_away():
            return
        values = {field.name: getattr(result, field.name) for field in fields(result)}
        # A device's volumes come to the host here, in the thread that owns the device.
        arrays = {name: backend.to_host(value) for name, value in values.items() if is_volume(value)}
        facts = {name: value for name, value in values.items() if name not in arrays}
        size = sum(array.nbytes for array in arrays.values())
        self._writer.add(size, partial(self._write, stage.name, arrays, facts))

    def finish(self) -> None:
        """Wait until all is written.

        Raises
        ------
        ReconError
            Why it could not be, where that ends the run.
        """
        self._writer.finish()
        self._pool.shutdown()
        self._is_away()

    def abandon(self) -> None:
        """The run was stopped: wait for nothing."""
        self._writer.abandon()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def remove_own(self) -> None:
        """Take away the stages that this run computed: first the manifests, so that nothing half is ever visible."""
        for stage, note in self.notes.items():
            address = self._addresses[stage]
            if note.kept and note.outcome != "cached":
                with suppress(DamagedError):
                    found = self._store.read_stage(address)
                    self._store.backing.remove(stage_name(stage, address.key))
                    for part in found[0].volumes.values() if found else ():
                        self._store.backing.remove(part.file)

    def _write(self, stage: str, arrays: Mapping[str, Array], facts: Mapping[str, Any]) -> None:
        waiting = {
            name: self._pool.submit(self._store.write_volume, array, self._affine, name)
            for name, array in arrays.items()
        }
        parts = {name: one.result() for name, one in waiting.items()}
        address = self._addresses[stage]
        manifest = StageManifest(
            key=address.key,
            address=address.parts,
            device=self._device,
            versions=self._versions,
            facts={name: _with_lists(value) for name, value in facts.items()},
            volumes=parts,
        )
        note = self.notes[stage]
        note.manifest_sha256 = self._store.write_stage(manifest)
        note.bytes = sum(part.bytes for part in parts.values())
        note.kept = True

    def _ahead(self, part: VolumePart) -> "Future[Array]":
        return self._pool.submit(self._store.read_volume, part)

    def _load(self, stage: str, part: VolumePart, ahead: "Future[Array] | None") -> Array | None:
        if self._is_away():
            self.notes[stage].outcome = "repaired"
            return None
        try:
            volume = ahead.result() if ahead is not None else self._store.read_volume(part)
        except DamagedError:
            self._damaged.add(stage)
        except ReconError as error:
            self._lose(error)
        else:
            return backend.to_device(volume) if self._device == "gpu" else volume
        self.notes[stage].outcome = "repaired"
        return None

    def _is_away(self) -> bool:
        failure = self._writer.failure
        if failure is not None and self.away is None:
            if not isinstance(failure, ReconError):
                raise failure
            self._lose(failure)
        return self.away is not None

    def _lose(self, error: ReconError) -> None:
        """The store is away: end the run, or go on without it."""
        self.away = error
        if self._on_failure == "fail":
            raise error


def not_kept(error: ReconError) -> str:
    """The warning that the store was away."""
    return f"InterimNotKept: the run went on without interim data ({error.reason}): {error.message}."


def _with_lists(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_with_lists(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _with_lists(item) for key, item in value.items()}
    return value


def _with_tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_with_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return value
