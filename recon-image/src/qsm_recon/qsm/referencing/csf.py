"""Ventricular CSF: large dark-in-R2* regions near the middle of the brain.

CSF hardly decays, so R2* is low; the ventricles lie near the centroid, other CSF at the surface. Seeds are the
largest low-R2* components within a ball about the centroid; the region is what hangs together with them well
inside the mask, so that ventricular horns beyond the ball count and the surface does not.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from qsm_recon.qsm import backend, kernels
from qsm_recon.qsm.grid import check_finite, check_volumes, mask_box
from qsm_recon.qsm.referencing.params import ReferencingParams
from qsm_recon.qsm.scan import Geometry

Array = Any

BALL_INSIDE = 0.999
"""A ball counts as inside the mask where its mean over the mask exceeds this (Liu Z 2018)."""


@dataclass(frozen=True)
class CsfRegion:
    """Where ventricular CSF was found, or why not."""

    mask: Array
    """(x, y, z) bool; empty where it was not found."""
    found: bool
    message: str
    """One sentence for the report."""


def find_csf(r2star_per_s: Array, mask: Array, geometry: Geometry, params: ReferencingParams) -> CsfRegion:
    """Find ventricular CSF by its low R2*.

    Parameters
    ----------
    r2star_per_s : (x, y, z) float array
        R2* in 1/s; large where there is no signal to tell it. Noise makes 0 of the R2* of much fluid.
    mask : (x, y, z) bool array
    geometry : Geometry
    params : ReferencingParams

    Returns
    -------
    CsfRegion
        `found` is False, with the reason, where there is no low-R2* component near the centre, or less than
        `csf_minimum_ml` of it; that is no error, the caller decides on another reference.

    Raises
    ------
    InputError
        `ShapeMismatch`, `EmptyMask`, `NotFinite`.

    References
    ----------
    Liu Z et al., MRM 2018, doi:10.1002/mrm.26946.
    """
    check_volumes(mask, r2star_per_s=r2star_per_s)
    check_finite("r2star_per_s", r2star_per_s, mask)
    xp = backend.namespace(mask)
    # Room for the ball beyond the mask's box: without it, erosion would wrap round.
    box = mask_box(mask, geometry.voxel_size_mm, params.csf_depth_mm)
    boxed_mask, r2star = box.take(mask), box.take(r2star_per_s)
    fluid = boxed_mask & (r2star < params.csf_r2star_below_per_s)
    seeds = fluid & _central_ball(boxed_mask, geometry.voxel_size_mm, params.csf_ball_mm)
    voxel_ml = float(np.prod(geometry.voxel_size_mm)) / 1000
    least = max(1.0, params.csf_component_minimum_ml / voxel_ml)
    kept = _largest_components(seeds, params.csf_components, least)
    found = _touching_components(fluid & _eroded(boxed_mask, geometry, params.csf_depth_mm), kept)
    volume_ml = int(found.sum()) * voxel_ml
    if volume_ml < params.csf_minimum_ml:
        message = (
            f"Ventricular CSF was not found: {volume_ml:.2f} ml with R2* below "
            f"{params.csf_r2star_below_per_s:g}/s near the centre, {params.csf_minimum_ml:g} ml are needed."
        )
        return CsfRegion(xp.zeros(mask.shape, dtype=bool), found=False, message=message)
    return CsfRegion(box.put_back(found), found=True, message=f"Ventricular CSF: {volume_ml:.1f} ml.")


def _central_ball(mask: Array, voxel_size_mm: tuple[float, float, float], radius_mm: float) -> Array:
    """Voxels within `radius_mm` of the centroid of the mask."""
    xp = backend.namespace(mask)
    square: Any = 0.0
    for axis, h in enumerate(voxel_size_mm):
        others = tuple(a for a in range(3) if a != axis)
        position = xp.arange(mask.shape[axis]) * h
        profile = mask.sum(axis=others)
        offset = position - (position * profile).sum() / profile.sum()
        square = square + (offset**2).reshape([-1 if a == axis else 1 for a in range(3)])
    return square <= radius_mm**2


def _eroded(mask: Array, geometry: Geometry, depth_mm: float) -> Array:
    """Voxels at least `depth_mm` inside the mask (the whole mask for 0)."""
    if depth_mm == 0:
        return mask
    xp = backend.namespace(mask)
    if not kernels.ball_fits(mask.shape, geometry.voxel_size_mm, depth_mm):
        return xp.zeros_like(mask)  # wider than the grid, so wider than the mask
    ball = kernels.sphere_kernel(mask.shape, geometry.voxel_size_mm, depth_mm, xp)
    return mask & (kernels.convolve(mask.astype(xp.float32), ball) > BALL_INSIDE)


def _largest_components(region: Array, count: int, least_voxels: float) -> Array:
    """The up to `count` largest 6-connected components of at least `least_voxels`."""
    xp = backend.namespace(region)
    labels, number = backend.ndimage(region).label(region)
    sizes = backend.to_host(xp.bincount(labels.ravel(), minlength=int(number) + 1))[1:]
    # Stable order, so that equal sizes are decided by position and not by the sorting algorithm.
    order = np.argsort(-sizes, kind="stable")[:count]
    chosen = [int(i) + 1 for i in order if sizes[i] >= least_voxels]
    return xp.isin(labels, xp.asarray(chosen, dtype=labels.dtype))


def _touching_components(region: Array, seeds: Array) -> Array:
    """The 6-connected components of `region` that share a voxel with `seeds`."""
    xp = backend.namespace(region)
    labels, number = backend.ndimage(region).label(region)
    hit = xp.bincount(labels[seeds & region], minlength=int(number) + 1) > 0
    hit[0] = False
    return hit[labels]
