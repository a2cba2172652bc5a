"""Small scans whose field is known exactly."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from qsm_recon.qsm.field_mapping.echoes import EchoPlan, plan_echoes
from qsm_recon.qsm.scan import Geometry, MultiEchoScan

SHAPE = (24, 22, 20)


@dataclass(frozen=True)
class Known:
    """A scan and what a perfect fit would say."""

    scan: MultiEchoScan
    plan: EchoPlan
    slope_rad: Any
    noise_sd: float
    cramer_rao_rad: float


def cramer_rao(plan: EchoPlan, magnitude: Any, noise_sd: float) -> float:
    """Bound on the slope's standard deviation, written out as the inverse Fisher matrix."""
    times, groups = np.array(plan.times), np.array(plan.groups)
    design = np.stack([times] + [(groups == g).astype(float) for g in range(plan.group_count)], axis=1)
    fisher = design.T @ (magnitude[:, None] ** 2 * design) / noise_sd**2
    return float(np.sqrt(np.linalg.inv(fisher)[0, 0]))


def _make(  # one argument per physical effect
    echo_times_s: tuple[float, ...],
    *,
    snr: float = 40.0,
    bipolar: bool = False,
    max_hz: float = 60.0,
    air: bool = True,
    r2star_per_s: float = 20.0,
    polarity: tuple[float, float] = (0.7, 0.05),
) -> Known:
    rng = np.random.default_rng(5)
    te = np.array(echo_times_s)[:, None, None, None]
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    field_hz = max_hz * (0.6 * x * y + 0.4 * z)
    offset = 2.5 * x - 1.2 * y * z
    decay = 100 * np.exp(-r2star_per_s * (te - te[0]))
    body = np.abs(x) < 0.7 if air else np.ones(SHAPE, bool)
    signal = decay * body * np.exp(1j * (offset + 2 * np.pi * field_hz * te))
    if bipolar:
        signal[1::2] *= np.exp(1j * (polarity[0] + polarity[1] * np.arange(SHAPE[0])))[:, None, None]
    noise_sd = 100.0 / snr if np.isfinite(snr) else 0.0
    signal = signal + noise_sd * (rng.normal(size=signal.shape) + 1j * rng.normal(size=signal.shape))
    scan = MultiEchoScan(
        magnitude=np.abs(signal).astype(np.float32),
        phase_rad=np.angle(signal).astype(np.float32),
        echo_times_s=echo_times_s,
        center_frequency_hz=127.7e6,
        geometry=Geometry((1.0, 1.0, 1.0), (0.0, 0.0, 1.0)),
        bipolar_readout=bipolar,
    )
    plan = plan_echoes(echo_times_s, bipolar=bipolar)
    slope = np.where(body, 2 * np.pi * field_hz * plan.spacing_s, np.nan)
    return Known(scan, plan, slope, noise_sd, cramer_rao(plan, decay[:, 0, 0, 0], noise_sd or 1.0))


@pytest.fixture(scope="session")
def known() -> Callable[..., Known]:
    """Maker of scans with a known field; NaN in `slope_rad` where there is no signal."""
    return _make
