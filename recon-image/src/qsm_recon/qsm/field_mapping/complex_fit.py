"""What the field fits share: plan the echoes, learn the noise, fit every voxel, say what was doubtful."""

from dataclasses import replace
from typing import Any

from qsm_recon.errors import InputError
from qsm_recon.qsm import backend
from qsm_recon.qsm.field_mapping import array_fit, compiled_fit
from qsm_recon.qsm.field_mapping.echoes import EchoPlan, plan_echoes
from qsm_recon.qsm.field_mapping.noise import estimate_noise
from qsm_recon.qsm.field_mapping.polarity import polarity_phase
from qsm_recon.qsm.field_mapping.settings import FitSettings
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.qsm.scan import FieldFit, MultiEchoScan

ALIAS_GAIN = 25.0
"""Uneven spacing: drop in misfit, in noise variances, that makes a slope of another 2 pi the better one (5 SD)."""


def _fit_voxels(
    scan: MultiEchoScan, plan: EchoPlan, settings: FitSettings, start_rad: Any | None = None
) -> tuple[Any, Any, Any]:
    if backend.is_device_array(scan.magnitude):
        return array_fit.fit(scan.magnitude, scan.phase_rad, plan, settings, start_rad)
    return compiled_fit.fit(scan.magnitude, scan.phase_rad, plan, settings, start_rad)


def _warnings(scan: MultiEchoScan, plan: EchoPlan) -> list[str]:
    found = []
    if len(plan.times) == 2:
        found.append("TwoEchoes: two echoes leave no fit residual, so unreliable voxels cannot be told from it.")
    elif plan.degrees_of_freedom == 0:
        found.append("NoResidual: three unevenly spaced bipolar echoes leave no fit residual.")
    if scan.bipolar_readout and len(plan.times) == 2:
        found.append(
            "BipolarTwoEchoes: the phase between the two readout polarities cannot be told from field; "
            "what of it is linear in space is left to background removal."
        )
    elif scan.bipolar_readout and len(plan.times) == 3 and plan.even:
        found.append(
            "BipolarThreeEchoes: the phase between the readout polarities was removed as a linear function of "
            "position; three echoes cannot hold a free offset per polarity."
        )
    return found


def fit_complex(scan: MultiEchoScan, settings: FitSettings, progress: Progress = silent) -> FieldFit:
    """Fit all voxels of `scan` as `settings` say; noise and signal floor are found here."""
    plan = plan_echoes(scan.echo_times_s, bipolar=scan.bipolar_readout)
    if plan.remove_polarity_phase:
        settings = replace(settings, polarity=polarity_phase(scan))
    noise = estimate_noise(scan, plan, settings)
    progress(0.1)
    settings = replace(
        settings,
        noise_sd=noise.noise_sd,
        energy_floor=noise.energy_floor,
        alias_gain=ALIAS_GAIN * noise.noise_sd**2,
    )
    slope, noise_rad, residual = _fit_voxels(scan, plan, settings)
    xp = backend.namespace(slope)
    if not bool(xp.isfinite(slope).all()):
        raise InputError("NotFinite", "Magnitude or phase holds values that are no numbers (NaN or infinite).")
    progress(1.0)
    return FieldFit(
        phase_slope_rad=slope,
        noise_rad=noise_rad,
        residual=residual,
        echo_spacing_s=plan.spacing_s,
        noise_sd=noise.noise_sd,
        warnings=(*_warnings(scan, plan), *noise.warnings),
    )


def refine_unwrapped(scan: MultiEchoScan, fit: FieldFit, unwrapped_rad: Any, mask: Any) -> FieldFit:
    """`fit` with its slope unwrapped, and fitted again where unwrapping changes what the other echoes mean.

    With even spacing a slope and the same slope plus 2 pi describe the echoes equally well: the unwrapped slope is
    the answer. With uneven spacing they do not, and the fit that stands before unwrapping may sit on the wrong
    side for strong fields; so every voxel is fitted once more from its unwrapped slope, which also renews noise
    and residual.

    Parameters
    ----------
    scan, fit
        What was fitted, and the result before unwrapping.
    unwrapped_rad
        (x, y, z) float32, `fit.phase_slope_rad` after spatial unwrapping.
    mask
        (x, y, z) bool, where it was unwrapped.

    Returns
    -------
    FieldFit
        `phase_slope_rad` unwrapped, 0 outside `mask`; noise and residual on all voxels as before.
    """
    xp = backend.namespace(unwrapped_rad)
    inside = xp.where(mask, unwrapped_rad, xp.float32(0)).astype(xp.float32)
    plan = plan_echoes(scan.echo_times_s, bipolar=scan.bipolar_readout)
    if plan.even:
        return replace(fit, phase_slope_rad=inside)
    settings = FitSettings(noise_sd=fit.noise_sd)
    slope, _, residual = _fit_voxels(scan, plan, settings, inside)
    signal = mask & xp.isfinite(fit.noise_rad)
    return replace(
        fit,
        phase_slope_rad=xp.where(signal, slope, inside),
        residual=xp.where(signal, residual, fit.residual),
    )
