"""The multiples of 2 pi, and with them the field in ppm."""

from qsm_recon.qsm.field_mapping import (
    FieldMappingParams,
    fit_with_smooth_offset,
    refine_unwrapped,
    reliable_noise,
)
from qsm_recon.qsm.masking import BrainMask
from qsm_recon.qsm.progress import Progress
from qsm_recon.qsm.scan import FieldFit, MultiEchoScan
from qsm_recon.qsm.stages.results import MappedField, TotalField
from qsm_recon.qsm.unwrapping import UnwrappingParams, unwrap


def unwrap_field(
    scan: MultiEchoScan,
    params: UnwrappingParams,
    mapping: FieldMappingParams,
    mapped: MappedField,
    brain: BrainMask,
    progress: Progress,
) -> TotalField:
    """The unwrapped field and how far to trust it; what the recipe says of field mapping also rules its finish."""
    slope_rad = unwrap(mapped.phase_slope_rad, brain.mask, mapped.noise_rad, scan.geometry, params, progress)
    fit: FieldFit = refine_unwrapped(scan, mapped, slope_rad, brain.mask)
    if mapping.offset == "smooth":
        fit = fit_with_smooth_offset(
            scan, fit, brain.mask, mapping.offset_smoothing_mm, mapping.misfit_limit, mapping.curvature_limit
        )
    ppm_per_rad = fit.ppm_per_rad(scan.center_frequency_hz)
    return TotalField(
        field_ppm=fit.phase_slope_rad * ppm_per_rad,
        noise_ppm=reliable_noise(fit, brain.mask, mapping.misfit_limit, mapping.misfit_power) * ppm_per_rad,
        residual=fit.residual,
        warnings=fit.warnings,
    )
