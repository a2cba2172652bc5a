"""Figures that tell a physicist at a glance whether to trust a map."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from qsm_recon.qsm import backend
from qsm_recon.qsm.masking import BrainMask
from qsm_recon.qsm.referencing import Referenced
from qsm_recon.qsm.scan import Geometry, Inversion
from qsm_recon.qsm.units import PPB_PER_PPM

Array = Any


@dataclass(frozen=True)
class Quality:
    """Figures of one reconstruction."""

    mask_volume_ml: float
    """Volume of the brain mask, ml (an adult brain: 1000 to 1600)."""
    chi_volume_ml: float
    """Volume in which susceptibility is given, ml."""
    share_excluded: float
    """Share of the brain mask that carries no susceptibility in the end, 0 to 1."""
    phase_residual_median: float
    """Median misfit of the complex fit inside the brain mask; 1 is pure noise, 0 with two echoes."""
    noise_median_ppb: float
    """Median standard deviation of the field inside the brain mask, ppb."""
    chi_sd_ppb: float
    """Standard deviation of the map inside its mask, ppb."""
    csf_voxels: int
    """Voxels taken as ventricular fluid; 0 where none was found."""
    reference_voxels: int
    """Voxels whose mean is zero by definition."""
    reference_offset_ppb: float
    """Mean that referencing subtracted, ppb."""
    mask_figures: dict[str, float]
    """What the masking method itself says about its mask."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a report."""
        return asdict(self)


def judge(
    *,
    residual: Array,
    brain: BrainMask,
    noise_ppm: Array,
    csf_mask: Array | None,
    inversion: Inversion,
    referenced: Referenced,
    geometry: Geometry,
) -> Quality:
    """Gather the figures of one reconstruction (arrays on either device)."""
    voxel_ml = float(np.prod(geometry.voxel_size_mm)) / 1000.0
    mask = brain.mask
    inside = int(mask.sum())
    valid = int(inversion.mask.sum())
    return Quality(
        mask_volume_ml=inside * voxel_ml,
        chi_volume_ml=valid * voxel_ml,
        share_excluded=1.0 - int((inversion.mask & mask).sum()) / inside,
        phase_residual_median=_median(residual[mask]),
        noise_median_ppb=_median(noise_ppm[mask]) * PPB_PER_PPM,
        chi_sd_ppb=float(referenced.chi_ppm[inversion.mask].std(dtype=np.float64)) * PPB_PER_PPM,
        csf_voxels=0 if csf_mask is None else int(csf_mask.sum()),
        reference_voxels=int(referenced.voxel_count),
        reference_offset_ppb=float(referenced.offset_ppm) * PPB_PER_PPM,
        mask_figures={name: float(value) for name, value in brain.quality.items()},
    )


def _median(values: Array) -> float:
    """Median of the finite values; NaN is never reported, an empty set counts as 0."""
    xp = backend.namespace(values)
    finite = values[xp.isfinite(values)]
    return float(xp.median(finite)) if finite.size else 0.0
