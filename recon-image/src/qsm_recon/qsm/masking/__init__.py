"""Where the map is computed: magnitude (and phase) in, one connected mask out.

`bet` finds a brain; `threshold` finds any bright object. A mask is never empty: data without an object is refused.
"""

from typing import Annotated

from pydantic import Field

from qsm_recon.qsm.masking.bet import BetParams, bet
from qsm_recon.qsm.masking.brain_mask import BrainMask
from qsm_recon.qsm.masking.threshold import ThresholdParams, threshold
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.qsm.scan import FieldFit, MultiEchoScan

__all__ = ["ALGORITHMS", "BetParams", "BrainMask", "MaskingParams", "ThresholdParams", "make_mask"]

MaskingParams = Annotated[BetParams | ThresholdParams, Field(discriminator="method")]

ALGORITHMS = {"bet": bet, "threshold": threshold}


def make_mask(
    scan: MultiEchoScan, fit: FieldFit, params: BetParams | ThresholdParams, progress: Progress = silent
) -> BrainMask:
    """Mask of the object to map, by the method that `params` names.

    Parameters
    ----------
    scan
        The scan; magnitude (echo, x, y, z).
    fit
        The field fit of the same scan, for phase quality.
    params
        Parameters of one of `ALGORITHMS`.
    progress
        Called with the fraction done; may raise to cancel.

    Raises
    ------
    InputError
        `MaskEmpty` where no object is found.
    """
    if isinstance(params, BetParams):
        return bet(scan, fit, params, progress)
    return threshold(scan, fit, params, progress)
