"""What zero means."""

from qsm_recon.qsm.progress import Progress
from qsm_recon.qsm.referencing import Referenced, ReferencingParams, reference
from qsm_recon.qsm.scan import Inversion, MultiEchoScan
from qsm_recon.qsm.stages.results import Relaxation


def referenced(
    _scan: MultiEchoScan,
    params: ReferencingParams,
    relaxed: Relaxation,
    inversion: Inversion,
    _progress: Progress,
) -> Referenced:
    """Susceptibility relative to the recipe's region."""
    return reference(inversion.chi_ppm, inversion.mask, relaxed.csf, params)
