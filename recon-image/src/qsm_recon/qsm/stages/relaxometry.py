"""R2*, and the ventricular fluid that it shows."""

from qsm_recon.qsm.masking import BrainMask
from qsm_recon.qsm.progress import Progress
from qsm_recon.qsm.referencing import ReferencingParams, find_csf
from qsm_recon.qsm.relaxometry import RelaxometryParams, fit_r2star, r2star_warnings
from qsm_recon.qsm.scan import LocalField, MultiEchoScan
from qsm_recon.qsm.stages.results import Relaxation


def relaxation(
    scan: MultiEchoScan,
    params: RelaxometryParams,
    csf_search: ReferencingParams,
    brain: BrainMask,
    local: LocalField,
    progress: Progress,
) -> Relaxation:
    """R2* in the brain; fluid where the local field is valid, as the recipe's referencing tells it."""
    r2star_per_s = fit_r2star(scan, brain.mask, params)
    progress(0.5)
    csf = find_csf(r2star_per_s, local.mask, scan.geometry, csf_search)
    return Relaxation(r2star_per_s, csf.mask, csf.found, r2star_warnings(scan))
