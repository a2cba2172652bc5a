"""What is inside the surface and still no brain: fat, vessels with inflow, air, dephased voxels."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from qsm_recon.qsm import backend, morphology

Array = Any
Voxel = tuple[float, float, float]

RIM_MM = 15.0
"""Only this close to the surface anything is dropped: a deep bleed with rough phase stays in the map."""
CORE_MM = 5.0
"""Erosion that parts the brain from what hangs on by a thin bridge."""
REGROW_MM = 5.75
CLOSE_MM = 3.0
NOISE_MARGIN = 2.0
"""A noisy scan has rough phase throughout: the limit moves up with the roughness of the deep brain."""
ROUGHEST_RAD = 1.0
"""The limit stays below this: the phase of air has a roughness of about 1.3 rad."""


@dataclass(frozen=True)
class Limits:
    """What a voxel of brain looks like."""

    roughness_rad: float
    signal_low: float
    signal_high: float


def refine(surface_mask: Array, flat_image: Array, roughness_rad: Array, voxel_size_mm: Voxel, limits: Limits) -> Array:
    """The part of `surface_mask` that is brain by signal and phase.

    Near the rim, voxels are dropped that are brighter or darker than brain or whose phase is rough; holes are
    filled; then the mask is eroded to its core, the largest piece kept and grown back through good voxels.

    Parameters
    ----------
    surface_mask
        (x, y, z) bool.
    flat_image
        (x, y, z) float32, shading divided out with `surface_mask` as support.
    roughness_rad
        (x, y, z) float32 (`phase_quality.phase_roughness_rad`).
    voxel_size_mm
        Distance between voxel centres.
    limits
        Bounds; the signal's are relative to its median in `surface_mask`.

    Returns
    -------
    (x, y, z) bool, a subset of `surface_mask`.
    """
    box = morphology.bounding_box(surface_mask, voxel_size_mm, 2 * max(voxel_size_mm))
    inside, flat, rough = surface_mask[box], flat_image[box], roughness_rad[box]
    # A single good voxel among bad ones is luck: judge the phase by 3 mm means.
    size = [max(1, 2 * round((3.0 / h - 1) / 2) + 1) for h in voxel_size_mm]
    rough = backend.ndimage(rough).uniform_filter(rough, size)
    median = np.float32(np.median(flat[inside]))
    deep = morphology.erode(inside, voxel_size_mm, RIM_MM)
    noise = float(np.median(rough[deep if deep.any() else inside]))
    roughest = min(math.hypot(limits.roughness_rad, NOISE_MARGIN * noise), ROUGHEST_RAD)
    good = (flat > limits.signal_low * median) & (flat < limits.signal_high * median) & (rough < roughest)
    good = morphology.fill_holes(inside & (good | deep))
    core = morphology.largest_component(morphology.erode(good, voxel_size_mm, CORE_MM))
    grown = morphology.dilate(core, voxel_size_mm, REGROW_MM) & good
    closed = morphology.close_mask(grown, voxel_size_mm, CLOSE_MM) & inside
    out = np.zeros_like(surface_mask)
    out[box] = morphology.largest_component(morphology.fill_holes(closed))
    return out
