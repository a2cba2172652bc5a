from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from qsm_recon.dicom import phase_checks
from qsm_recon.errors import InputError

SHAPE = (128, 112, 8)


def raw_head(seed: int = 0, echoes: int = 4) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Smooth head with vessels, coil phase, background field and noise: (echo, x, y, z) magnitude and phase."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    head = (x**2 / 0.7 + y**2 / 0.8 < 1).astype(float)
    vessels = 0.6 * (gaussian_filter(rng.normal(size=SHAPE), 1.2) > 0.12) * head
    field = 1.5 * x * y + 1.0 * y + 0.8 * z + vessels
    magnitude, phase = [], []
    for echo in range(1, echoes + 1):
        signal = head * 100 * np.exp(-0.2 * echo) * np.exp(1j * (0.4 + 0.5 * x + field * echo))
        signal = signal + rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE)
        magnitude.append(np.abs(signal))
        phase.append(np.angle(signal))
    return np.stack(magnitude).astype(np.float32), np.stack(phase).astype(np.float32)


def high_pass(magnitude: NDArray[np.float32], phase: NDArray[np.float32], fraction: float) -> NDArray[np.float32]:
    """SWI's homodyne filter: divide by the signal low-passed to the middle `fraction` of k-space (Hann window)."""
    out = np.empty_like(phase)
    for e in range(len(phase)):
        for k in range(phase.shape[3]):
            s = magnitude[e, :, :, k] * np.exp(1j * phase[e, :, :, k])
            window = np.outer(*(hann(n, fraction) for n in s.shape))
            low = np.fft.ifft2(np.fft.fft2(s) * np.fft.ifftshift(window))
            out[e, :, :, k] = np.angle(s * np.conj(low))
    return out


def hann(n: int, fraction: float) -> NDArray[np.float64]:
    k = np.abs(np.arange(n) - n // 2) / (n * fraction / 2)
    return np.where(k < 1, 0.5 + 0.5 * np.cos(np.pi * np.minimum(k, 1)), 0)


@pytest.mark.parametrize("fraction", [1 / 8, 1 / 4, 1 / 2])
def test_high_pass_filtered_phase_is_refused(fraction: float) -> None:
    magnitude, phase = raw_head()
    with pytest.raises(InputError) as caught:
        phase_checks.check_not_filtered(magnitude, high_pass(magnitude, phase, fraction))
    assert caught.value.reason == "FilteredPhase"


@pytest.mark.parametrize("seed", range(3))
def test_raw_phase_passes(seed: int) -> None:
    phase_checks.check_not_filtered(*raw_head(seed))


def test_a_perfectly_shimmed_uniform_phantom_passes() -> None:
    rng = np.random.default_rng(1)
    signal = 100 * np.ones((3, *SHAPE)) + rng.normal(size=(3, *SHAPE)) + 1j * rng.normal(size=(3, *SHAPE))
    phase_checks.check_not_filtered(np.abs(signal).astype(np.float32), np.angle(signal).astype(np.float32))


def test_range_names_what_is_outside() -> None:
    phase = np.zeros((10, 10, 10), np.float32)
    phase[0, 0, 0] = 4  # one in a thousand is tolerated
    phase_checks.check_range(phase, "echo 2, phase")
    phase[0, 0, :5] = -4
    with pytest.raises(InputError, match="echo 2, phase") as caught:
        phase_checks.check_range(phase, "echo 2, phase")
    assert caught.value.reason == "PhaseScaleUnknown"


def test_span_refuses_the_impossible_and_mentions_the_unusual() -> None:
    ramp = np.linspace(-1, 1, 8000, dtype=np.float32).reshape(2, 10, 20, 20)
    assert phase_checks.check_span(np.float32(np.pi) * ramp) is None
    warning = phase_checks.check_span(ramp)
    assert warning is not None
    assert warning.startswith("PhaseSpanSmall:")
    with pytest.raises(InputError) as caught:
        phase_checks.check_span(ramp / 100)
    assert caught.value.reason == "PhaseScaleUnknown"


def test_wrap_keeps_the_angle_and_the_interval() -> None:
    values = np.array([3.142, -3.142, 3.0, -np.pi, np.pi, 3.17, 0], np.float32).reshape(7, 1, 1)
    wrapped = values.copy()
    phase_checks.wrap(wrapped)
    np.testing.assert_allclose(np.exp(1j * wrapped), np.exp(1j * values), atol=1e-5)
    assert np.abs(wrapped).max() <= np.float32(np.pi)


@pytest.mark.parametrize("alternating", [False, True])
def test_slice_signs_are_found_in_the_data(alternating: bool, make_head: Callable) -> None:
    magnitude, phase = make_head((16, 12, 7), 1)
    signal = (magnitude[0] * np.exp(1j * phase[0])).astype(np.complex64)
    if alternating:
        signal[..., 1::2] *= -1
    assert phase_checks.signs_alternate(signal) is alternating


def test_slice_signs_that_cannot_be_told_are_refused() -> None:
    rng = np.random.default_rng(3)
    noise = (rng.normal(size=(8, 8, 6)) + 1j * rng.normal(size=(8, 8, 6))).astype(np.complex64)
    with pytest.raises(InputError, match="every second slice"):
        phase_checks.signs_alternate(noise)
