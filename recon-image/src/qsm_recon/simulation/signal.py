"""From tissue and field to what the receiver sees: averaged over each voxel, with coil phase and noise."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsm_recon.qsm.compiling import jit_parallel, parallel_range

Array = Any


@jit_parallel
def _average(
    labels: NDArray[np.uint8],
    field_ppm: NDArray[np.float32],
    r2star: NDArray[np.float32],
    density: NDArray[np.float32],
    echo_times_s: NDArray[np.float64],
    rad_per_s_per_ppm: float,
    finer: NDArray[np.int64],
    out: NDArray[np.complex64],
) -> None:
    """Mean of density * exp(-R2* TE) * exp(i w TE) over the sub-voxels of every voxel, for every echo."""
    echoes, nx, ny, nz = out.shape
    sx, sy, sz = finer[0], finer[1], finer[2]
    share = 1.0 / (sx * sy * sz)
    for i in parallel_range(nx):
        for j in range(ny):
            for k in range(nz):
                for e in range(echoes):
                    te = echo_times_s[e]
                    re = 0.0
                    im = 0.0
                    for a in range(i * sx, i * sx + sx):
                        for b in range(j * sy, j * sy + sy):
                            for c in range(k * sz, k * sz + sz):
                                label = labels[a, b, c]
                                if density[label] > 0.0:
                                    m = density[label] * math.exp(-r2star[label] * te)
                                    w = rad_per_s_per_ppm * te * field_ppm[a, b, c]
                                    re += m * math.cos(w)
                                    im += m * math.sin(w)
                    out[e, i, j, k] = complex(re * share, im * share)


def averaged_signal(
    labels: NDArray[np.uint8],
    field_ppm: NDArray[np.float32],
    tissue: NDArray[np.float32],
    echo_times_s: tuple[float, ...],
    center_frequency_hz: float,
    finer: tuple[int, int, int],
) -> NDArray[np.complex64]:
    """(echo, x, y, z) complex64 signal on the coarse grid; inputs (x, y, z) on the `finer` grid.

    Dephasing inside a voxel, the first cause of wrong fields next to strong sources, arises here by itself.
    """
    nx, ny, nz = (n // f for n, f in zip(labels.shape, finer, strict=True))
    out = np.empty((len(echo_times_s), nx, ny, nz), dtype=np.complex64)
    _average(
        labels,
        field_ppm,
        np.ascontiguousarray(tissue[:, 1]),
        np.ascontiguousarray(tissue[:, 2]),
        np.asarray(echo_times_s, dtype=np.float64),
        2 * math.pi * center_frequency_hz * 1e-6,
        np.asarray(finer, dtype=np.int64),
        out,
    )
    return out


def add_receiver(
    signal: NDArray[np.complex64], coordinates: tuple[Array, Array, Array], *, bipolar: bool, seed: int
) -> None:
    """Multiply, in place, by coil sensitivity and phase (smooth, the same for every echo).

    Parameters
    ----------
    signal
        (echo, x, y, z), changed in place.
    coordinates
        Voxel coordinates x, y, z in units of 100 mm from the middle, broadcastable to (x, y, z).
    bipolar
        Echoes 2, 4, ... were read backwards: eddy currents and delays add a constant and a ramp along x to their phase.
    seed
        Varies the coil by person.
    """
    rng = np.random.default_rng([seed, 0x434F494C])
    x, y, z = coordinates
    c = rng.uniform(-1, 1, 7)
    phase = (
        0.8 * c[0] + 1.3 * c[1] * x + 1.3 * c[2] * y + 0.9 * c[3] * z + 1.2 * c[4] * x * x - c[5] * x * y + c[6] * z * z
    )
    gain = 1.0 + 0.12 * rng.uniform(-1, 1) * x + 0.12 * rng.uniform(-1, 1) * y + 0.22 * (x * x + y * y) - 0.06 * z
    coil = (gain * np.exp(1j * phase)).astype(np.complex64)
    backwards = (coil * np.exp(1j * (0.35 + 0.5 * x))).astype(np.complex64) if bipolar else coil
    for e in range(signal.shape[0]):
        signal[e] *= backwards if e % 2 else coil


def add_noise(signal: NDArray[np.complex64], sigma: float, seed: int) -> None:
    """Add, in place, complex Gaussian noise of standard deviation `sigma` per real channel."""
    rng = np.random.default_rng([seed, 0x4E4F4953])
    for echo in signal:
        echo.real += sigma * rng.standard_normal(echo.shape, dtype=np.float32)
        echo.imag += sigma * rng.standard_normal(echo.shape, dtype=np.float32)
