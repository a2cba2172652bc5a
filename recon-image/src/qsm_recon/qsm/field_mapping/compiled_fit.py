"""The fit of `array_fit`, fused into one pass over the voxels for host arrays (the CPU path)."""

import math
from typing import Any

import numpy as np

from qsm_recon.qsm import compiling
from qsm_recon.qsm.field_mapping.echoes import EchoPlan
from qsm_recon.qsm.field_mapping.settings import FitSettings

TWO_PI = 2 * math.pi


@compiling.jit
def _wrap(angle: float) -> float:
    return angle - TWO_PI * np.round(angle / TWO_PI)


@compiling.jit
def _follow(phase, weight, times, groups, first, second, order, slope):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - numba infers
    """Weighted least squares on phase that is unwrapped echo by echo; returns slope and the two offsets."""
    w = np.zeros(2)
    mean_t = np.zeros(2)
    mean_u = np.zeros(2)
    tt = 0.0
    tu = 0.0
    for n in range(times.size):
        j = first if n == 0 else (second if n == 1 else order[n - 2])
        if weight[j] <= 0:
            continue
        g = groups[j]
        dt = times[j] - mean_t[g]
        if w[g] == 0:
            w[g], mean_t[g], mean_u[g] = weight[j], times[j], phase[j]
            continue
        predicted = mean_u[g] + slope * dt
        du = slope * dt + _wrap(phase[j] - predicted)
        # running weighted means and co-moments about them (no cancellation)
        total = w[g] + weight[j]
        share = weight[j] / total
        tt += w[g] * share * dt * dt
        tu += w[g] * share * dt * du
        mean_t[g] += share * dt
        mean_u[g] += share * du
        w[g] = total
        if tt > 0:
            slope = tu / tt
    return slope, mean_u[0] - slope * mean_t[0], mean_u[1] - slope * mean_t[1]


@compiling.jit
def _misfit(phase, weight, times, groups, slope, offset0, offset1):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - numba infers
    total = 0.0
    for j in range(times.size):
        line = (offset0 if groups[j] == 0 else offset1) + slope * times[j]
        total += 2 * weight[j] * (1 - math.cos(phase[j] - line))
    return total


@compiling.jit_parallel
def _fit_rows(  # type: ignore[no-untyped-def]  # noqa: ANN202, C901, PLR0912, PLR0915 - one fused pass; numba infers types
    magnitude,  # noqa: ANN001
    phase_rad,  # noqa: ANN001
    start,  # noqa: ANN001
    polarity,  # noqa: ANN001
    times,  # noqa: ANN001
    groups,  # noqa: ANN001
    pairs,  # noqa: ANN001
    order,  # noqa: ANN001
    even,  # noqa: ANN001
    energy_floor,  # noqa: ANN001
    alias_gain,  # noqa: ANN001
    steps,  # noqa: ANN001
    linear,  # noqa: ANN001
    noise_sd,  # noqa: ANN001
    slope_out,  # noqa: ANN001
    noise_out,  # noqa: ANN001
    residual_out,  # noqa: ANN001
):
    echoes, nx, ny, nz = magnitude.shape
    given = start.size > 0
    parameters = groups.max() + 2
    for row in compiling.parallel_range(nx * ny):
        x = row // ny
        y = row % ny
        phase = np.empty(echoes)
        weight = np.empty(echoes)
        re = np.empty(echoes)
        im = np.empty(echoes)
        wsum = np.empty(2)
        tbar = np.empty(2)
        rsum = np.empty(2)
        for z in range(nz):
            energy = 0.0
            used = 0
            for j in range(echoes):
                m = magnitude[j, x, y, z]
                weight[j] = float(m) * float(m)
                energy += weight[j]
                if m > 0:
                    used += 1
            slope_out[x, y, z] = 0.0
            noise_out[x, y, z] = np.inf
            residual_out[x, y, z] = 0.0
            if not energy > energy_floor:
                continue
            shift = polarity[0] + polarity[1] * x + polarity[2] * y + polarity[3] * z
            wsum[:] = 0.0
            tbar[:] = 0.0
            for j in range(echoes):
                phase[j] = phase_rad[j, x, y, z] - (shift if j % 2 == 1 else 0.0)
                wsum[groups[j]] += weight[j]
                tbar[groups[j]] += weight[j] * times[j]
            for g in range(2):
                tbar[g] = tbar[g] / wsum[g] if wsum[g] > 0 else 0.0
            precision = 0.0
            for j in range(echoes):
                precision += weight[j] * (times[j] - tbar[groups[j]]) ** 2
            if precision <= 1e-12 * energy:
                continue  # signal in one echo only: no slope

            for j in range(echoes):
                m = math.sqrt(weight[j])
                re[j] = m * math.cos(phase[j])
                im[j] = m * math.sin(phase[j])
            if given:
                slope = float(start[x, y, z])
            else:
                lag_re = 0.0
                lag_im = 0.0
                for k in range(pairs.shape[0]):
                    a, b = pairs[k, 0], pairs[k, 1]
                    lag_re += re[a] * re[b] + im[a] * im[b]
                    lag_im += re[a] * im[b] - im[a] * re[b]
                slope = math.atan2(lag_im, lag_re)
            if even:
                p = np.zeros(4)
                c, s = 1.0, 0.0
                step_c, step_s = math.cos(slope), math.sin(slope)
                for j in range(echoes):
                    m = math.sqrt(weight[j])
                    g = groups[j]
                    p[2 * g] += m * (re[j] * c + im[j] * s)
                    p[2 * g + 1] += m * (im[j] * c - re[j] * s)
                    c, s = c * step_c - s * step_s, s * step_c + c * step_s
                offset0 = math.atan2(p[1], p[0])
                offset1 = math.atan2(p[3], p[2])
            else:
                first, second = pairs[0, 0], pairs[0, 1]
                base = slope
                slope, offset0, offset1 = _follow(phase, weight, times, groups, first, second, order, base)
                if not given and alias_gain < np.inf:
                    best = _misfit(phase, weight, times, groups, slope, offset0, offset1) - alias_gain
                    for k in (-1, 1):
                        s2, o20, o21 = _follow(phase, weight, times, groups, first, second, order, base + k * TWO_PI)
                        misfit = _misfit(phase, weight, times, groups, s2, o20, o21)
                        if misfit < best:
                            best, slope, offset0, offset1 = misfit, s2, o20, o21

            # y_j = S_j exp(-i line_j), kept up to date by turning it with every step
            d0, d1, ds = offset0, offset1, slope
            misfit = 0.0
            for step in range(steps + 1):
                rot_c, rot_s = math.cos(ds), math.sin(ds)
                for g in range(2):
                    d = d0 if g == 0 else d1
                    c, s = math.cos(d), math.sin(d)
                    for j in range(echoes):
                        if even:
                            turn_c, turn_s = c, s
                            c, s = c * rot_c - s * rot_s, s * rot_c + c * rot_s
                        else:
                            turn_c, turn_s = math.cos(d + ds * times[j]), math.sin(d + ds * times[j])
                        if groups[j] == g:
                            re[j], im[j] = re[j] * turn_c + im[j] * turn_s, im[j] * turn_c - re[j] * turn_s
                    if parameters == 2:
                        break
                if step == steps:
                    break
                rsum[:] = 0.0
                moment = 0.0
                for j in range(echoes):
                    r = weight[j] * math.atan2(im[j], re[j]) if linear else math.sqrt(weight[j]) * im[j]
                    rsum[groups[j]] += r
                    moment += r * (times[j] - tbar[groups[j]])
                ds = moment / precision
                d0 = rsum[0] / wsum[0] - ds * tbar[0] if wsum[0] > 0 else 0.0
                d1 = rsum[1] / wsum[1] - ds * tbar[1] if wsum[1] > 0 else 0.0
                slope += ds
            for j in range(echoes):
                m = math.sqrt(weight[j])
                misfit += 2 * m * (m - re[j])
            slope_out[x, y, z] = slope if given else _wrap(slope)
            noise_out[x, y, z] = noise_sd / math.sqrt(precision)
            if used > parameters:
                residual_out[x, y, z] = math.sqrt(max(misfit, 0.0) / (used - parameters)) / noise_sd


def fit(
    magnitude: Any, phase_rad: Any, plan: EchoPlan, settings: FitSettings, start_rad: Any | None = None
) -> tuple[Any, Any, Any]:
    """Fit every voxel of host arrays; arguments and results as `array_fit.fit`."""
    shape = magnitude.shape[1:]
    slope, noise, residual = (np.empty(shape, np.float32) for _ in range(3))
    _fit_rows(
        np.ascontiguousarray(magnitude, np.float32),
        np.ascontiguousarray(phase_rad, np.float32),
        np.empty((0, 0, 0), np.float32) if start_rad is None else np.ascontiguousarray(start_rad, np.float32),
        np.asarray(settings.polarity, np.float64),
        np.asarray(plan.times),
        np.asarray(plan.groups, np.int64),
        np.asarray(plan.start_pairs, np.int64),
        np.asarray(plan.order, np.int64),
        plan.even,
        float(settings.energy_floor),
        float(settings.alias_gain),
        settings.steps,
        settings.linear,
        float(settings.noise_sd),
        slope,
        noise,
        residual,
    )
    return slope, noise, residual
