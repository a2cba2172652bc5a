"""A run with a store, through the chain: what is computed, what is taken, and that the map does not tell."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qsm_recon import recipes
from qsm_recon.qsm.config import STAGES
from qsm_recon.qsm.observing import StageClock
from qsm_recon.qsm.pipeline import Reconstruction, reconstruct
from qsm_recon.qsm.scan import Geometry, MultiEchoScan
from qsm_recon.qsm.units import center_frequency_hz
from qsm_recon.store.in_folder import FolderBacking
from qsm_recon.store.interim import InterimData, InterimRun, Origin, running
from qsm_recon.store.store import Store

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
def scan() -> MultiEchoScan:
    n = 32
    x, y, z = np.meshgrid(*[np.arange(n) - (n - 1) / 2] * 3, indexing="ij")
    r = np.sqrt(x**2 + y**2 + z**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        field_ppm = np.where(r < 4, 0, 0.1 * (4 / r) ** 3 * (3 * (z / r) ** 2 - 1))
    frequency = center_frequency_hz(3.0)
    times = np.array(TIMES_S)[:, None, None, None]
    signal = np.where(r < 13, 100, 0) * np.exp(2j * np.pi * field_ppm * 1e-6 * frequency * times - 20 * times)
    rng = np.random.default_rng(5)
    signal = signal + rng.normal(size=signal.shape) + 1j * rng.normal(size=signal.shape)
    return MultiEchoScan(
        np.abs(signal).astype(np.float32),
        np.angle(signal).astype(np.float32),
        TIMES_S,
        frequency,
        Geometry((2.0, 2.0, 2.0), (0.0, 0.0, 1.0)),
    )


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
