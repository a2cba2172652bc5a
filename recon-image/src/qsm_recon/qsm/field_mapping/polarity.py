"""Bipolar readout: the phase between echoes read forth and back.

Gradient delays and eddy currents turn the phase of every second echo by an amount that is linear along the
readout to first order (Li et al. 2015, doi:10.1002/mrm.25328; Eckstein et al. 2018, doi:10.1002/mrm.26963). With
even spacing, phi_j + phi_(j+2) - 2 phi_(j+1) is free of field and coil phase and equals twice that phase; as
twice, it is known modulo pi only. The constant is taken within +-pi/2 at the centre of the volume; a wrong choice
would shift the whole field by half a turn per echo spacing, a constant that background removal takes away.
"""

import cmath
import math
from typing import Any

from qsm_recon.qsm import backend
from qsm_recon.qsm.scan import MultiEchoScan


def _doubled(magnitude: Any, phase_rad: Any) -> Any:
    """Complex (x, y, z) whose angle is twice the phase of odd against even echoes."""
    xp = backend.namespace(magnitude)
    total = xp.zeros(magnitude.shape[1:], dtype=xp.complex64)
    for j in range(len(magnitude) - 2):
        turn = 2 * phase_rad[j + 1] - phase_rad[j] - phase_rad[j + 2]
        # the weakest of the three echoes sets the noise
        weight = xp.minimum(xp.minimum(magnitude[j], magnitude[j + 1]), magnitude[j + 2])
        total += weight * xp.exp((1j if j % 2 == 0 else -1j) * turn).astype(xp.complex64)
    return total


def _gradient(doubled: Any, axis: int) -> float:
    """Phase increment per voxel along `axis`, in rad, from ever longer strides."""
    xp = backend.namespace(doubled)
    size = doubled.shape[axis]
    gradient, lag = 0.0, 1
    while lag <= size // 2:
        ahead = [slice(None)] * 3
        behind = [slice(None)] * 3
        ahead[axis], behind[axis] = slice(lag, None), slice(None, -lag)
        product = complex(xp.vdot(doubled[tuple(behind)], doubled[tuple(ahead)]))
        if product == 0:
            break
        gradient += cmath.phase(product * cmath.exp(-1j * gradient * lag)) / lag
        lag *= 2
    return gradient


def polarity_phase(scan: MultiEchoScan) -> tuple[float, float, float, float]:
    """Phase of odd (second, fourth ...) against even echoes of an evenly spaced bipolar scan.

    Returns
    -------
    tuple
        Constant at voxel (0, 0, 0) in rad, and slopes along x, y, z in rad per voxel.
    """
    doubled = _doubled(scan.magnitude, scan.phase_rad)
    xp = backend.namespace(doubled)
    slopes = [_gradient(doubled, axis) for axis in range(3)]
    centre = [(n - 1) / 2 for n in doubled.shape]
    for axis, (slope, middle) in enumerate(zip(slopes, centre, strict=True)):
        shape = [1, 1, 1]
        shape[axis] = -1
        ramp = xp.exp(-1j * slope * (xp.arange(doubled.shape[axis]) - middle)).astype(xp.complex64)
        doubled *= ramp.reshape(shape)
    at_centre = cmath.phase(complex(doubled.sum(dtype=xp.complex128)))
    half = [s / 2 for s in slopes]
    constant = at_centre / 2 - sum(h * c for h, c in zip(half, centre, strict=True))
    constant -= 2 * math.pi * round(constant / (2 * math.pi))
    return constant, half[0], half[1], half[2]
