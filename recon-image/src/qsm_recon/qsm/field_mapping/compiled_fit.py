"""The fit of `array_fit`, fused into one pass over the voxels for host arrays (the CPU path)."""

import math
from typing import Any

import numpy as np

from qsm_recon.qsm import compiling
from qsm_recon.qsm.field_mapping.echoes import EchoPlan
from qsm_recon.qsm.field_mapping.settings import FitSettings

TWO_PI = 2 * math.pi
TO_WHOLE = 1.5 * 2**52
"""Added and taken off again it rounds to a whole number, as vector code on every processor (`floor` is not)."""
SINGLE_ECHO = 1e-12
"""Spread of time over the weighted echoes, as a fraction of their energy, below which there is no slope."""


@compiling.jit
def _wrap(angle: float) -> Any:
    return angle - TWO_PI * np.round(angle / TWO_PI)


@compiling.jit
def _follow(
    phase: Any, weight: Any, times: Any, groups: Any, first: Any, second: Any, order: Any, slope: Any
) -> tuple[float, float, float]:
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
def _misfit(phase: Any, weight: Any, times: Any, groups: Any, slope: Any, offset0: Any, offset1: Any) -> float:
    total = 0.0
    for j in range(times.size):
        line = (offset0 if groups[j] == 0 else offset1) + slope * times[j]
        total += 2 * weight[j] * (1 - math.cos(phase[j] - line))
    return total


@compiling.jit
def _cosine_sine(angle: float) -> Any:
    """Both to 1e-11 by polynomials of the half angle: a phase in float32 is not known to 1e-7; and loops vectorise."""
    turns = angle * (1 / TWO_PI) + TO_WHOLE - TO_WHOLE
    half = 0.5 * (angle - TWO_PI * turns)
    q = half * half
    odd = 1 - q * (1 / 156) * (1 - q * (1 / 210))
    odd = 1 - q * (1 / 42) * (1 - q * (1 / 72) * (1 - q * (1 / 110) * odd))
    sine = half * (1 - q * (1 / 6) * (1 - q * (1 / 20) * odd))
    even = 1 - q * (1 / 132) * (1 - q * (1 / 182) * (1 - q * (1 / 240)))
    even = 1 - q * (1 / 30) * (1 - q * (1 / 56) * (1 - q * (1 / 90) * even))
    cosine = 1 - q * (1 / 2) * (1 - q * (1 / 12) * even)
    return 1 - 2 * sine * sine, 2 * sine * cosine


@compiling.jit
def _direction(re: float, im: float) -> tuple[float, float]:
    """Cosine and sine of the angle of a complex number; of 0 those of the angle 0."""
    size = math.sqrt(re * re + im * im)
    return (re / size, im / size) if size > 0 else (1.0, 0.0)


@compiling.jit
def _start_even(
    re: Any, im: Any, size: Any, groups: Any, step_c: float, step_s: float
) -> tuple[float, float, float, float]:
    """Complex numbers whose angles are the offsets that fit best to a slope (its cosine and sine), times 0, 1, 2 ..."""
    re0 = im0 = re1 = im1 = 0.0
    c, s = 1.0, 0.0
    for j in range(re.size):
        m = size[j]
        a, b = m * (re[j] * c + im[j] * s), m * (im[j] * c - re[j] * s)
        if groups[j] == 0:
            re0 += a
            im0 += b
        else:
            re1 += a
            im1 += b
        c, s = c * step_c - s * step_s, s * step_c + c * step_s
    return re0, im0, re1, im1


@compiling.jit
def _start_uneven(
    phase: Any, weight: Any, times: Any, groups: Any, pairs: Any, order: Any, base: Any, alias_gain: Any
) -> tuple[float, float, float]:
    """Slope and offsets by following the phase; of slopes 2 pi apart the one that fits clearly better."""
    first, second = pairs[0, 0], pairs[0, 1]
    slope, offset0, offset1 = _follow(phase, weight, times, groups, first, second, order, base)
    if alias_gain < np.inf:
        best = _misfit(phase, weight, times, groups, slope, offset0, offset1) - alias_gain
        for k in (-1, 1):
            other, other0, other1 = _follow(phase, weight, times, groups, first, second, order, base + k * TWO_PI)
            misfit = _misfit(phase, weight, times, groups, other, other0, other1)
            if misfit < best:
                best, slope, offset0, offset1 = misfit, other, other0, other1
    return slope, offset0, offset1


@compiling.jit
def _turn_even(
    re: Any, im: Any, groups: Any, c0: float, s0: float, c1: float, s1: float, step_c: float, step_s: float
) -> None:
    """`_turn` for times 0, 1, 2 ..., given the cosines and sines."""
    for j in range(re.size):
        c, s = (c0, s0) if groups[j] == 0 else (c1, s1)
        c0, s0 = c0 * step_c - s0 * step_s, s0 * step_c + c0 * step_s
        c1, s1 = c1 * step_c - s1 * step_s, s1 * step_c + c1 * step_s
        re[j], im[j] = re[j] * c + im[j] * s, im[j] * c - re[j] * s


@compiling.jit
def _turn(re: Any, im: Any, times: Any, groups: Any, even: Any, by0: Any, by1: Any, slope: Any) -> None:
    """Multiply echo j by exp(-i (offset of its group + slope * t_j)), in place."""
    if even:
        c0, s0 = math.cos(by0), math.sin(by0)
        c1, s1 = (1.0, 0.0) if by1 == 0 else (math.cos(by1), math.sin(by1))
        _turn_even(re, im, groups, c0, s0, c1, s1, math.cos(slope), math.sin(slope))
        return
    for j in range(re.size):
        c, s = _cosine_sine((by0 if groups[j] == 0 else by1) + slope * times[j])
        re[j], im[j] = re[j] * c + im[j] * s, im[j] * c - re[j] * s


@compiling.jit
def _moments(weight: Any, times: Any, groups: Any) -> tuple[float, float, float, float, float]:
    """Weight and weighted mean time of each group, and the weighted spread of time about those means."""
    w0 = w1 = t0 = t1 = 0.0
    for j in range(times.size):
        if groups[j] == 0:
            w0 += weight[j]
            t0 += weight[j] * times[j]
        else:
            w1 += weight[j]
            t1 += weight[j] * times[j]
    t0 = t0 / w0 if w0 > 0 else 0.0
    t1 = t1 / w1 if w1 > 0 else 0.0
    spread = 0.0
    for j in range(times.size):
        spread += weight[j] * (times[j] - (t0 if groups[j] == 0 else t1)) ** 2
    return w0, w1, t0, t1, spread


@compiling.jit
def _lag(re: Any, im: Any, pairs: Any) -> tuple[float, float]:
    """Sum of conj(S_a) S_b over the pairs of echoes one spacing apart: its angle is the slope."""
    lag_re = lag_im = 0.0
    for k in range(pairs.shape[0]):
        a, b = pairs[k, 0], pairs[k, 1]
        lag_re += re[a] * re[b] + im[a] * im[b]
        lag_im += re[a] * im[b] - im[a] * re[b]
    return lag_re, lag_im


@compiling.jit
def _pull(
    re: Any, im: Any, size: Any, weight: Any, times: Any, groups: Any, t0: float, t1: float, linear: Any
) -> tuple[float, float, float]:
    """Weighted misfit of phase: summed in each group, and its first moment in time."""
    r0 = r1 = moment = 0.0
    for j in range(times.size):
        r = weight[j] * math.atan2(im[j], re[j]) if linear else size[j] * im[j]
        if groups[j] == 0:
            r0 += r
            moment += r * (times[j] - t0)
        else:
            r1 += r
            moment += r * (times[j] - t1)
    return r0, r1, moment


@compiling.jit
def _fit_voxel(
    phase: Any,
    size: Any,
    weight: Any,
    re: Any,
    im: Any,
    times: Any,
    groups: Any,
    pairs: Any,
    order: Any,
    even: Any,
    start: float,
    alias_gain: float,
    steps: int,
    linear: Any,
) -> tuple[float, float, float]:
    """Slope, precision (inverse variance at unit noise) and misfit of one voxel; precision 0: no slope."""
    w0, w1, t0, t1, precision = _moments(weight, times, groups)
    if precision <= SINGLE_ECHO * (w0 + w1):
        return 0.0, 0.0, 0.0
    for j in range(times.size):
        cosine, sine = _cosine_sine(phase[j])
        re[j] = size[j] * cosine
        im[j] = size[j] * sine
    slope, step_c, step_s = start, 1.0, 0.0
    if np.isnan(start):
        lag_re, lag_im = _lag(re, im, pairs)
        slope = math.atan2(lag_im, lag_re)
        step_c, step_s = _direction(lag_re, lag_im)
    elif even:
        step_c, step_s = math.cos(slope), math.sin(slope)

    # from here re, im hold S_j exp(-i line_j): the misfit's angle, turned along with every step
    if even:
        re0, im0, re1, im1 = _start_even(re, im, size, groups, step_c, step_s)
        c0, s0 = _direction(re0, im0)
        c1, s1 = _direction(re1, im1)
        _turn_even(re, im, groups, c0, s0, c1, s1, step_c, step_s)
    else:
        gain = alias_gain if np.isnan(start) else np.inf
        slope, offset0, offset1 = _start_uneven(phase, weight, times, groups, pairs, order, slope, gain)
        _turn(re, im, times, groups, even, offset0, offset1, slope)
    for _ in range(steps):
        r0, r1, moment = _pull(re, im, size, weight, times, groups, t0, t1, linear)
        step = moment / precision
        slope += step
        by0 = r0 / w0 - step * t0 if w0 > 0 else 0.0
        by1 = r1 / w1 - step * t1 if w1 > 0 else 0.0
        _turn(re, im, times, groups, even, by0, by1, step)
    misfit = 0.0
    for j in range(times.size):
        misfit += (size[j] - re[j]) ** 2 + im[j] ** 2
    return slope, precision, misfit


@compiling.jit
def _fit_row(
    magnitude: Any,
    phase_rad: Any,
    x: Any,
    y: Any,
    start: Any,
    polarity: Any,
    times: Any,
    groups: Any,
    pairs: Any,
    order: Any,
    even: Any,
    limits: Any,
    steps: Any,
    linear: Any,
    slope_out: Any,
    noise_out: Any,
    residual_out: Any,
) -> None:
    energy_floor, alias_gain, noise_sd = limits
    echoes = times.size
    parameters = 2
    for j in range(echoes):
        parameters = max(parameters, groups[j] + 2)
    phase, size, weight = np.empty(echoes), np.empty(echoes), np.empty(echoes)
    re, im = np.empty(echoes), np.empty(echoes)
    for z in range(magnitude.shape[3]):
        energy = 0.0
        used = 0
        for j in range(echoes):
            size[j] = magnitude[j, x, y, z]
            weight[j] = size[j] * size[j]
            energy += weight[j]
            used += size[j] > 0
        slope_out[x, y, z] = 0.0
        noise_out[x, y, z] = np.inf
        residual_out[x, y, z] = 0.0
        if not energy > energy_floor:
            continue
        odd_phase = polarity[0] + polarity[1] * x + polarity[2] * y + polarity[3] * z
        for j in range(echoes):
            phase[j] = phase_rad[j, x, y, z] - (odd_phase if j % 2 == 1 else 0.0)
        begin = float(start[x, y, z]) if start.size > 0 else np.nan
        slope, precision, misfit = _fit_voxel(
            phase, size, weight, re, im, times, groups, pairs, order, even, begin, alias_gain, steps, linear
        )
        if precision > 0:
            slope_out[x, y, z] = _wrap(slope) if start.size == 0 else slope
            noise_out[x, y, z] = noise_sd / math.sqrt(precision)
            if used > parameters:
                residual_out[x, y, z] = math.sqrt(misfit / (used - parameters)) / noise_sd


@compiling.jit_rows
def _fit_rows(
    low: int,
    high: int,
    magnitude: Any,
    phase_rad: Any,
    start: Any,
    polarity: Any,
    times: Any,
    groups: Any,
    pairs: Any,
    order: Any,
    even: Any,
    limits: Any,
    steps: Any,
    linear: Any,
    slope_out: Any,
    noise_out: Any,
    residual_out: Any,
) -> None:
    ny = magnitude.shape[2]
    for row in range(low, high):
        _fit_row(
            magnitude,
            phase_rad,
            row // ny,
            row % ny,
            start,
            polarity,
            times,
            groups,
            pairs,
            order,
            even,
            limits,
            steps,
            linear,
            slope_out,
            noise_out,
            residual_out,
        )


def fit(
    magnitude: Any, phase_rad: Any, plan: EchoPlan, settings: FitSettings, start_rad: Any | None = None
) -> tuple[Any, Any, Any]:
    """Fit every voxel of host arrays; arguments and results as `array_fit.fit`."""
    shape = magnitude.shape[1:]
    slope, noise, residual = (np.empty(shape, np.float32) for _ in range(3))
    _fit_rows(
        shape[0] * shape[1],
        np.ascontiguousarray(magnitude, np.float32),
        np.ascontiguousarray(phase_rad, np.float32),
        np.empty((0, 0, 0), np.float32) if start_rad is None else np.ascontiguousarray(start_rad, np.float32),
        np.asarray(settings.polarity, np.float64),
        np.asarray(plan.times),
        np.asarray(plan.groups, np.int64),
        np.asarray(plan.start_pairs, np.int64),
        np.asarray(plan.order, np.int64),
        plan.even,
        (float(settings.energy_floor), float(settings.alias_gain), float(settings.noise_sd)),
        settings.steps,
        settings.linear,
        slope,
        noise,
        residual,
    )
    return slope, noise, residual
