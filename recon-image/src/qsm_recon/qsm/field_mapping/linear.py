"""Weighted linear regression of phase on echo time, in closed form."""

from typing import Literal

from qsm_recon.qsm.field_mapping.complex_fit import fit_complex
from qsm_recon.qsm.field_mapping.reliability import FieldMappingMethodParams
from qsm_recon.qsm.field_mapping.settings import FitSettings
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.qsm.scan import FieldFit, MultiEchoScan


class LinearParams(FieldMappingMethodParams):
    """Parameters of `linear`."""

    method: Literal["linear"] = "linear"


def linear(scan: MultiEchoScan, params: LinearParams, progress: Progress = silent) -> FieldFit:  # noqa: ARG001 - the signature of the stage
    """Phase slope by least squares on temporally unwrapped phase, weights |S|^2.

    Phase is unwrapped about a first line through the echoes. As precise as `nonlinear` where the signal is well
    above the noise; there it differs by the sine of the misfit only. Arguments, result and errors as `nonlinear`.

    References
    ----------
    Gilbert G et al. 2012, doi:10.1002/jmri.23555 (weights of multi-echo phase).
    """
    return fit_complex(scan, FitSettings(steps=1, linear=True), progress)
