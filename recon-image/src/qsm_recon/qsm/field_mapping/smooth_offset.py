"""Fewer unknowns, less noise: the phase at echo time zero is smooth in space, so it need not be fitted voxel by voxel.

The complex fit has two unknowns for each voxel, slope and offset, and with few echoes the free offset costs most of the
slope's precision (the line may tilt about the middle of the echo times). The offset is the phase of coil and
excitation, which varies over centimetres. So it is averaged over millimetres once the slope is unwrapped, and the
slope is then the line through that one known point: the standard deviation falls from noise / sqrt(sum w (t - mean)^2)
to noise / sqrt(sum w t^2), by a factor of two with four echoes. Where the offset is not smooth (flow, a susceptibility
jump inside the voxel) the residual rises, and with it the voxel's noise.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from qsm_recon.qsm import backend, kernels
from qsm_recon.qsm.field_mapping.echoes import plan_echoes
from qsm_recon.qsm.field_mapping.reliability import reliable_noise
from qsm_recon.qsm.grid import mask_box
from qsm_recon.qsm.scan import FieldFit, MultiEchoScan

Array = Any

PASSES = 2
"""Smoothing, then smoothing of what that left: takes most of the bias off slopes at the rim and off curvature."""


def fit_with_smooth_offset(
    scan: MultiEchoScan, fit: FieldFit, mask: Array, smoothing_mm: float, misfit_limit: float
) -> FieldFit:
    """`fit` with slope, noise and residual of a line through a spatially smooth offset, inside `mask`.

    Parameters
    ----------
    scan
        Two or more echoes.
    fit
        The free fit, its slope unwrapped (rad over `echo_spacing_s`).
    mask
        (x, y, z) bool: where the slope is unwrapped.
    smoothing_mm
        Standard deviation of the Gaussian that averages the offset, mm.
    misfit_limit
        Voxels whose residual in the free fit exceeds this many medians count less in the average.

    Returns
    -------
    FieldFit
        As given outside `mask`, and altogether for bipolar readouts (whose two polarities have an offset each): then
        with the warning `OffsetFree`.

    References
    ----------
    Eckstein et al. 2018, MRM, doi:10.1002/mrm.26963 (MCPC-3D-S: smooth offsets of coil combination).
    """
    plan = plan_echoes(scan.echo_times_s, bipolar=scan.bipolar_readout)
    if plan.group_count > 1 or plan.remove_polarity_phase:
        text = "OffsetFree: a bipolar readout has two phase offsets, which were fitted voxel by voxel, not smoothed."
        return replace(fit, warnings=(*fit.warnings, text))
    xp = backend.namespace(mask)
    inside = mask & xp.isfinite(fit.noise_rad)
    times = [np.float32(te / fit.echo_spacing_s) for te in scan.echo_times_s]
    magnitude = [echo[inside] for echo in scan.magnitude]
    phase = [echo[inside].astype(xp.float32) for echo in scan.phase_rad]
    slope = fit.phase_slope_rad[inside].astype(xp.float32)

    phasor: Any = 0
    for m, p, t in zip(magnitude, phase, times, strict=True):
        phasor = phasor + m * m * xp.exp(np.complex64(1j) * (p - slope * t))
    weight = 1 / reliable_noise(fit, mask, misfit_limit)[inside] ** 2
    offset = _smooth_angle(phasor, weight, inside, scan.geometry.voxel_size_mm, smoothing_mm)

    precision, moment = xp.zeros_like(slope), xp.zeros_like(slope)
    for m, p, t in zip(magnitude, phase, times, strict=True):
        energy = m * m
        precision += energy * t * t
        moment += energy * t * _wrap(xp, p - offset - slope * t)
    safe = xp.where(precision > 0, precision, np.float32(1))
    slope = slope + moment / safe
    misfit = xp.zeros_like(slope)
    for m, p, t in zip(magnitude, phase, times, strict=True):
        misfit += 4 * m * m * xp.sin(np.float32(0.5) * (p - offset - slope * t)) ** 2
    residual = xp.sqrt(misfit / np.float32(len(times) - 1)) / np.float32(fit.noise_sd)
    return replace(
        fit,
        phase_slope_rad=_with(fit.phase_slope_rad, inside, slope),
        noise_rad=_with(fit.noise_rad, inside, np.float32(fit.noise_sd) / xp.sqrt(safe)),
        residual=_with(fit.residual, inside, residual),
    )


def _wrap(xp: Any, angle: Array) -> Array:
    return angle - np.float32(2 * np.pi) * xp.round(angle * np.float32(0.5 / np.pi))


def _with(volume: Array, where: Array, values: Array) -> Array:
    changed = volume.copy()
    changed[where] = values
    return changed


def _smooth_angle(
    phasor: Array, weight: Array, inside: Array, voxel_size_mm: tuple[float, float, float], sigma_mm: float
) -> Array:
    """Angle of `phasor` (values at the voxels of `inside`) averaged with a Gaussian, same voxels."""
    xp = backend.namespace(phasor)
    box = mask_box(inside, voxel_size_mm, 2 * sigma_mm)
    where = box.take(inside)
    shape = tuple(int(n) for n in where.shape)
    gaussian = xp.asarray(
        np.exp(
            -2 * (np.pi * sigma_mm) ** 2 * sum(k**2 for k in kernels.frequencies_per_mm(_three(shape), voxel_size_mm))
        ).astype(np.float32)
    )
    size = xp.abs(phasor)
    unit = phasor / xp.where(size > 0, size, np.float32(1)) * weight
    unit = unit / weight.mean(dtype=xp.float64).astype(weight.dtype)
    total = xp.zeros(weight.shape, dtype=xp.float32)
    for _ in range(PASSES):
        turned = unit * xp.exp(np.complex64(-1j) * total)
        parts = []
        for values in (turned.real, turned.imag):
            volume = xp.zeros(shape, dtype=xp.float32)
            volume[where] = values
            parts.append(kernels.convolve(volume, gaussian)[where])
        total += xp.arctan2(parts[1], parts[0])
    return total


def _three(shape: tuple[int, ...]) -> tuple[int, int, int]:
    x, y, z = shape
    return x, y, z
