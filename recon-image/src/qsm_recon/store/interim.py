"""Interim data of a run, from opening the store to the manifest that is written last."""

import hashlib
import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from qsm_recon.errors import ReconError, TransientError, UsageError
from qsm_recon.qsm import backend
from qsm_recon.qsm.config import STAGES
from qsm_recon.qsm.keeping import KeepsNothing, StageKeeper
from qsm_recon.qsm.observing import StageClock, StageTiming
from qsm_recon.qsm.pipeline import CHAIN
from qsm_recon.qsm.scan import MultiEchoScan
from qsm_recon.recipes import Recipe
from qsm_recon.report.document import versions
from qsm_recon.store import keys
from qsm_recon.store.in_folder import FolderBacking
from qsm_recon.store.keeper import InterimKeeper, OnFailure, not_kept
from qsm_recon.store.manifests import (
    FailureRecord,
    InputPart,
    JobRecord,
    OutputRecord,
    RecipePart,
    RunManifest,
    StageRecord,
    WarningRecord,
)
from qsm_recon.store.store import Store
from qsm_recon.store.traffic import Metered
from qsm_recon.transfer.s3_patience import BRISK, PATIENT

SCHEME = "s3://"
PATIENCE = {"fail": PATIENT, "continue": BRISK}


@dataclass(frozen=True)
class InterimData:
    """Where finished stages are kept, and what to do when that place is away."""

    store: Store | None
    """None: nowhere."""
    on_failure: OnFailure = "continue"
    warnings: tuple[str, ...] = ()
    """Why the store is not used although it was asked for."""
    image: str = ""
    """The container image of this run, by digest."""
    job: JobRecord | None = None
    """The QSMJob of this run."""
    runs: list["InterimRun"] = field(default_factory=list)
    """What has run so far, for `clean_up`."""

    @property
    def traffic(self) -> dict[str, float]:
        """What the store has cost so far, as the contract has it; empty where there is none."""
        backing = self.store.backing if self.store is not None else None
        return backing.traffic.told() if isinstance(backing, Metered) else {}

    def prepare(self) -> None:
        """Begin with what `running` will need of the program itself; to be called before a scan is read."""
        if self.store is not None:
            keys.hash_code_ahead(CHAIN)

    @property
    def hash_volume(self) -> Callable[[NDArray[Any]], str] | None:
        """How volumes are hashed while they are read (`Origin.pixels_sha256`); None where nobody needs it."""
        return keys.volume_sha256 if self.store is not None else None


NOWHERE = InterimData(None)


def open_store(place: str, connection: Path | None, *, make: bool = True, on_failure: OnFailure = "fail") -> Store:
    """The store at a folder or an `s3://bucket/prefix`.

    Parameters
    ----------
    place
        Folder or URI.
    connection
        Folder of the S3 connection's Secret; needed for S3, an error elsewhere.
    make
        Whether to make a store where there is none.
    on_failure
        How patient to be with S3: less where the work can go on without.

    Raises
    ------
    ReconError
        Why it cannot be used.
    """
    if place.startswith(SCHEME):
        if connection is None:
            raise UsageError("a store in S3 needs its connection: a folder with endpoint and credentials")
        from qsm_recon.store.in_bucket import BucketBacking  # noqa: PLC0415 - takes a while, and a folder needs none

        store = Store(Metered(BucketBacking.at(connection, place, PATIENCE[on_failure])))
    elif connection is not None:
        raise UsageError("a connection belongs to a store in S3; this store is a folder")
    else:
        store = Store(Metered(FolderBacking(Path(place))))
    store.check(make=make)
    return store


def opened(
    place: str,
    connection: Path | None,
    on_failure: OnFailure,
    *,
    image: str = "",
    job: JobRecord | None = None,
) -> InterimData:
    """Interim data at a place; where it is away and that shall not matter, nowhere and a warning.

    Raises
    ------
    ReconError
        Why it cannot be used, where `on_failure` is `fail`; wrong words on the command line always.
    """
    try:
        store: Store | None = open_store(place, connection, on_failure=on_failure)
    except UsageError:
        raise
    except ReconError as error:
        if on_failure == "fail":
            raise
        return InterimData(None, on_failure, (not_kept(error),), image, job)
    return InterimData(store, on_failure, (), image, job)


@dataclass(frozen=True)
class Origin:
    """What is known of the images beside their pixels; all of it identifies nobody."""

    instances_sha256: str | None = None
    """From `dicom.read`; None where the images are no DICOM."""
    series_instance_uids: tuple[str, ...] = ()
    """Only their hashes are kept."""
    facts: dict[str, Any] = field(default_factory=dict)
    """As in the report."""
    pixels_sha256: tuple[str, ...] = ()
    """For `keys.scan_sha256`, where the volumes were hashed while they were read."""


@dataclass
class InterimRun:
    """One reconstruction and what the store has to do with it."""

    interim: InterimData
    recipe: Recipe
    device: Literal["cpu", "gpu"]
    inputs: InputPart | None = None
    keeper: InterimKeeper | None = None

    @property
    def stage_keeper(self) -> StageKeeper:
        """For `pipeline.reconstruct`."""
        return self.keeper if self.keeper is not None else KeepsNothing()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to know of the interim data, for the report; complete after `settle`."""
        return (*self.interim.warnings, *(self.keeper.warnings if self.keeper is not None else ()))

    @property
    def cached(self) -> list[str]:
        """Stages that were taken from the store."""
        notes = self.keeper.notes if self.keeper is not None else {}
        return [stage for stage, note in notes.items() if note.outcome == "cached"]

    def settle(self) -> None:
        """Wait until everything offered is kept.

        Raises
        ------
        ReconError
            Why it could not be kept, where that ends the run.
        """
        if self.keeper is not None:
            self.keeper.finish()

    def succeeded(self, report: dict[str, Any]) -> None:
        """Leave the manifest of a run that ended with a map: the last thing written to the store.

        Raises
        ------
        ReconError
            Why it could not be left, where that ends the run.
        """
        self._leave(report["stages"], report, None)

    def failed(self, error: ReconError, timings: Iterable[StageTiming]) -> None:
        """Leave the manifest of a run that ends without a map; finished stages stay for the next attempt."""
        stages = [{"stage": timing.stage, "seconds": timing.seconds} for timing in timings]
        try:
            self.settle()
            self._leave(stages, None, FailureRecord(reason=error.reason, exit_code=error.exit_code))
        except ReconError:
            return  # the first failure is the one to tell

    def _leave(
        self, stages: list[dict[str, Any]], report: dict[str, Any] | None, failure: FailureRecord | None
    ) -> None:
        store = self.interim.store
        if self.keeper is None or self.inputs is None or store is None or self.keeper.away is not None:
            return
        config = self.recipe.config
        manifest = RunManifest(
            finished=datetime.now(tz=UTC).isoformat(timespec="milliseconds"),
            inputs=self.inputs,
            recipe=RecipePart(
                name=config.name, version=config.version, sha256=config.sha256(), values=config.canonical()
            ),
            image=self.interim.image,
            job=self.interim.job,
            versions=versions(),
            hardware={"device": self.device, "threads": backend.threads(), "machine": platform.machine()},
            stages=[self._stage(str(stage["stage"]), float(stage["seconds"])) for stage in stages],
            seconds=sum(float(stage["seconds"]) for stage in stages),
            quality=report["quality"] if report else None,
            warnings=[WarningRecord(**warning) for warning in report["warnings"]] if report else [],
            outputs=[_output(output) for output in report["outputs"]] if report else [],
            failure=failure,
        )
        try:
            store.write_run(manifest)
        except ReconError as error:
            self.keeper.away = error
            if self.interim.on_failure == "fail":
                raise

    def _stage(self, name: str, seconds: float) -> StageRecord:
        note = self.keeper.notes.get(name) if self.keeper is not None else None
        if note is None:  # reading, writing, a mask that the caller gave
            outcome: Literal["given", "computed"] = "given" if name in STAGES else "computed"
            return StageRecord(
                stage=name, key=None, outcome=outcome, kept=False, manifest_sha256=None, bytes=0, seconds=seconds
            )
        return StageRecord(
            stage=name,
            key=note.key,
            outcome=note.outcome,
            kept=note.kept,
            manifest_sha256=note.manifest_sha256,
            bytes=note.bytes,
            seconds=seconds,
        )


@contextmanager
def running(
    interim: InterimData,
    recipe: Recipe,
    device: str,
    scan: MultiEchoScan,
    affine_ras_mm: NDArray[np.float64],
    *,
    mask: NDArray[np.bool_] | None,
    origin: Origin,
    clock: StageClock,
) -> Iterator[InterimRun]:
    """One reconstruction of a scan (on the host) with interim data; what fails inside leaves its manifest."""
    kind = cast("Literal['cpu', 'gpu']", device)
    run = InterimRun(interim, recipe, kind)
    if interim.store is None:
        yield run
        return
    with clock.stage("identify"):
        scan_sha256 = keys.scan_sha256(scan, affine_ras_mm, origin.pixels_sha256)
        given = None if mask is None else keys.volume_sha256(mask)
        addresses = keys.addresses(CHAIN, scan_sha256, recipe.config, device=device, mask=given)
    run.inputs = InputPart(
        scan_sha256=scan_sha256,
        instances_sha256=origin.instances_sha256,
        series_uid_sha256=[_hashed(uid) for uid in origin.series_instance_uids],
        facts=origin.facts,
    )
    run.keeper = InterimKeeper(
        interim.store, addresses, affine_ras_mm, device=kind, versions=versions(), on_failure=interim.on_failure
    )
    interim.runs.append(run)
    try:
        yield run
    except ReconError as error:
        run.failed(error, clock.timings)
        raise
    except BaseException:
        run.keeper.abandon()
        raise


def clean_up(interim: InterimData, cleanup: str, failure: ReconError | None) -> None:
    """Remove what this program has stored, where a QSMJob asks for that (`cleanup` in the contract).

    What came from other jobs stays. Other jobs that meanwhile took something of ours notice, and compute it.

    Parameters
    ----------
    interim
        After everything is delivered, or has failed.
    cleanup
        `OnSuccess`, `Always` or `Never`.
    failure
        Why there is no result. A failure that may pass removes nothing: the next attempt goes on from there.

    Raises
    ------
    ReconError
        Why it cannot be removed.
    """
    final = failure is not None and failure.exit_code != TransientError.exit_code
    if cleanup == "Never" or interim.store is None or (failure is not None and not (cleanup == "Always" and final)):
        return
    for run in interim.runs:
        if run.keeper is not None:
            run.keeper.remove_own()


def _output(output: dict[str, Any]) -> OutputRecord:
    uid = output["series_instance_uid"]
    return OutputRecord(
        path=output["path"],
        sha256=output["sha256"],
        quantity=output["quantity"],
        unit=output["unit"],
        series_uid_sha256=_hashed(uid) if uid else None,
    )


def _hashed(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()
