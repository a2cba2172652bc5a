"""The method, top to bottom, on one screen.

Order of this chain: the *complex* echoes are fitted first and the fitted slope is unwrapped afterwards (one
volume to unwrap instead of one for each echo, and noise weights for every step that follows).
"""

from dataclasses import dataclass
from typing import Any

from qsm_recon.errors import InputError
from qsm_recon.qsm import backend
from qsm_recon.qsm.background import remove_background
from qsm_recon.qsm.config import RecipeConfig
from qsm_recon.qsm.field_mapping import fit_field, fit_with_smooth_offset, refine_unwrapped, reliable_noise
from qsm_recon.qsm.inversion import invert
from qsm_recon.qsm.masking import BrainMask, make_mask
from qsm_recon.qsm.observing import StageClock
from qsm_recon.qsm.quality import Quality, judge
from qsm_recon.qsm.referencing import find_csf, reference
from qsm_recon.qsm.relaxometry import fit_r2star, r2star_warnings
from qsm_recon.qsm.scan import MultiEchoScan
from qsm_recon.qsm.unwrapping import unwrap

Array = Any


@dataclass(frozen=True)
class Reconstruction:
    """Every volume of one reconstruction, axes (x, y, z); float32 unless said otherwise."""

    chi_ppm: Array
    """Referenced susceptibility, ppm; 0 outside `chi_mask`."""
    chi_mask: Array
    """bool: where susceptibility is valid (brain mask less what background removal and inversion lose)."""
    r2star_per_s: Array
    """R2*, 1/s; 0 outside `brain_mask`."""
    brain_mask: Array
    """bool: the mask found, or given by the caller."""
    magnitude: Array
    """Root sum of squares over echoes, scanner units."""
    total_field_ppm: Array
    """Unwrapped field, ppm of B0; 0 outside `brain_mask`."""
    noise_ppm: Array
    """Standard deviation of the total field, ppm, raised where the fit is doubtful; +inf without signal."""
    local_field_ppm: Array
    """Field of the sources inside, ppm of B0."""
    csf_mask: Array
    """bool: ventricular fluid; empty where none was found."""
    residual: Array
    """Misfit of the complex fit over its expected value."""
    reference_region: str
    """What zero means: `csf`, `brain-mean` or `none`."""
    quality: Quality
    warnings: tuple[str, ...]


def reconstruct(
    scan: MultiEchoScan, recipe: RecipeConfig, *, mask: Array | None = None, clock: StageClock | None = None
) -> Reconstruction:
    """Susceptibility map in ppm from a multi-echo gradient-echo scan.

    Parameters
    ----------
    scan
        Magnitude and phase (echo, x, y, z); all arrays on one device.
    recipe
        Which method each stage uses.
    mask
        (x, y, z) bool to use instead of finding the brain.
    clock
        Times the stages and tells an observer; an observer may raise to cancel.

    Raises
    ------
    InputError
        Where a stage finds that the data cannot give a correct map.
    """
    clock = clock if clock is not None else StageClock()
    geometry, mapping = scan.geometry, recipe.field_mapping
    with clock.stage("field_mapping") as progress:
        fit = fit_field(scan, mapping, progress)
        magnitude = root_sum_of_squares(scan.magnitude)
    with clock.stage("masking") as progress:
        brain = make_mask(scan, fit, recipe.masking, progress) if mask is None else given_mask(mask, scan)
    with clock.stage("unwrapping") as progress:
        slope_rad = unwrap(fit.phase_slope_rad, brain.mask, fit.noise_rad, geometry, recipe.unwrapping, progress)
        fit = refine_unwrapped(scan, fit, slope_rad, brain.mask)
        if mapping.offset == "smooth":
            fit = fit_with_smooth_offset(scan, fit, brain.mask, mapping.offset_smoothing_mm, mapping.misfit_limit)
    ppm_per_rad = fit.ppm_per_rad(scan.center_frequency_hz)
    field_ppm = fit.phase_slope_rad * ppm_per_rad
    noise_ppm = reliable_noise(fit, brain.mask, mapping.misfit_limit, mapping.misfit_power) * ppm_per_rad
    with clock.stage("background") as progress:
        local = remove_background(field_ppm, brain.mask, noise_ppm, geometry, recipe.background, progress)
    with clock.stage("relaxometry"):
        r2star_per_s = fit_r2star(scan, brain.mask, recipe.relaxometry)
        csf = find_csf(r2star_per_s, local.mask, geometry, recipe.referencing)
    with clock.stage("inversion") as progress:
        inversion = invert(
            local.local_field_ppm,
            local.mask,
            geometry,
            recipe.inversion,
            noise_ppm=noise_ppm,
            magnitude=magnitude,
            csf_mask=csf.mask if csf.found else None,
            progress=progress,
        )
    with clock.stage("referencing"):
        referenced = reference(inversion.chi_ppm, inversion.mask, csf.mask if csf.found else None, recipe.referencing)
    notes = (
        fit.warnings,
        brain.warnings,
        local.warnings,
        r2star_warnings(scan),
        inversion.warnings,
        referenced.warnings,
    )
    return Reconstruction(
        chi_ppm=referenced.chi_ppm,
        chi_mask=inversion.mask,
        r2star_per_s=r2star_per_s,
        brain_mask=brain.mask,
        magnitude=magnitude,
        total_field_ppm=field_ppm,
        noise_ppm=noise_ppm,
        local_field_ppm=local.local_field_ppm,
        csf_mask=csf.mask,
        residual=fit.residual,
        reference_region=referenced.region,
        quality=judge(
            fit=fit,
            brain=brain,
            noise_ppm=noise_ppm,
            csf=csf,
            inversion=inversion,
            referenced=referenced,
            geometry=geometry,
        ),
        warnings=tuple(dict.fromkeys(warning for group in notes for warning in group)),
    )


def root_sum_of_squares(magnitude: Array) -> Array:
    """Magnitude over all echoes, (echo, x, y, z) to (x, y, z) float32 (Spincemaille 2019, I = sqrt(sum |s_j|^2))."""
    xp = backend.namespace(magnitude)
    total = xp.zeros(magnitude.shape[1:], dtype=xp.float32)
    for echo in magnitude:  # one echo at a time: no second copy of the scan
        total += echo * echo
    return xp.sqrt(total)


def given_mask(mask: Array, scan: MultiEchoScan) -> BrainMask:
    """The caller's mask as it is; refused where it does not fit the scan or is empty."""
    if tuple(mask.shape) != scan.shape:
        raise InputError("MaskMismatch", f"the mask has shape {tuple(mask.shape)}, the scan {scan.shape}")
    if not bool(mask.any()):
        raise InputError("EmptyMask", "the mask given is empty: no voxel to reconstruct")
    return BrainMask(mask=mask.astype(bool), quality={}, warnings=("MaskGiven: the mask was given, not found.",))
