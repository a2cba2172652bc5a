"""Field mapping: from the phase of all echoes to one phase slope per voxel, with its noise."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from qsm_recon.qsm.field_mapping.complex_fit import refine_unwrapped
from qsm_recon.qsm.field_mapping.linear import LinearParams, linear
from qsm_recon.qsm.field_mapping.nonlinear import NonlinearParams, nonlinear
from qsm_recon.qsm.field_mapping.reliability import reliable_noise
from qsm_recon.qsm.field_mapping.smooth_offset import fit_with_smooth_offset
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.qsm.scan import FieldFit, MultiEchoScan

FieldMappingParams = Annotated[NonlinearParams | LinearParams, Field(discriminator="method")]

ALGORITHMS: dict[str, Callable[[MultiEchoScan, Any, Progress], FieldFit]] = {
    "nonlinear": nonlinear,
    "linear": linear,
}
"""Every method of this stage; one file each."""


def fit_field(scan: MultiEchoScan, params: NonlinearParams | LinearParams, progress: Progress = silent) -> FieldFit:
    """Phase slope over the smallest echo spacing, wrapped, with noise and residual.

    Raises
    ------
    InputError
        `TooFewEchoes`, `EmptyImages` (no magnitude anywhere), `NotFinite` (NaN or infinity in the images).
    """
    return ALGORITHMS[params.method](scan, params, progress)


__all__ = [
    "ALGORITHMS",
    "FieldMappingParams",
    "LinearParams",
    "NonlinearParams",
    "fit_field",
    "fit_with_smooth_offset",
    "refine_unwrapped",
    "reliable_noise",
]
