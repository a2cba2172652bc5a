"""Nonlinear fit of field and coil phase to the complex signal of all echoes."""

from typing import Literal

from pydantic import Field

from qsm_recon.qsm.field_mapping.complex_fit import fit_complex
from qsm_recon.qsm.field_mapping.reliability import FieldMappingMethodParams
from qsm_recon.qsm.field_mapping.settings import FitSettings
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.qsm.scan import FieldFit, MultiEchoScan


class NonlinearParams(FieldMappingMethodParams):
    """Parameters of `nonlinear`."""

    method: Literal["nonlinear"] = "nonlinear"
    iterations: int = Field(default=2, ge=1, le=30)
    """Gauss-Newton steps. The start is close: a second step changes less than the noise, a third nothing."""


def nonlinear(scan: MultiEchoScan, params: NonlinearParams, progress: Progress = silent) -> FieldFit:
    """Phase slope by Gauss-Newton on the complex signal, weights |S|^2.

    Starts from the sum over neighbouring echoes of conj(S_j) S_(j+1); with uneven spacing from the closest pair,
    then following the phase echo by echo. Reaches the Cramer-Rao bound down to a signal-to-noise ratio of about 5.

    Parameters
    ----------
    scan
        Two or more echoes.
    params
        Number of steps.
    progress
        Told the fraction done.

    Returns
    -------
    FieldFit
        Slope in [-pi, pi] (spatial unwrapping comes after; with uneven spacing `refine_unwrapped` after that),
        its standard deviation, and the residual.

    Raises
    ------
    InputError
        `TooFewEchoes`, `EmptyImages`, `NotFinite`.

    References
    ----------
    Liu T et al. 2013, doi:10.1002/mrm.24272; Kressler B et al. 2010, doi:10.1109/TMI.2009.2023787.
    """
    return fit_complex(scan, FitSettings(steps=params.iterations), progress)
