"""Compiled passes equal their array form."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from array_places import Place

from qsm_recon.qsm import backend, kernels
from qsm_recon.qsm.inversion import passes

SHAPE = (6, 5, 8)
VOXEL = (0.7, 1.0, 3.0)
RNG = np.random.default_rng(2)
X, PHASE, MEASURED = RNG.standard_normal((3, *SHAPE)).astype(np.float32)
WEIGHTS = np.where(RNG.random(SHAPE) > 0.4, RNG.random(SHAPE), 0).astype(np.float32)
SMOOTH = RNG.random((3, *SHAPE)) > 0.3


Put = Callable[[np.ndarray], Any]


def multiplied(put: Put) -> Any:
    spectrum = backend.rfftn(put(X))
    out = backend.namespace(spectrum).empty_like(spectrum)
    kernels.multiply(spectrum, spectrum.real.copy(), out)
    return out


def multiplied_and_added(put: Put) -> Any:
    spectrum = backend.rfftn(put(X))
    passes.multiply_add(spectrum, spectrum.real.copy(), backend.rfftn(put(PHASE)))
    return spectrum


@pytest.mark.parametrize(
    "compute",
    [
        multiplied,
        multiplied_and_added,
        lambda put: passes.l1_weights(put(X), put(SMOOTH), VOXEL, 1e-6),
        lambda put: passes.l1_norm(put(X), put(SMOOTH), VOXEL, 1e-6),
        lambda put: passes.phase_misfit(put(PHASE), put(MEASURED), put(WEIGHTS)),
        lambda put: passes.phase_force(put(PHASE), put(MEASURED), put(WEIGHTS)),
        lambda put: passes.change(put(PHASE), put(MEASURED)),
        lambda put: kernels.weighted_laplacian(put(X), put(SMOOTH * X), VOXEL),
    ],
    ids=[
        "multiply",
        "multiply_add",
        "l1_weights",
        "l1_norm",
        "phase_misfit",
        "phase_force",
        "change",
        "weighted_laplacian",
    ],
)
def test_compiled_equals_array_form(compute: Callable[[Put], Any], device: Place) -> None:
    assert np.allclose(compute(np.array), device.get(compute(device.put)), rtol=1e-4, atol=1e-4)


def test_l1_weights_are_where_the_gradient_is_not_steep_and_not_an_edge() -> None:
    ramp = np.broadcast_to(np.arange(8, dtype=np.float32), SHAPE).copy()
    weights = passes.l1_weights(ramp, np.ones((3, *SHAPE), dtype=bool), (1.0, 1.0, 0.5), 1e-6)
    assert np.allclose(weights[2, ..., :-1], 0.5)
    assert np.allclose(weights[:2], 1000, rtol=1e-4)
    assert not passes.l1_weights(ramp, np.zeros((3, *SHAPE), dtype=bool), (1.0, 1.0, 0.5), 1e-6).any()


def test_change_is_relative_and_nothing_is_no_change() -> None:
    assert passes.change(X, X / 2) == pytest.approx(0.5)
    zero = np.zeros_like(X)
    assert passes.change(zero, zero) == 0
    assert passes.change(zero, X) == np.inf
