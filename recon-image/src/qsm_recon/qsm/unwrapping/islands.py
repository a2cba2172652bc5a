"""Separate regions of a mask: where each is started, and which multiple of 2 pi each gets.

Nothing in the phase tells how many turns lie between two regions that do not touch, so there is a rule:

1. The largest region gets the multiple of 2 pi that brings its median closest to zero.
2. The others follow by size, largest first (equal sizes: the one met first in array order). Each gets the
   multiple that brings its median closest to the median of the voxels already placed around it: those in its
   bounding box, widened by 1, 2, 4, 8 ... voxels until the box holds some.
"""

import math
from typing import Any

import numpy as np
import scipy.ndimage

from qsm_recon.qsm import compiling

TWO_PI = 2 * math.pi


@compiling.jit
def best_voxels(labels: Any, noise: Any, count: Any) -> Any:
    """Flat index of the least noisy voxel of each region (the first of equals); labels count from 1."""
    best = np.full(count, -1, np.int64)
    for voxel in range(labels.size):
        region = labels[voxel] - 1
        if region >= 0 and (best[region] < 0 or noise[voxel] < noise[best[region]]):
            best[region] = voxel
    return best


def align(wrapped: Any, turns: Any, labels: Any, count: int) -> None:
    """Add to `turns`, in place, one whole number per region by the rule of this module.

    Parameters
    ----------
    wrapped
        (x, y, z) float32 phase in rad.
    turns
        (x, y, z) int32 multiples of 2 pi, consistent within each region.
    labels
        (x, y, z) region numbers from 1, 0 outside.
    count
        Number of regions.
    """
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    boxes = scipy.ndimage.find_objects(labels)
    placed = np.zeros(count + 1, bool)
    for region in np.argsort(-sizes, kind="stable") + 1:
        box = boxes[region - 1]
        here = labels[box] == region
        level = _median_phase(wrapped[box], turns[box], here)
        target = _surroundings(wrapped, turns, labels, placed, box) if placed.any() else 0.0
        turns[box][here] += round((target - level) / TWO_PI)
        placed[region] = True


def centre(wrapped: Any, turns: Any, inside: Any) -> None:
    """Rule 1 for a mask that is one region: as `align`, with `inside` (x, y, z) bool for the labels."""
    turns[inside] += round((0.0 - _median_phase(wrapped, turns, inside)) / TWO_PI)


def _median_phase(wrapped: Any, turns: Any, where: Any) -> float:
    return float(np.median(wrapped[where].astype(np.float64) + TWO_PI * turns[where]))


def _surroundings(wrapped: Any, turns: Any, labels: Any, placed: Any, box: tuple[slice, ...]) -> float:
    margin = 1
    while True:
        wide = tuple(slice(max(0, s.start - margin), s.stop + margin) for s in box)
        near = placed[labels[wide]]
        if near.any():
            return _median_phase(wrapped[wide], turns[wide], near)
        margin *= 2
