"""The array form (NumPy or CuPy) and the compiled form are one fit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from array_places import Place

from qsm_recon.qsm.field_mapping import array_fit, compiled_fit
from qsm_recon.qsm.field_mapping.settings import FitSettings


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize(
    ("te", "bipolar"),
    [
        ((0.0057, 0.0126, 0.0195, 0.0264), False),
        ((0.0023, 0.0046), False),
        ((0.003, 0.005, 0.009, 0.0155, 0.020), False),
        ((0.004, 0.008, 0.012, 0.016, 0.020), True),
        ((0.004, 0.007, 0.011, 0.014, 0.019), True),
        ((0.004, 0.007, 0.011), True),
    ],
)
def test_arrays_and_compiled_agree(
    known: Callable[..., Any], device: Place, monkeypatch: pytest.MonkeyPatch, te: Any, bipolar: bool, linear: bool
):
    monkeypatch.setattr(array_fit, "VALUES_PER_SLAB", 5000)  # several slabs even here
    truth = known(te, bipolar=bipolar)
    polarity = (0.1, 0.02, -0.01, 0.005) if truth.plan.remove_polarity_phase else (0.0, 0.0, 0.0, 0.0)
    settings = FitSettings(
        noise_sd=2.0, energy_floor=500.0, alias_gain=100.0, linear=linear, polarity=polarity, steps=1 if linear else 2
    )
    magnitude = truth.scan.magnitude.copy()
    magnitude[0, 10] = 0
    magnitude[1:, 11] = 0
    for start in (None, np.nan_to_num(truth.slope_rad).astype(np.float32)):
        images = device.put(magnitude), device.put(truth.scan.phase_rad)
        there = array_fit.fit(*images, truth.plan, settings, None if start is None else device.put(start))
        arrays = device.get(there)
        compiled = compiled_fit.fit(magnitude, truth.scan.phase_rad, truth.plan, settings, start)
        difference = arrays[0] - compiled[0]
        if start is None:
            difference -= 2 * np.pi * np.round(difference / (2 * np.pi))
        # noise-only voxels may fall to either side of a half turn; signal must not
        body = np.isfinite(truth.slope_rad)
        assert np.abs(difference[body]).max() < 5e-5
        np.testing.assert_allclose(arrays[1], compiled[1], rtol=1e-5)
        np.testing.assert_allclose(arrays[2][body], compiled[2][body], rtol=2e-3, atol=2e-3)
        assert all(part.dtype == np.float32 for part in (*arrays, *compiled))
