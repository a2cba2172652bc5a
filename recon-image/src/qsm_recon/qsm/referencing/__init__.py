"""Referencing: the field fixes susceptibility only up to a constant; here it is chosen, and said."""

from dataclasses import dataclass
from typing import Any

from qsm_recon.qsm import backend
from qsm_recon.qsm.grid import check_finite, check_volumes
from qsm_recon.qsm.referencing.csf import CsfRegion, find_csf
from qsm_recon.qsm.referencing.params import ReferencingParams

Array = Any


@dataclass(frozen=True)
class Referenced:
    """Susceptibility relative to a named region."""

    chi_ppm: Array
    """(x, y, z) float32, ppm; 0 outside the mask."""
    region: str
    """What zero means: csf, brain-mean or none."""
    voxel_count: int
    """Voxels the reference was averaged over; 0 for none."""
    offset_ppm: float
    """The mean that was subtracted, ppm."""
    warnings: tuple[str, ...] = ()


def reference(chi_ppm: Array, mask: Array, csf_mask: Array | None, params: ReferencingParams) -> Referenced:
    """Subtract the mean over the reference region inside `mask`; outside stays 0.

    Parameters
    ----------
    chi_ppm : (x, y, z) float array
        Susceptibility in ppm.
    mask : (x, y, z) bool array
        Where chi is valid (after the erosion of the inversion).
    csf_mask : (x, y, z) bool array or None
        Ventricular CSF; None or empty where it was not found.
    params : ReferencingParams

    Returns
    -------
    Referenced
        Region "brain-mean" with the warning `CsfNotFound` where CSF was asked for and there is none in `mask`.

    Raises
    ------
    InputError
        `ShapeMismatch`, `EmptyMask`, `NotFinite`.
    """
    check_volumes(mask, chi_ppm=chi_ppm, csf_mask=csf_mask)
    check_finite("chi_ppm", chi_ppm, mask)
    xp = backend.namespace(chi_ppm)
    chi = xp.where(mask, chi_ppm, 0).astype(xp.float32)
    warnings: tuple[str, ...] = ()
    region = params.region
    where = mask
    if region == "csf":
        csf = None if csf_mask is None else csf_mask & mask
        if csf is None or not bool(csf.any()):
            region = "brain-mean"
            text = (
                "CsfNotFound: ventricular CSF was not found, so zero means the mean of the whole mask; values "
                "cannot be compared with CSF-referenced maps."
            )
            warnings = (text,)
        else:
            where = csf
    if region == "none":
        return Referenced(chi, region, 0, 0.0)
    offset = float(xp.mean(chi[where], dtype=xp.float64))
    chi[mask] -= chi.dtype.type(offset)
    return Referenced(chi, region, int(where.sum()), offset, warnings)


__all__ = ["CsfRegion", "Referenced", "ReferencingParams", "find_csf", "reference"]
