"""Complex echoes to one wrapped phase slope for each voxel."""

from dataclasses import fields
from typing import Any

from qsm_recon.qsm import backend
from qsm_recon.qsm.field_mapping import FieldMappingParams, fit_field
from qsm_recon.qsm.progress import Progress
from qsm_recon.qsm.scan import FieldFit, MultiEchoScan
from qsm_recon.qsm.stages.results import MappedField

Array = Any


def map_field(scan: MultiEchoScan, params: FieldMappingParams, progress: Progress) -> MappedField:
    """Phase slope, its noise and misfit, and the magnitude of all echoes."""
    fit = fit_field(scan, params, progress)
    found = {field.name: getattr(fit, field.name) for field in fields(FieldFit)}
    return MappedField(**found, magnitude=root_sum_of_squares(scan.magnitude))


def root_sum_of_squares(magnitude: Array) -> Array:
    """Magnitude over all echoes, (echo, x, y, z) to (x, y, z) float32 (Spincemaille 2019, I = sqrt(sum |s_j|^2))."""
    xp = backend.namespace(magnitude)
    total = xp.zeros(magnitude.shape[1:], dtype=xp.float32)
    for echo in magnitude:  # one echo at a time: no second copy of the scan
        total += echo * echo
    return xp.sqrt(total)
