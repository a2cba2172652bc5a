"""The page a physicist opens first: the chain on a ball whose field is known."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qsm_recon import recipes
from qsm_recon.errors import InputError
from qsm_recon.qsm.observing import StageClock, StageTiming
from qsm_recon.qsm.pipeline import reconstruct
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.qsm.scan import MultiEchoScan

TIMES_S = (0.004, 0.008, 0.012)


def quick() -> recipes.RecipeConfig:
    return recipes.from_data(
        {
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
    )


@pytest.fixture(scope="module")
def scan(scan_of_ball: Callable[[tuple[float, ...]], MultiEchoScan]) -> MultiEchoScan:
    return scan_of_ball(TIMES_S)


class Watcher:
    """Notes what it is told; raises in `stop_in`."""

    def __init__(self, stop_in: str = "") -> None:
        self.began: list[str] = []
        self.ended: list[str] = []
        self.stop_in = stop_in

    def started(self, stage: str) -> Progress:
        self.began.append(stage)
        if stage == self.stop_in:
            raise KeyboardInterrupt
        return silent

    def finished(self, timing: StageTiming) -> None:
        assert timing.seconds >= 0
        assert timing.peak_rss_mib > 1
        self.ended.append(timing.stage)


def test_chain_recovers_the_source_and_tells_every_stage(scan: MultiEchoScan) -> None:
    watcher = Watcher()
    clock = StageClock(watcher)
    result = reconstruct(scan, quick(), clock=clock)
    stages = ["field_mapping", "masking", "unwrapping", "background", "relaxometry", "inversion", "referencing"]
    assert watcher.began == watcher.ended == stages
    assert [timing.stage for timing in clock.timings] == stages
    core = result.chi_ppm[14:18, 14:18, 14:18]
    assert core.mean() > 0.15, "a 0.3 ppm ball"
    assert not result.chi_ppm[~result.chi_mask].any()
    assert abs(float(result.chi_ppm[result.chi_mask].mean())) < 1e-4, "zero is the mean"
    assert result.quality.mask_volume_ml == pytest.approx(4 / 3 * np.pi * 13**3 * 8 / 1000, rel=0.15)
    assert 0 <= result.quality.share_excluded < 0.8
    for field in dataclasses.fields(result):
        value: Any = getattr(result, field.name)
        if isinstance(value, np.ndarray):
            assert value.shape == scan.shape, field.name
            assert value.dtype in (np.float32, np.bool_), field.name


def test_same_bits_every_time(scan: MultiEchoScan) -> None:
    first, second = (reconstruct(scan, quick()).chi_ppm for _ in range(2))
    assert np.array_equal(first, second)


def test_given_mask_is_used_as_it_is(scan: MultiEchoScan) -> None:
    mask = np.zeros(scan.shape, dtype=bool)
    mask[6:26, 6:26, 6:26] = True
    result = reconstruct(scan, quick(), mask=mask)
    assert np.array_equal(result.brain_mask, mask)
    assert any(warning.startswith("MaskGiven:") for warning in result.warnings)


def test_given_mask_must_fit(scan: MultiEchoScan) -> None:
    with pytest.raises(InputError) as caught:
        reconstruct(scan, quick(), mask=np.ones((3, 3, 3), dtype=bool))
    assert caught.value.reason == "MaskMismatch"
    with pytest.raises(InputError) as caught:
        reconstruct(scan, quick(), mask=np.zeros(scan.shape, dtype=bool))
    assert caught.value.reason == "EmptyMask"


def test_observer_may_cancel(scan: MultiEchoScan) -> None:
    watcher = Watcher(stop_in="background")
    with pytest.raises(KeyboardInterrupt):
        reconstruct(scan, quick(), clock=StageClock(watcher))
    assert watcher.ended == ["field_mapping", "masking", "unwrapping"]
