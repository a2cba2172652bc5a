"""The whole chain on a device against the host: on the stand-in for CuPy everywhere, on CUDA where there is a device.

The stand-in finds silent transfers and what CuPy lacks; rounding, speed and memory of a GPU only the real one shows.
"""

from collections import Counter
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from array_places import Place

from qsm_recon import devices, recipes
from qsm_recon.qsm import backend
from qsm_recon.qsm.config import RecipeConfig
from qsm_recon.qsm.observing import StageClock
from qsm_recon.qsm.pipeline import Reconstruction, reconstruct
from qsm_recon.simulation import Phantom, make_phantom, protocol
from qsm_recon.store.in_folder import FolderBacking
from qsm_recon.store.interim import InterimData, Origin, running
from qsm_recon.store.store import Store

TOLERANCE_PPB = 0.01
"""Root mean square of the difference in susceptibility between host and device."""

ROUNDED_BY_PDF_PPB = 0.5
"""The same with all of PDF's iterations: after some ten, its conjugate gradients blow up any rounding. On these grids
one rounding in the phase makes up to 0.3 ppb of difference on the host alone, so no device can be nearer to it."""

COARSE = {"coarse_below_mm": 5.0}
"""These voxels have 4 mm: as they would be by default, coarse grids are in use."""
FEW = {"background": {"method": "pdf", "coarse_iterations": 8, "iterations": 2, **COARSE}}
METHODS: dict[str, dict[str, Any]] = {
    "few": {},
    "medi": {"inversion": {"method": "medi", "merit": True, **COARSE}},
    "tv-plain": {"inversion": {"method": "tv-admm", "nonlinear": False, "edge_quantile": 0, "free_outside": False}},
    "vsharp": {"background": {"method": "vsharp"}},
    "resharp": {"background": {"method": "resharp"}},
    "lbv": {"background": {"method": "lbv"}},
    "fansi": {"inversion": {"method": "fansi"}},
    "tkd": {"inversion": {"method": "tkd"}},
    "tikhonov": {"inversion": {"method": "tikhonov"}},
    "tikhonov-gradient": {"inversion": {"method": "tikhonov", "penalty": "gradient", "regularization": 0.1}},
    "linear": {"field_mapping": {"method": "linear"}, "unwrapping": {"method": "laplacian"}},
}
"""Each in the place of a method of `fast-v1`, with few iterations of PDF."""

SCANS: dict[str, dict[str, Any]] = {
    "even": {},
    "bipolar": {"bipolar": True},
    "uneven": {"echo_times_s": (0.004, 0.009, 0.016, 0.027)},
    "two-echoes": {"echo_times_s": (0.005, 0.011)},
}

SCAN_IN = {("devices.scan_on", "device"): 2}
MASK_IN = {("devices.mask_on", "device"): 1}
NOISE_SAMPLE = {("noise._sample", "host"): 2}
"""A few slices of magnitude and phase: noise is told from them on the host."""
MOST_WAITS = 1000
"""Numbers that the host may wait for in one run: a device has nothing to do meanwhile. 100 to 470 are seen."""
RESULTS_OUT = {("devices.<dictcomp>", "host"): 10}
"""Each volume of the result, once."""
QUEUE = {("region_growing.region_growing", "host"): 3, ("region_growing.region_growing", "device"): 1}
"""Unwrapping works through a queue, on the host: phase, mask and noise there, phase back."""

MASKING_MODULES = {"bet", "threshold", "phase_quality"}
"""Surface and morphology work on the host: the magnitude goes there (slope and noise too, for rough phase), the mask
comes back."""


def recipe(name: str, **parts: Any) -> RecipeConfig:
    plain = recipes.load("fast-v1").config.model_dump()
    return RecipeConfig.model_validate(plain | FEW | METHODS[name] | parts)


@cache
def phantom(kind: str) -> Phantom:
    how = dict(SCANS[kind])
    tiny = protocol("tiny").with_echo_times(how.pop("echo_times_s", protocol("tiny").echo_times_s))
    return make_phantom(tiny, seed=2, angle_deg=10.0, **how)


def reconstruct_both(kind: str, config: RecipeConfig, mask: Any) -> tuple[Reconstruction, Reconstruction]:
    """On the host, and on the device (its arrays are there still)."""
    scan = phantom(kind).scan()
    there = reconstruct(devices.scan_on("gpu", scan), config, mask=devices.mask_on("gpu", mask))
    return reconstruct(scan, config, mask=mask), there


def difference_ppb(host: Reconstruction, there: Reconstruction) -> float:
    """Root mean square over the voxels that have a susceptibility in both, nearly all; the rest must be alike."""
    check_alike(host, there)
    back = devices.on_host(there)
    both = host.chi_mask & back.chi_mask
    assert both.sum() > 0.99 * max(host.chi_mask.sum(), back.chi_mask.sum())
    assert both.sum() > 1000
    found = float(1e3 * np.sqrt(np.mean(np.square(back.chi_ppm - host.chi_ppm, dtype=np.float64)[both])))
    print(f"{found:.5f} ppb rms")  # noqa: T201 - seen with pytest -rP
    return found


def check_alike(host: Reconstruction, there: Reconstruction) -> None:
    """All but values: volumes are on the device, of the same kind; words are the same."""
    for field in fields(there):
        value, theirs = getattr(host, field.name), getattr(there, field.name)
        if isinstance(value, np.ndarray):
            assert backend.is_device_array(theirs), f"{field.name} moved to the host on its own"
            assert (theirs.dtype, theirs.shape) == (value.dtype, value.shape), field.name
    assert [text.split(":")[0] for text in there.warnings] == [text.split(":")[0] for text in host.warnings]
    assert there.reference_region == host.reference_region
    for name, value in host.quality.as_dict().items():
        near = ROUNDED_BY_PDF_PPB if name == "reference_offset_ppb" else 1e-6
        assert getattr(there.quality, name) == pytest.approx(value, rel=0.01, abs=near), name


def volumes_moved(place: Place) -> Counter[tuple[str, str]]:
    assert place.traffic is not None
    return Counter((crossing.asked_by, crossing.to) for crossing in place.traffic.volumes())


@pytest.mark.parametrize("name", recipes.packaged_names())
def test_packaged_recipes_and_volumes_cross_once(device: Place, name: str) -> None:
    config = recipes.load(name).config
    host, there = reconstruct_both("even", config, phantom("even").truth.mask)
    if device.traffic is not None:
        queue = QUEUE if config.unwrapping.method == "region-growing" else {}
        assert volumes_moved(device) == SCAN_IN | MASK_IN | NOISE_SAMPLE | queue
        print(f"{name}: {device.traffic.numbers} waits for a number")  # noqa: T201 - seen with pytest -rP
        assert device.traffic.numbers < MOST_WAITS
        device.traffic.clear()
        devices.on_host(there)
        assert volumes_moved(device) == RESULTS_OUT
    assert difference_ppb(host, there) < ROUNDED_BY_PDF_PPB


@pytest.mark.parametrize("name", METHODS)
def test_every_method(device: Place, name: str) -> None:
    host, there = reconstruct_both("even", recipe(name), phantom("even").truth.mask)
    if device.traffic is not None:
        assert volumes_moved(device) - Counter(QUEUE) == SCAN_IN | MASK_IN | NOISE_SAMPLE
    assert difference_ppb(host, there) < TOLERANCE_PPB


@pytest.mark.parametrize("kind", sorted(SCANS.keys() - {"even"}))
def test_every_kind_of_echoes(device: Place, kind: str) -> None:
    assert difference_ppb(*reconstruct_both(kind, recipe("few"), phantom(kind).truth.mask)) < TOLERANCE_PPB


@pytest.mark.parametrize(
    ("masking", "volumes_out"),
    [({"method": "bet"}, 3), ({"method": "threshold"}, 1), ({"method": "threshold", "phase_quality": True}, 3)],
    ids=["bet", "threshold", "threshold-phase"],
)
def test_mask_is_found_on_the_host_and_comes_back(device: Place, masking: dict[str, Any], volumes_out: int) -> None:
    host, there = reconstruct_both("even", recipe("few", masking=masking), None)
    if device.traffic is not None:
        moved = volumes_moved(device)
        for_mask = Counter({key: n for key, n in moved.items() if key[0].split(".")[0] in MASKING_MODULES})
        assert sum(n for (_, to), n in for_mask.items() if to == "host") == volumes_out
        assert sum(n for (_, to), n in for_mask.items() if to == "device") == 1
        assert moved - for_mask == SCAN_IN | NOISE_SAMPLE | QUEUE
    assert difference_ppb(host, there) < TOLERANCE_PPB


def test_a_store_gives_back_what_the_device_gave(device: Place, tmp_path: Path) -> None:
    store = Store(FolderBacking(tmp_path / "store"))
    store.check(make=True)
    scan, mask, clock = phantom("even").scan(), phantom("even").truth.mask, StageClock()
    maps, outcomes = [], []
    for _ in range(2):
        with running(
            InterimData(store, "fail"),
            recipes.load("fast-v1"),
            "gpu",
            scan,
            np.eye(4),
            mask=mask,
            origin=Origin(),
            clock=clock,
        ) as kept:
            images = devices.scan_on("gpu", scan)
            there = reconstruct(
                images, kept.recipe.config, mask=devices.mask_on("gpu", mask), clock=clock, keeper=kept.stage_keeper
            )
            kept.settle()
        assert kept.keeper is not None
        outcomes.append({note.outcome for note in kept.keeper.notes.values()})
        assert not any(isinstance(getattr(there, field.name), np.ndarray) for field in fields(there))
        maps.append(device.get(there.chi_ppm))
    assert outcomes[1] == {"cached"} != outcomes[0]
    assert np.array_equal(*maps)
