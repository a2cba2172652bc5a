"""How a chain of stages is asked "have you this?" before it computes, and by whom.

The science knows no storage. It declares what each stage depends on (`Stage`), asks a `StageKeeper` for each, and
offers what it computed. A kept result looks like a computed one; its volumes come when they are first looked at, so
that those nobody needs are never fetched.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property, partial
from typing import Any, Protocol, TypeVar, cast

import numpy as np

from qsm_recon.qsm import backend
from qsm_recon.qsm.observing import StageClock
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.qsm.scan import MultiEchoScan

Array = Any
T = TypeVar("T")


@dataclass(frozen=True)
class Stage:
    """One stage: it is given what it names here and nothing else."""

    name: str
    compute: Callable[..., Any]
    """Takes the scan, the recipe's parts named in `settings`, the results of the stages in `after`, and progress."""
    result: type[Any]
    """The frozen dataclass it makes: volumes, numbers, words, and tuples or mappings of these."""
    settings: tuple[str, ...]
    """Parts of the recipe."""
    after: tuple[str, ...] = ()
    """Stages whose results it reads."""
    shown: tuple[str, ...] = ()
    """Its volumes that every run hands out in the end: worth fetching before they are looked at."""


@dataclass(frozen=True)
class Kept:
    """A stage's result as a keeper has it."""

    facts: Mapping[str, Any]
    """Every field that is no volume."""
    volumes: Mapping[str, Callable[[], Array | None]]
    """Each volume, fetched when called: as it was offered, or None where it proves to be lost or damaged."""


class StageKeeper(Protocol):
    """Keeps results of stages; may raise to end the run."""

    def recall(self, stage: Stage) -> Kept | None:
        """What `stage` gave for the same scan, settings and code, None where it is not known."""

    def offer(self, stage: Stage, result: Any) -> None:
        """`stage` has been computed. Volumes must not be changed afterwards by anybody."""


class KeepsNothing:
    """The keeper of a run that stores nothing."""

    def recall(self, _stage: Stage) -> Kept | None:
        """Know nothing."""
        return None

    def offer(self, stage: Stage, result: Any) -> None:
        """Take no note."""


class Chain:
    """Runs stages in order; takes from the keeper what it has."""

    def __init__(self, scan: MultiEchoScan, recipe: Any, clock: StageClock, keeper: StageKeeper) -> None:
        self._scan = scan
        self._recipe = recipe
        self._clock = clock
        self._keeper = keeper
        self._done: dict[str, Any] = {}
        self._again: dict[str, Any] = {}

    def run(self, stage: Stage) -> Any:
        """The stage's result, kept or computed."""
        with self._clock.stage(stage.name) as progress:
            kept = self._keeper.recall(stage)
            if kept is None:
                result = self._compute(stage, progress)
            else:
                loads = {name: partial(self._load, stage, name, load) for name, load in kept.volumes.items()}
                result = lazily(stage.result, kept.facts, loads)
        self._done[stage.name] = result
        return result

    def given(self, name: str, result: T) -> T:
        """What the caller gives in a stage's place."""
        with self._clock.stage(name):
            self._done[name] = result
        return result

    def _compute(self, stage: Stage, progress: Progress) -> Any:
        settings = [getattr(self._recipe, part) for part in stage.settings]
        results = [self._done[name] for name in stage.after]
        result = settled(stage.compute(self._scan, *settings, *results, progress))
        self._keeper.offer(stage, result)
        return result

    def _load(self, stage: Stage, name: str, load: Callable[[], Array | None]) -> Array:
        if stage.name not in self._again:
            volume = load()
            if volume is not None:
                return volume
            self._again[stage.name] = self._compute(stage, silent)
        return getattr(self._again[stage.name], name)


def lazily(kind: type[T], facts: Mapping[str, Any], loads: Mapping[str, Callable[[], Array]]) -> T:
    """A `kind` whose volumes are loaded when they are first looked at.

    Parameters
    ----------
    kind
        A frozen dataclass.
    facts
        Its other fields.
    loads
        For each field that is a volume, how to get it.
    """
    if not is_dataclass(kind) or {field.name for field in fields(kind)} != {*facts, *loads}:
        raise TypeError(f"{kind.__name__}: facts and volumes are not its fields")
    # A class of its own with one cached property for each volume: methods and properties of `kind` work unchanged.
    members: dict[str, Any] = {name: _loading(load) for name, load in loads.items()}
    lazy = type(f"Kept{kind.__name__}", (kind,), members)
    for name, load in members.items():
        load.__set_name__(lazy, name)
    instance: Any = object.__new__(lazy)
    instance.__dict__.update(facts)
    return cast("T", instance)


def _loading(load: Callable[[], Array]) -> "cached_property[Array]":
    return cached_property(lambda _self: load())


def settled(result: T) -> T:
    """`result` in the one form that can be kept and comes back the same: C order, Python's own numbers.

    Order and kind matter: sums over another memory layout round differently, and NumPy's own scalars would turn
    float32 volumes into float64 where Python's do not.

    Raises
    ------
    TypeError
        A field that cannot be kept: a defect of the stage.
    """
    for field in fields(cast("Any", result)):
        value = getattr(result, field.name)
        plain = backend.contiguous(value) if is_volume(value) else _plain(value, field.name)
        if plain is not value:
            object.__setattr__(result, field.name, plain)  # frozen for everybody after this line
    return result


def is_volume(value: Any) -> bool:
    """Whether a field's value is an array of either device."""
    return isinstance(value, np.ndarray) or backend.is_device_array(value)


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple):
        return tuple(_plain(item, name) for item in value)
    if isinstance(value, Mapping):
        return {key: _plain(item, name) for key, item in value.items()}
    raise TypeError(f"{name}: {type(value).__name__} cannot be kept")
