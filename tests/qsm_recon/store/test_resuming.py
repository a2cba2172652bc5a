"""A run with a store, through the chain: what is computed, what is taken, and that the map does not tell."""

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qsm_recon import recipes
from qsm_recon.errors import InputError, ReconError, TransientError
from qsm_recon.qsm.config import STAGES
from qsm_recon.qsm.observing import StageClock
from qsm_recon.qsm.pipeline import Reconstruction, reconstruct
from qsm_recon.qsm.scan import MultiEchoScan
from qsm_recon.store import housekeeping, interim, writing
from qsm_recon.store.in_folder import FolderBacking
from qsm_recon.store.interim import InterimData, InterimRun, Origin, running
from qsm_recon.store.store import STAGES as STAGES_PREFIX
from qsm_recon.store.store import VOLUMES, Store

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
TIMES_S = (0.004, 0.008, 0.013)  # uneven: then unwrapping fits again


def recipe(**changes: dict[str, Any]) -> recipes.Recipe:
    values: dict[str, Any] = {
        "name": "quick",
        "version": 1,
        "field_mapping": {"method": "nonlinear"},
        "masking": {"method": "threshold"},
        "unwrapping": {"method": "region-growing"},
        "background": {"method": "vsharp"},
        "relaxometry": {"method": "arlo"},
        "inversion": {"method": "tkd"},
        "referencing": {"region": "brain-mean"},
    }
    values.update(changes)
    return recipes.Recipe(recipes.from_data(values), text="", origin="file")


@pytest.fixture(scope="module")
def scan(scan_of_ball: Callable[[tuple[float, ...]], MultiEchoScan]) -> MultiEchoScan:
    return scan_of_ball(TIMES_S)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(FolderBacking(tmp_path / "store"))
    store.check(make=True)
    return store


def run(
    scan: MultiEchoScan,
    store: Store | None,
    method: recipes.Recipe,
    on_failure: Any = "fail",
    mask: Any = None,
) -> tuple[Reconstruction, InterimRun]:
    clock = StageClock()
    with running(
        InterimData(store, on_failure), method, "cpu", scan, AFFINE, mask=mask, origin=Origin(), clock=clock
    ) as kept:
        result = reconstruct(scan, method.config, mask=mask, clock=clock, keeper=kept.stage_keeper)
        kept.settle()
    return result, kept


def outcomes(kept: InterimRun) -> dict[str, str]:
    assert kept.keeper is not None
    return {stage: note.outcome for stage, note in kept.keeper.notes.items()}


def same(first: Reconstruction, second: Reconstruction) -> bool:
    for field in dataclasses.fields(first):
        a, b = getattr(first, field.name), getattr(second, field.name)
        if isinstance(a, np.ndarray):
            if a.dtype != b.dtype or a.tobytes() != b.tobytes() or a.flags.c_contiguous != b.flags.c_contiguous:
                return False
        elif a != b:
            return False
    return True


def test_with_without_and_again_give_the_same_bits(scan: MultiEchoScan, store: Store) -> None:
    plain, _ = run(scan, None, recipe())
    cold, first = run(scan, store, recipe())
    warm, second = run(scan, store, recipe())
    assert set(outcomes(first).values()) == {"computed"}
    assert outcomes(second) == dict.fromkeys(STAGES, "cached")
    assert second.cached == list(STAGES)
    assert same(plain, cold)
    assert same(plain, warm)
    assert first.warnings == second.warnings == ()


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        ({"inversion": {"method": "tkd", "threshold": 0.2}}, {"inversion", "referencing"}),
        ({"referencing": {"region": "none"}}, {"referencing"}),
        ({"referencing": {"region": "brain-mean", "csf_depth_mm": 4.0}}, {"relaxometry", "inversion", "referencing"}),
        ({"relaxometry": {"method": "arlo", "max_per_s": 500.0}}, {"relaxometry", "inversion", "referencing"}),
        (
            {"background": {"method": "vsharp", "threshold": 0.1}},
            {"background", "relaxometry", "inversion", "referencing"},
        ),
        ({"unwrapping": {"method": "laplacian"}}, set(STAGES) - {"field_mapping", "masking"}),
        ({"masking": {"method": "threshold", "erosion_mm": 2.0}}, set(STAGES) - {"field_mapping"}),
        ({"field_mapping": {"method": "linear"}}, set(STAGES)),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_change_costs_what_stands_after_it(
    scan: MultiEchoScan, store: Store, changed: dict[str, Any], again: set[str]
) -> None:
    run(scan, store, recipe())
    plain, _ = run(scan, None, recipe(**changed))
    resumed, kept = run(scan, store, recipe(**changed))
    assert {stage for stage, outcome in outcomes(kept).items() if outcome == "computed"} == again
    assert same(plain, resumed)


def files(store: Store, prefix: str) -> list[Path]:
    assert isinstance(store.backing, FolderBacking)
    return [store.backing._path(entry.name) for entry in store.backing.entries(prefix)]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_damaged_volumes_are_noticed_and_made_again(scan: MultiEchoScan, store: Store, harm: str) -> None:
    plain, _ = run(scan, store, recipe())
    for path in files(store, VOLUMES):
        if harm == "flip":
            flip(path)
        elif harm == "cut":
            path.write_bytes(path.read_bytes()[:-7])
        else:
            path.unlink()
    repaired, kept = run(scan, store, recipe())
    assert same(plain, repaired)
    assert [warning.split(":")[0] for warning in kept.warnings] == ["InterimDamaged"]
    assert "repaired" in outcomes(kept).values()
    again, healed = run(scan, store, recipe())
    assert set(outcomes(healed).values()) == {"cached"}
    assert healed.warnings == ()
    assert same(plain, again)


@pytest.mark.parametrize("harm", ["flip", "another stage's", "no JSON", "empty"])
def test_damaged_manifests_are_noticed_and_made_again(scan: MultiEchoScan, store: Store, harm: str) -> None:
    plain, _ = run(scan, store, recipe())
    (target,) = files(store, f"{STAGES_PREFIX}background/")
    if harm == "flip":
        flip(target)
    elif harm == "another stage's":
        run(scan, store, recipe(background={"method": "vsharp", "threshold": 0.1}))
        (other,) = set(files(store, f"{STAGES_PREFIX}background/")) - {target}
        target.write_bytes(other.read_bytes())
    else:
        target.write_bytes(b"" if harm == "empty" else b"{")
    repaired, kept = run(scan, store, recipe())
    assert same(plain, repaired)
    assert outcomes(kept) == {**dict.fromkeys(STAGES, "cached"), "background": "repaired"}
    assert [warning.split(":")[0] for warning in kept.warnings] == ["InterimDamaged"]
    assert set(outcomes(run(scan, store, recipe())[1]).values()) == {"cached"}


@pytest.mark.parametrize("policy", ["fail", "continue"])
def test_a_manifest_of_a_newer_version_is_never_touched(scan: MultiEchoScan, store: Store, policy: str) -> None:
    plain, _ = run(scan, store, recipe())
    (target,) = files(store, f"{STAGES_PREFIX}unwrapping/")
    target.write_text(target.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    before = target.read_bytes()
    if policy == "fail":
        with pytest.raises(ReconError) as caught:
            run(scan, store, recipe(), policy)
        assert (caught.value.reason, caught.value.exit_code) == ("StoreTooNew", 78)
    else:
        result, kept = run(scan, store, recipe(), policy)
        assert same(plain, result)
        assert "StoreTooNew" in kept.warnings[0]
    assert target.read_bytes() == before


class Broken(FolderBacking):
    """A folder that fails from some call on."""

    def __init__(self, root: Path, *, writes: int = 1_000_000, reads: int = 1_000_000) -> None:
        super().__init__(root)
        self.left = {"write": writes, "read": reads}
        self.seen: list[str] = []

    def _count(self, what: str) -> None:
        self.left[what] -= 1
        if self.left[what] < 0:
            raise TransientError("StoreUnreachable", "gone")

    def write(self, name: str, *rest: Any) -> None:
        self._count("write")
        super().write(name, *rest)

    def read_hashed(self, name: str, limit: int) -> tuple[memoryview, str] | None:  # `read` goes through it
        self._count("read")
        self.seen.append(name)
        return super().read_hashed(name, limit)


@pytest.mark.parametrize("writes", [0, 1, 6, 12])
def test_when_the_store_goes_away_while_writing(scan: MultiEchoScan, tmp_path: Path, writes: int) -> None:
    plain, _ = run(scan, None, recipe())
    broken = Store(Broken(tmp_path / "s", writes=writes))
    with pytest.raises(TransientError, match="gone"):
        run(scan, broken, recipe(), "fail")
    visible = files(Store(FolderBacking(tmp_path / "s")), STAGES_PREFIX)
    resumed, kept = run(scan, Store(FolderBacking(tmp_path / "s")), recipe())
    assert same(plain, resumed)
    assert list(outcomes(kept).values()).count("cached") == len(visible), "what is visible is whole"
    result, lenient = run(scan, Store(Broken(tmp_path / "t", writes=writes)), recipe(), "continue")
    assert same(plain, result)
    assert [warning.split(":")[0] for warning in lenient.warnings] == ["InterimNotKept"]


@pytest.mark.parametrize("reads", [0, 3, 9])
def test_when_the_store_goes_away_while_reading(scan: MultiEchoScan, tmp_path: Path, reads: int) -> None:
    plain, _ = run(scan, Store(FolderBacking(tmp_path)), recipe())
    with pytest.raises(TransientError, match="gone"):
        run(scan, Store(Broken(tmp_path, reads=reads)), recipe(), "fail")
    result, kept = run(scan, Store(Broken(tmp_path, reads=reads)), recipe(), "continue")
    assert same(plain, result)
    assert [warning.split(":")[0] for warning in kept.warnings] == ["InterimNotKept"]


def test_volumes_nobody_needs_are_not_fetched(scan: MultiEchoScan, tmp_path: Path) -> None:
    run(scan, Store(FolderBacking(tmp_path)), recipe())
    watched = Broken(tmp_path)
    _, kept = run(scan, Store(watched), recipe(inversion={"method": "tkd", "threshold": 0.2}))
    assert kept.keeper is not None
    fetched = {name for name in watched.seen if name.startswith(VOLUMES)}
    manifests = [Store(watched).read_stage(kept.keeper._addresses[stage]) for stage in STAGES]
    parts = {
        f"{stage}.{field}": part.file
        for stage, found in zip(STAGES, manifests, strict=True)
        if found
        for field, part in found[0].volumes.items()
    }
    assert parts["field_mapping.phase_slope_rad"] not in fetched
    assert parts["field_mapping.noise_rad"] not in fetched
    assert parts["field_mapping.magnitude"] in fetched


def test_two_runs_on_one_key_do_not_disturb_each_other(scan: MultiEchoScan, tmp_path: Path) -> None:
    plain, _ = run(scan, None, recipe())
    with ThreadPoolExecutor(3) as pool:
        both = [pool.submit(run, scan, Store(FolderBacking(tmp_path)), recipe()) for _ in range(3)]
        for one in both:
            assert same(plain, one.result()[0])
    store = Store(FolderBacking(tmp_path))
    assert list(housekeeping.verify(store)) == []
    assert set(outcomes(run(scan, store, recipe())[1]).values()) == {"cached"}


def test_a_stage_that_fails_leaves_what_came_before_it(scan: MultiEchoScan, store: Store) -> None:
    with pytest.raises(InputError) as caught:
        run(scan, store, recipe(background={"method": "vsharp", "largest_radius_mm": 40.0, "smallest_radius_mm": 39.0}))
    assert caught.value.reason == "MaskTooSmall"
    _, kept = run(scan, store, recipe())
    assert {stage for stage, outcome in outcomes(kept).items() if outcome == "cached"} == set(STAGES[:3])
    ((_entry, manifest),) = store.runs()
    assert manifest is not None
    assert manifest.failure is not None
    assert manifest.failure.reason == "MaskTooSmall"
    assert [stage.outcome for stage in manifest.stages if stage.stage in STAGES] == ["computed"] * 3


def test_a_given_mask_counts_by_its_voxels(scan: MultiEchoScan, store: Store) -> None:
    mask = np.zeros(scan.shape, dtype=bool)
    mask[6:26, 6:26, 6:26] = True
    first, _ = run(scan, store, recipe(), mask=mask)
    again, kept = run(scan, store, recipe(), mask=mask.copy())
    assert same(first, again)
    assert set(outcomes(kept).values()) == {"cached"}
    assert "masking" not in outcomes(kept)
    mask[6, 6, 6] = False
    _, other = run(scan, store, recipe(), mask=mask)
    assert {stage for stage, outcome in outcomes(other).items() if outcome == "cached"} == {"field_mapping"}


@pytest.mark.parametrize(
    ("cleanup", "failure", "left"),
    [
        ("Never", None, 7),
        ("OnSuccess", None, 3),
        ("Always", None, 3),
        ("OnSuccess", InputError("MaskEmpty", ""), 7),
        ("Always", InputError("MaskEmpty", ""), 3),
        ("Always", TransientError("StoreBusy", ""), 7),
    ],
)
def test_cleaning_up_takes_what_this_job_made(
    scan: MultiEchoScan, store: Store, cleanup: str, failure: ReconError | None, left: int
) -> None:
    method = recipe(background={"method": "vsharp", "threshold": 0.1})
    run(scan, store, recipe(), "fail")  # another job: its stages stay
    for stage in ("background", "relaxometry", "inversion", "referencing"):
        for path in files(store, f"{STAGES_PREFIX}{stage}/"):
            path.unlink()
    _, kept = run(scan, store, method)
    interim.clean_up(kept.interim, cleanup, failure)
    assert len(files(store, STAGES_PREFIX)) == left
    assert not list(housekeeping.verify(store))


def test_nothing_waits_in_memory_beyond_the_limit(
    scan: MultiEchoScan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "WAITING_BYTES", 1000)
    plain, _ = run(scan, None, recipe())
    result, kept = run(scan, Store(FolderBacking(tmp_path)), recipe())
    assert same(plain, result)
    assert kept.warnings == ()
