"""Fewer unknowns, less noise: the phase at echo time zero is smooth in space, so it need not be fitted voxel by voxel.

The complex fit has two unknowns for each voxel, slope and offset, and with few echoes the free offset costs most of the
slope's precision (the line may tilt about the middle of the echo times). The offset is the phase of coil and
excitation, which varies over centimetres. So it is averaged over millimetres once the slope is unwrapped, and the
slope is then the line through that one known point: the standard deviation falls from noise / sqrt(sum w (t - mean)^2)
to noise / sqrt(sum w t^2), by a factor of two with four echoes. Where the offset is not smooth (flow, a susceptibility
jump inside the voxel) the residual rises, and with it the voxel's noise.

With that unknown saved, a bend of the phase can be afforded where there is one: see `curvature`.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from qsm_recon.qsm import backend, kernels
from qsm_recon.qsm.compiling import in_runs
from qsm_recon.qsm.field_mapping.curvature import LEAST_ECHOES, Echoes, find_bends
from qsm_recon.qsm.field_mapping.echoes import plan_echoes
from qsm_recon.qsm.field_mapping.reliability import raised_noise, residual_limit
from qsm_recon.qsm.grid import mask_box
from qsm_recon.qsm.scan import FieldFit, MultiEchoScan

Array = Any

PASSES = 2
"""Smoothing, then smoothing of what that left: takes most of the bias off slopes at the rim and off curvature."""


def fit_with_smooth_offset(
    scan: MultiEchoScan,
    fit: FieldFit,
    mask: Array,
    smoothing_mm: float,
    misfit_limit: float,
    curvature_limit: float = 0.0,
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
    curvature_limit
        Standard deviations from which on a bend of the phase over the echoes is believed, and the slope is that of
        its start (`curvature`); 0 for lines everywhere, as with fewer than three echoes.

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
    voxels = _Voxels(scan, fit, xp.flatnonzero(inside))
    vectors = voxels.offset_vectors(residual_limit(fit, mask, misfit_limit))
    offset = _smooth_angle(vectors, inside, scan.geometry.voxel_size_mm, smoothing_mm)
    del vectors
    slope, noise, residual = voxels.lines_through(offset, curvature_limit)
    return replace(fit, phase_slope_rad=slope, noise_rad=noise, residual=residual)


class _Voxels:
    """The voxels to fit, gone through in runs: no echo is copied whole."""

    def __init__(self, scan: MultiEchoScan, fit: FieldFit, at: Array) -> None:
        self.at = at
        """Flat indices into the volume."""
        self.fit = fit
        self.echoes = [
            (m.reshape(-1), p.reshape(-1), np.float32(te / fit.echo_spacing_s))
            for m, p, te in zip(scan.magnitude, scan.phase_rad, scan.echo_times_s, strict=True)
        ]
        """Magnitude, phase and time in echo spacings."""
        self.times = [t for _, _, t in self.echoes]
        self.slope = fit.phase_slope_rad.reshape(-1)[at].astype(np.float32)

    def offset_vectors(self, limit: float | None) -> Array:
        """(2, voxels) float32: cosine and sine of each voxel's own offset, longer where it is better known."""
        xp = backend.namespace(self.at)
        noise, residual = self.fit.noise_rad.reshape(-1), self.fit.residual.reshape(-1)
        vectors = xp.empty((2, self.at.size), dtype=xp.float32)

        def fill(run: slice) -> None:
            here, slope = self.at[run], self.slope[run]
            cosine, sine = xp.zeros_like(slope), xp.zeros_like(slope)
            for magnitude, phase, t in self.echoes:
                energy, angle = magnitude[here] ** 2, phase[here] - slope * t
                cosine += energy * xp.cos(angle)
                sine += energy * xp.sin(angle)
            size = xp.hypot(cosine, sine)
            weight = 1 / raised_noise(noise[here], residual[here], limit) ** 2
            weight /= xp.where(size > 0, size, np.float32(1))
            vectors[0, run], vectors[1, run] = cosine * weight, sine * weight

        in_runs(self.at, self.at.size, fill)
        return vectors

    def lines_through(self, offset: Array, curvature_limit: float) -> tuple[Array, Array, Array]:
        """Volumes of slope, its noise and the residual: those of the fit, with these voxels' lines through `offset`."""
        xp = backend.namespace(self.at)
        sd = np.float32(self.fit.noise_sd)
        given = self.fit.phase_slope_rad, self.fit.noise_rad, self.fit.residual
        volumes = [volume.astype(np.float32).reshape(-1) for volume in given]
        free = self.fit.residual.reshape(-1)
        spare = len(self.echoes) - 1
        bends = curvature_limit > 0 and len(self.echoes) >= LEAST_ECHOES
        usual_misfit = float(xp.median(free[self.at])) if bends and self.at.size else 1.0
        cautious_sd = max(1.0, usual_misfit) * self.fit.noise_sd  # what all voxels leave is noise, whatever it is

        def fill(run: slice) -> None:
            here, slope, start = self.at[run], self.slope[run], offset[run]
            energies = [magnitude[here] ** 2 for magnitude, _, _ in self.echoes]
            echoes = Echoes(energies, [phase[here] - start for _, phase, _ in self.echoes], self.times)
            precision = echoes.moment(2)
            precision = xp.where(precision > 0, precision, np.float32(1))
            slope = slope + echoes.moment_of_rest(slope, 1) / precision
            variance, misfit = sd * sd / precision, echoes.misfit(slope)
            if bends:
                own = (free[here] * sd) ** 2 * np.float32(spare - 1)
                bent = find_bends(echoes, slope, own, cautious_sd, curvature_limit)
                slope[bent.which], misfit[bent.which] = bent.slope, bent.misfit
                variance[bent.which] += bent.variance
            values = slope, xp.sqrt(variance), xp.sqrt(misfit / np.float32(spare)) / sd
            for volume, value in zip(volumes, values, strict=True):
                volume[here] = value

        in_runs(self.at, self.at.size, fill)
        slope, noise, residual = (volume.reshape(self.fit.noise_rad.shape) for volume in volumes)
        return slope, noise, residual


def _smooth_angle(vectors: Array, inside: Array, voxel_size_mm: tuple[float, float, float], sigma_mm: float) -> Array:
    """Angle of `vectors` (cosines and sines at the voxels of `inside`) averaged with a Gaussian, same voxels."""
    xp = backend.namespace(vectors)
    box = mask_box(inside, voxel_size_mm, 2 * sigma_mm)
    at = xp.flatnonzero(box.take(inside))
    gaussian = _gaussian(box.shape, voxel_size_mm, sigma_mm, xp)
    vectors /= xp.hypot(*vectors).mean(dtype=xp.float64).astype(xp.float32)  # no sum of weights grows beyond float32
    total = xp.zeros(at.size, dtype=xp.float32)
    volumes = [xp.zeros(box.shape, dtype=xp.float32) for _ in range(2)]

    def turn_back(run: slice) -> None:
        """What is left of the angle after `total`, into the volumes."""
        c, s = xp.cos(total[run]), xp.sin(total[run])
        cosine, sine = vectors[0, run], vectors[1, run]
        volumes[0].reshape(-1)[at[run]] = cosine * c + sine * s
        volumes[1].reshape(-1)[at[run]] = sine * c - cosine * s

    def add_angle(run: slice) -> None:
        cosine, sine = (volume.reshape(-1)[at[run]] for volume in smooth)
        total[run] += xp.arctan2(sine, cosine)

    for _ in range(PASSES):
        in_runs(at, at.size, turn_back)
        smooth = [kernels.convolve(volume, gaussian) for volume in volumes]
        in_runs(at, at.size, add_angle)
    return total


def _gaussian(
    shape: tuple[int, int, int], voxel_size_mm: tuple[float, float, float], sigma_mm: float, xp: Any
) -> Array:
    """Half spectrum of a Gaussian of unit sum, float32: the product of those along the axes."""
    x, y, z = (
        xp.asarray(np.exp(-2 * (np.pi * sigma_mm * k) ** 2).astype(np.float32))
        for k in kernels.frequencies_per_mm(shape, voxel_size_mm)
    )
    return x * y * z
