"""Local field to susceptibility."""

from qsm_recon.qsm.inversion import InversionParams, invert
from qsm_recon.qsm.progress import Progress
from qsm_recon.qsm.scan import Inversion, LocalField, MultiEchoScan
from qsm_recon.qsm.stages.results import MappedField, Relaxation, TotalField


def susceptibility(
    scan: MultiEchoScan,
    params: InversionParams,
    mapped: MappedField,
    total: TotalField,
    local: LocalField,
    relaxed: Relaxation,
    progress: Progress,
) -> Inversion:
    """Susceptibility, not yet referenced."""
    return invert(
        local.local_field_ppm,
        local.mask,
        scan.geometry,
        params,
        noise_ppm=total.noise_ppm,
        magnitude=mapped.magnitude,
        csf_mask=relaxed.csf,
        progress=progress,
    )
