"""Where there is brain."""

from typing import Any

from qsm_recon.errors import InputError
from qsm_recon.qsm.masking import BrainMask, MaskingParams, make_mask
from qsm_recon.qsm.progress import Progress
from qsm_recon.qsm.scan import MultiEchoScan
from qsm_recon.qsm.stages.results import MappedField

Array = Any


def find_brain(scan: MultiEchoScan, params: MaskingParams, mapped: MappedField, progress: Progress) -> BrainMask:
    """The mask that the recipe's method finds."""
    return make_mask(scan, mapped, params, progress)


def given_mask(mask: Array, scan: MultiEchoScan) -> BrainMask:
    """The caller's mask as it is; refused where it does not fit the scan or is empty."""
    if tuple(mask.shape) != scan.shape:
        raise InputError("MaskMismatch", f"the mask has shape {tuple(mask.shape)}, the scan {scan.shape}")
    if not bool(mask.any()):
        raise InputError("EmptyMask", "the mask given is empty: no voxel to reconstruct")
    return BrainMask(mask=mask.astype(bool), quality={}, warnings=("MaskGiven: the mask was given, not found.",))
