"""The field of sources outside the brain, taken off."""

from qsm_recon.qsm.background import BackgroundParams, remove_background
from qsm_recon.qsm.masking import BrainMask
from qsm_recon.qsm.progress import Progress
from qsm_recon.qsm.scan import LocalField, MultiEchoScan
from qsm_recon.qsm.stages.results import TotalField


def local_field(
    scan: MultiEchoScan, params: BackgroundParams, brain: BrainMask, total: TotalField, progress: Progress
) -> LocalField:
    """The field of the sources inside."""
    return remove_background(total.field_ppm, brain.mask, total.noise_ppm, scan.geometry, params, progress)
