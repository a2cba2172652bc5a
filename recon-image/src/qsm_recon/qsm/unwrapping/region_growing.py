"""Exact spatial unwrapping: grow from the best voxel along the most trustworthy edges.

Each edge between face neighbours has a quality: coherence of the two phases times a term that falls with their
noise. Edges are taken best first (Prim's maximum spanning tree over a bucket queue), and the new voxel gets the
multiple of 2 pi that brings it within pi of the voxel it was reached from. Integers are carried, not phases, so
the result differs from the input by exact multiples of 2 pi.

Sources: Xu & Cumming 1999, doi:10.1109/36.739143; Cusack & Papadakis 2002, doi:10.1006/nimg.2002.1092;
Dymerska et al. 2021, doi:10.1002/mrm.28563 (quantised weights, bucket queue).
"""

import math
from typing import Any, Literal

import numpy as np
import scipy.ndimage

from qsm_recon.qsm import backend, compiling
from qsm_recon.qsm.parameters import Params
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.qsm.scan import Geometry
from qsm_recon.qsm.unwrapping import islands

TWO_PI = 2 * math.pi
BUCKETS = 256
"""Quality 1 (best) to 255; 0 marks a pair of voxels that is no edge."""


class RegionGrowingParams(Params):
    """Parameters of `region_growing`: none."""

    method: Literal["region-growing"] = "region-growing"


@compiling.jit
def _slice_buckets(wrapped: Any, mask: Any, noise: Any, buckets: Any, x: Any) -> None:
    nx, ny, nz = mask.shape
    for y in range(ny):
        for z in range(nz):
            for axis in range(3):
                buckets[x, y, z, axis] = 0
                x2, y2, z2 = x + (axis == 0), y + (axis == 1), z + (axis == 2)
                if x2 == nx or y2 == ny or z2 == nz or not (mask[x, y, z] and mask[x2, y2, z2]):
                    continue
                step = float(wrapped[x2, y2, z2]) - float(wrapped[x, y, z])
                step -= TWO_PI * np.round(step / TWO_PI)
                variance = float(noise[x, y, z]) ** 2 + float(noise[x2, y2, z2]) ** 2
                quality = (1 - abs(step) / math.pi) / (1 + 2 * math.sqrt(variance))
                if not quality > 0:
                    quality = 0.0  # infinite noise
                buckets[x, y, z, axis] = np.uint8(1 + int((1 - quality) * 254))


@compiling.jit_rows
def _edge_buckets(low: int, high: int, wrapped: Any, mask: Any, noise: Any, buckets: Any) -> None:
    for x in range(low, high):
        _slice_buckets(wrapped, mask, noise, buckets, x)


@compiling.jit
def _push_edges(voxel: Any, strides: Any, buckets: Any, offers: Any, heads: Any, following: Any, lowest: Any) -> Any:
    """Queue the edges from `voxel` that may be of use; returns the lowest bucket in use.

    `offers` has the best bucket in which each voxel is queued, 0 where it is reached: a worse edge would be taken when
    the voxel has been reached by the better one, so it need not be queued. And no place has to be worked out: what
    would reach over a face of the box is no edge by its bucket (the last voxels along an axis have none), and what
    lies before the first voxel is left out.
    """
    for axis in range(3):
        stride = strides[axis]
        for ahead in range(2):
            other = voxel + stride if ahead == 1 else voxel - stride
            edge = 3 * (voxel if ahead == 1 else other) + axis
            if edge < 0:
                continue
            bucket = buckets[edge]
            if bucket == 0 or bucket > offers[other]:
                continue
            offers[other] = bucket
            following[edge] = heads[bucket]
            heads[bucket] = edge
            lowest = min(lowest, bucket)
    return lowest


@compiling.jit
def _grow(wrapped: Any, buckets: Any, strides: Any, seeds: Any, turns: Any) -> int:
    """Fill `turns` (multiples of 2 pi) over every region that holds a seed; returns how many voxels it reached."""
    heads = np.full(BUCKETS, -1, np.int64)
    following = np.empty(buckets.size, np.int32)
    offers = np.full(turns.size, BUCKETS - 1, np.uint8)
    reached = 0
    for seed in seeds:
        turns[seed] = 0
        offers[seed] = 0
        reached += 1
        lowest = _push_edges(seed, strides, buckets, offers, heads, following, BUCKETS)
        while lowest < BUCKETS:
            edge = heads[lowest]
            if edge < 0:
                lowest += 1
                continue
            heads[lowest] = following[edge]
            near = edge // 3
            far = near + strides[edge % 3]
            if offers[near] != 0:
                near, far = far, near
            elif offers[far] == 0:
                continue
            step = float(wrapped[near]) - float(wrapped[far])
            turns[far] = turns[near] + np.int32(np.round(step / TWO_PI))
            offers[far] = 0
            reached += 1
            lowest = _push_edges(far, strides, buckets, offers, heads, following, lowest)
    return reached


def region_growing(
    wrapped_rad: Any,
    mask: Any,
    noise_rad: Any,
    geometry: Geometry,  # noqa: ARG001 - the signature of the stage
    params: RegionGrowingParams,  # noqa: ARG001 - the signature of the stage
    progress: Progress = silent,
) -> Any:
    """Unwrap inside `mask`; the result minus the input is a multiple of 2 pi in every voxel.

    Regions of the mask that do not touch (by faces) are grown apart; `islands` says how their offsets are set.
    The queue is sequential, so this runs on the host; a device array is copied there and back.

    Parameters
    ----------
    wrapped_rad
        (x, y, z) float32 phase in rad.
    mask
        (x, y, z) bool.
    noise_rad
        (x, y, z) float32 standard deviation of the phase, +inf without signal (reached last).
    geometry, params
        Not used by this method.
    progress
        Told the fraction done.

    Returns
    -------
    Array
        (x, y, z) float32 in rad, 0 outside `mask`.
    """
    inside = np.ascontiguousarray(backend.to_host(mask), dtype=bool)
    result = np.zeros(inside.shape, np.float32)
    if inside.any():
        box = scipy.ndimage.find_objects(inside.view(np.uint8))[0]
        result[box] = _unwrap_box(
            np.ascontiguousarray(backend.to_host(wrapped_rad[box]), np.float32),
            np.ascontiguousarray(inside[box]),
            np.ascontiguousarray(backend.to_host(noise_rad[box]), np.float32),
            progress,
        )
    progress(1.0)
    return backend.to_device_of(wrapped_rad, result)


def _unwrap_box(wrapped: Any, inside: Any, noise: Any, progress: Progress) -> Any:
    if not np.isfinite(wrapped[inside]).all():
        raise ValueError("wrapped_rad must be finite inside the mask")
    if 3 * inside.size >= 2**31:
        raise ValueError(f"a mask box of {inside.shape} voxels is too large for 32-bit edge numbers")
    buckets = np.empty((*inside.shape, 3), np.uint8)
    _edge_buckets(inside.shape[0], wrapped, inside, noise, buckets)
    progress(0.2)
    _, ny, nz = inside.shape
    strides = np.array((ny * nz, nz, 1))
    turns = np.zeros(inside.size, np.int32)
    # Nearly every mask is one region: try that, and look for more only where something was left.
    seeds = islands.best_voxels(inside.ravel().view(np.uint8), noise.ravel(), 1)
    reached = _grow(wrapped.ravel(), buckets.ravel(), strides, seeds, turns)
    progress(0.6)
    several = reached < int(np.count_nonzero(inside))
    if several:
        labels, count = scipy.ndimage.label(inside)
        seeds = islands.best_voxels(labels.ravel(), noise.ravel(), count)
        _grow(wrapped.ravel(), buckets.ravel(), strides, seeds, turns)
    progress(0.9)
    turns = turns.reshape(inside.shape)
    if several:
        islands.align(wrapped, turns, labels, count)
    else:
        islands.centre(wrapped, turns, inside)
    return np.where(inside, wrapped + np.float32(TWO_PI) * turns.astype(np.float32), np.float32(0))
