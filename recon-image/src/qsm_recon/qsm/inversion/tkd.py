"""Thresholded k-space division: divide by the dipole kernel, but never by less than a threshold."""

from typing import Literal

import numpy as np
from pydantic import Field

from qsm_recon.qsm import kernels
from qsm_recon.qsm.inversion.problem import DipoleProblem, DipoleSolution, InversionMethodParams
from qsm_recon.qsm.progress import Progress, silent


class TkdParams(InversionMethodParams):
    """Thresholded k-space division (Shmueli 2009)."""

    method: Literal["tkd"] = "tkd"
    threshold: float = Field(default=0.15, gt=0, le=0.6)
    """Least |D| divided by; smaller values streak, larger ones underestimate."""


def tkd(problem: DipoleProblem, params: TkdParams, progress: Progress = silent) -> DipoleSolution:
    """Susceptibility as field / (sign(D) max(|D|, threshold)) in k-space.

    References
    ----------
    Shmueli et al., MRM 2009, doi:10.1002/mrm.22135.
    """
    xp = problem.xp
    dipole = problem.dipole()
    sign = xp.where(dipole < 0, np.float32(-1), np.float32(1))
    inverse = sign / xp.maximum(xp.abs(dipole), np.float32(params.threshold))
    # The mean of chi cannot be seen in the field; 1 / threshold there would only amplify the field's mean.
    inverse[0, 0, 0] = 0
    chi = kernels.convolve(problem.field_ppm, inverse)
    progress(1.0)
    return DipoleSolution(chi, problem.mask)
