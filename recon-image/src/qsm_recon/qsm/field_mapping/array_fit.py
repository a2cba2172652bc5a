"""Complex multi-echo fit as array code, NumPy or CuPy, a few x-slabs at a time.

Model, per voxel: S_j = |S_j| exp(i (p_g + s t_j)) with slope s, and offset p_g of echo j's polarity group g.
Gauss-Newton with weights |S_j|^2 (Liu et al. 2013, doi:10.1002/mrm.24272): with weighted group means of time
taken off, slope and offsets decouple, and one step is a pair of weighted sums over r_j = |S_j|^2 sin(misfit_j).
"""

import math
from typing import Any

from qsm_recon.qsm import backend
from qsm_recon.qsm.field_mapping.echoes import EchoPlan
from qsm_recon.qsm.field_mapping.settings import FitSettings

TWO_PI = 2 * math.pi
VALUES_PER_SLAB = 4_000_000
"""Voxels times echoes worked on at once: about 100 MB of temporaries."""


def _wrap(xp: Any, angle: Any) -> Any:
    return angle - TWO_PI * xp.round(angle / TWO_PI)


def _follow(xp: Any, phase: Any, weight: Any, plan: EchoPlan, slope: Any) -> tuple[Any, list[Any]]:
    """Weighted least squares on phase that is unwrapped echo by echo, starting from `slope`."""
    zero = xp.zeros_like(slope)
    w, mean_t, mean_u = ([zero, zero] for _ in range(3))
    tt, tu = zero, zero
    for j in (*plan.start_pairs[0], *plan.order):
        g = plan.groups[j]
        fresh = w[g] == 0
        dt = plan.times[j] - mean_t[g]
        du = slope * dt + _wrap(xp, phase[j] - mean_u[g] - slope * dt)
        total = w[g] + weight[j]
        share = weight[j] / xp.where(total > 0, total, 1)
        tt = tt + xp.where(fresh, 0, w[g] * share * dt * dt)
        tu = tu + xp.where(fresh, 0, w[g] * share * dt * du)
        mean_t[g] = xp.where(fresh, plan.times[j], mean_t[g] + share * dt)
        mean_u[g] = xp.where(fresh, phase[j], mean_u[g] + share * du)
        w[g] = total
        slope = xp.where(tt > 0, tu / xp.where(tt > 0, tt, 1), slope)
    return slope, [mean_u[g] - slope * mean_t[g] for g in range(plan.group_count)]


def _line(plan: EchoPlan, slope: Any, offsets: list[Any], j: int) -> Any:
    return offsets[plan.groups[j]] + slope * plan.times[j]


def _misfit(xp: Any, phase: Any, weight: Any, plan: EchoPlan, slope: Any, offsets: list[Any]) -> Any:
    # sum of |S - |S| exp(i line)|^2, written so that small misfits keep their digits in float32
    return sum(
        4 * weight[j] * xp.sin(0.5 * (phase[j] - _line(plan, slope, offsets, j))) ** 2 for j in range(len(plan.times))
    )


def _start(
    xp: Any, phase: Any, weight: Any, plan: EchoPlan, settings: FitSettings, start_rad: Any
) -> tuple[Any, list[Any]]:
    """Slope from the pairs of echoes one spacing apart (or given), then the offsets."""
    magnitude = xp.sqrt(weight)
    if start_rad is None:
        lag = sum(magnitude[a] * magnitude[b] * xp.exp(1j * (phase[b] - phase[a])) for a, b in plan.start_pairs)
        slope = xp.angle(lag)
    else:
        slope = start_rad
    if plan.even:
        sums = [0j] * plan.group_count
        for j, g in enumerate(plan.groups):
            sums[g] = sums[g] + weight[j] * xp.exp(1j * (phase[j] - slope * plan.times[j]))
        return slope, [xp.angle(s) for s in sums]
    base = slope
    slope, offsets = _follow(xp, phase, weight, plan, base)
    if start_rad is None and math.isfinite(settings.alias_gain):
        best = _misfit(xp, phase, weight, plan, slope, offsets) - settings.alias_gain
        for turns in (-1, 1):
            other, other_offsets = _follow(xp, phase, weight, plan, base + turns * TWO_PI)
            misfit = _misfit(xp, phase, weight, plan, other, other_offsets)
            better = misfit < best
            best = xp.where(better, misfit, best)
            slope = xp.where(better, other, slope)
            offsets = [xp.where(better, new, old) for new, old in zip(other_offsets, offsets, strict=True)]
    return slope, offsets


def _fit_slab(
    magnitude: Any, phase: Any, plan: EchoPlan, settings: FitSettings, start_rad: Any
) -> tuple[Any, Any, Any]:
    xp = backend.namespace(magnitude)
    weight = magnitude * magnitude
    energy = weight.sum(axis=0)
    totals = [sum(weight[j] for j, h in enumerate(plan.groups) if h == g) for g in range(plan.group_count)]
    safe = [xp.where(t > 0, t, 1) for t in totals]
    means = [
        sum(weight[j] * plan.times[j] for j, h in enumerate(plan.groups) if h == g) / safe[g]
        for g in range(plan.group_count)
    ]
    from_mean = [plan.times[j] - means[g] for j, g in enumerate(plan.groups)]
    precision = sum(weight[j] * from_mean[j] ** 2 for j in range(len(plan.times)))
    valid = (energy > settings.energy_floor) & (precision > 1e-12 * energy)
    precision = xp.where(valid, precision, 1)

    slope, offsets = _start(xp, phase, weight, plan, settings, start_rad)
    for _ in range(settings.steps):
        moment = 0.0
        sums = [0.0] * plan.group_count
        for j, g in enumerate(plan.groups):
            off = phase[j] - _line(plan, slope, offsets, j)
            r = weight[j] * (_wrap(xp, off) if settings.linear else xp.sin(off))
            sums[g] = sums[g] + r
            moment = moment + r * from_mean[j]
        step = moment / precision
        slope = slope + step
        offsets = [p + sums[g] / safe[g] - step * means[g] for g, p in enumerate(offsets)]

    spare = (magnitude > 0).sum(axis=0) - plan.group_count - 1
    misfit = _misfit(xp, phase, weight, plan, slope, offsets)
    residual = xp.sqrt(xp.maximum(misfit, 0) / xp.maximum(spare, 1)) / settings.noise_sd
    slope = slope if start_rad is not None else _wrap(xp, slope)
    return (
        xp.where(valid, slope, 0),
        xp.where(valid, settings.noise_sd / xp.sqrt(precision), math.inf),
        xp.where(valid & (spare > 0), residual, 0),
    )


def fit(
    magnitude: Any, phase_rad: Any, plan: EchoPlan, settings: FitSettings, start_rad: Any | None = None
) -> tuple[Any, Any, Any]:
    """Fit every voxel.

    Parameters
    ----------
    magnitude, phase_rad
        (echo, x, y, z) float32, NumPy or CuPy alike.
    plan, settings
        The echoes, and how to go about it.
    start_rad
        (x, y, z) slope to start from; the result is then not wrapped. None: found from the data, result in
        [-pi, pi].

    Returns
    -------
    tuple
        (x, y, z) float32 each: slope in rad per spacing, its standard deviation (+inf without signal), residual.
    """
    xp = backend.namespace(magnitude)
    echoes, nx, ny, nz = magnitude.shape
    results = tuple(xp.empty((nx, ny, nz), dtype=xp.float32) for _ in range(3))
    thickness = max(1, VALUES_PER_SLAB // (echoes * ny * nz))
    constant, along_x, along_y, along_z = settings.polarity
    for x0 in range(0, nx, thickness):
        slab = slice(x0, min(nx, x0 + thickness))
        phase = phase_rad[:, slab].astype(xp.float32)  # a copy: the caller's phase stays as it is
        if plan.remove_polarity_phase:
            x, y, z = xp.arange(nx)[slab, None, None], xp.arange(ny)[:, None], xp.arange(nz)
            phase[1::2] -= (constant + along_x * x + along_y * y + along_z * z).astype(xp.float32)
        start = None if start_rad is None else start_rad[slab]
        for whole, part in zip(results, _fit_slab(magnitude[:, slab], phase, plan, settings, start), strict=True):
            whole[slab] = part
    return results
