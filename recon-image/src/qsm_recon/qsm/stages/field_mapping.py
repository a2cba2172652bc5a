"""Complex echoes to one wrapped phase slope for each voxel."""

from dataclasses import fields

from qsm_recon.qsm.field_mapping import FieldMappingParams, fit_field
from qsm_recon.qsm.magnitude import root_sum_of_squares
from qsm_recon.qsm.progress import Progress
from qsm_recon.qsm.scan import FieldFit, MultiEchoScan
from qsm_recon.qsm.stages.results import MappedField


def map_field(scan: MultiEchoScan, params: FieldMappingParams, progress: Progress) -> MappedField:
    """Phase slope, its noise and misfit, and the magnitude of all echoes."""
    fit = fit_field(scan, params, progress)
    found = {field.name: getattr(fit, field.name) for field in fields(FieldFit)}
    return MappedField(**found, magnitude=root_sum_of_squares(scan.magnitude))
