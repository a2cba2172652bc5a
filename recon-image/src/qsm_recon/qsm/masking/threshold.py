"""Foreground by a threshold on the magnitude: for phantoms and objects that are no head."""

from typing import Any, Literal

import numpy as np
from pydantic import Field

from qsm_recon.qsm import backend, morphology
from qsm_recon.qsm.masking.brain_mask import BrainMask, empty, finish
from qsm_recon.qsm.masking.intensity import combine_echoes, flatten, otsu_threshold, smooth
from qsm_recon.qsm.masking.phase_quality import phase_roughness_rad
from qsm_recon.qsm.parameters import Params
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.qsm.scan import FieldFit, MultiEchoScan

Array = Any


class ThresholdParams(Params):
    """Parameters of the threshold and of the morphology after it."""

    method: Literal["threshold"] = "threshold"
    otsu_share: float = Field(default=0.7, gt=0.0, le=2.0)
    """Threshold as a share of Otsu's level."""
    percentile: float | None = Field(default=None, ge=0.0, lt=100.0)
    """Threshold at this percentile of the magnitude instead of Otsu's level."""
    smoothing_mm: float = Field(default=1.5, ge=0.0, le=5.0)
    """Gaussian width the magnitude is smoothed with."""
    shading_mm: float = Field(default=0.0, ge=0.0, le=100.0)
    """Gaussian width of the coil shading that is divided out; 0 leaves it in."""
    opening_mm: float = Field(default=2.0, ge=0.0, le=20.0)
    """What is thinner than twice this is dropped."""
    fill_holes: bool = True
    """Take enclosed dark regions into the mask."""
    phase_quality: bool = False
    """Drop voxels whose phase is rough."""
    phase_threshold_rad: float = Field(default=0.5, gt=0.0, le=1.6)
    """Roughness of the phase (rms second difference per echo spacing) above which a voxel is dropped."""
    erosion_mm: float = Field(default=0.0, ge=0.0, le=20.0)
    """Erosion of the finished mask."""


def threshold(scan: MultiEchoScan, fit: FieldFit, params: ThresholdParams, progress: Progress = silent) -> BrainMask:
    """Largest bright object of the root-sum-of-squares magnitude.

    Parameters
    ----------
    scan
        Magnitude (echo, x, y, z) is used.
    fit
        Used only with `phase_quality`.
    params
        See `ThresholdParams`.
    progress
        Called with the fraction done; may raise to cancel.

    Returns
    -------
    BrainMask
        On the device the scan lives on. Figures: `volume_l`, `border_voxels`, `threshold_share` (threshold over
        the 98th percentile).

    Raises
    ------
    InputError
        `MaskEmpty` where the magnitude has no contrast or nothing survives the morphology.
    """
    voxel = scan.geometry.voxel_size_mm
    image = np.ascontiguousarray(backend.to_host(combine_echoes(scan.magnitude)), dtype=np.float32)
    image = flatten(smooth(image, voxel, params.smoothing_mm), voxel, params.shading_mm)
    progress(0.4)
    level = (
        params.otsu_share * otsu_threshold(image)
        if params.percentile is None
        else float(np.percentile(image, params.percentile))
    )
    mask = image > level
    if params.phase_quality:
        mask &= phase_roughness_rad(fit) < params.phase_threshold_rad
    if not mask.any():
        raise empty("no voxel lies above the threshold")
    progress(0.6)
    mask = morphology.largest_component(mask)
    if params.fill_holes:
        mask = morphology.fill_holes(mask)
    if params.opening_mm > 0:
        mask = morphology.largest_component(morphology.open_mask(mask, voxel, params.opening_mm))
    if params.erosion_mm > 0:
        mask = morphology.largest_component(morphology.erode(mask, voxel, params.erosion_mm))
    progress(1.0)
    quality = {"threshold_share": level / float(np.percentile(image, 98))}
    done = finish(mask, voxel, quality, (), None)
    return BrainMask(backend.to_device_of(scan.magnitude, done.mask), done.quality, done.warnings)
