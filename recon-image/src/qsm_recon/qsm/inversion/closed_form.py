"""Tikhonov inversion: least squares with a quadratic penalty has a closed form in k-space."""

from typing import Literal

import numpy as np
from pydantic import Field

from qsm_recon.qsm import kernels
from qsm_recon.qsm.inversion.problem import DipoleProblem, DipoleSolution, InversionMethodParams
from qsm_recon.qsm.progress import Progress, silent


class TikhonovParams(InversionMethodParams):
    """Closed-form L2 inversion (Bilgic 2014)."""

    method: Literal["tikhonov"] = "tikhonov"
    regularization: float = Field(default=0.01, gt=0, le=100)
    """Weight of the penalty: of |chi|^2 without unit, of |gradient chi|^2 in mm^2."""
    penalty: Literal["identity", "gradient"] = "identity"
    """identity: small chi; gradient: smooth chi."""


def tikhonov(problem: DipoleProblem, params: TikhonovParams, progress: Progress = silent) -> DipoleSolution:
    """Susceptibility that minimises |D chi - field|^2 + regularization * |L chi|^2, L = identity or gradient.

    References
    ----------
    Bilgic et al., MRM 2014, doi:10.1002/mrm.25029.
    """
    xp = problem.xp
    dipole = problem.dipole()
    weight = np.float32(params.regularization)
    if params.penalty == "gradient":
        denominator = dipole**2 + weight * kernels.laplacian_symbol(problem.shape, problem.voxel_size_mm, xp)
        # Both terms vanish for a constant, which the field cannot show: its chi is set to 0.
        denominator[0, 0, 0] = 1
    else:
        denominator = dipole**2 + weight
    chi = kernels.convolve(problem.field_ppm, dipole / denominator)
    progress(1.0)
    return DipoleSolution(chi, problem.mask)
