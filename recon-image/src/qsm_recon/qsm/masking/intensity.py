"""The image a mask is drawn from: echoes combined, on a working grid, smoothed, coil shading divided out."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from qsm_recon.qsm import backend
from qsm_recon.qsm.compiling import jit_rows, share_out
from qsm_recon.qsm.magnitude import root_sum_of_squares
from qsm_recon.qsm.masking.brain_mask import empty

Array = Any
Voxel = tuple[float, float, float]

WORKING_VOXEL_MM = 1.6
"""Voxels are averaged in blocks as long as the block is no longer than this: a brain's surface asks no more."""
SHADING_VOXEL_MM = 4.0
SHADING_PASSES = 3
SHADING_FLOOR = 0.1
BRIGHT = 0.2
"""Share of the 98th percentile above which a voxel counts as signal when shading is estimated."""


@dataclass(frozen=True)
class WorkingGrid:
    """Blocks of native voxels: working index i covers native indices i*factor .. i*factor + factor - 1."""

    native_shape: tuple[int, int, int]
    native_voxel_mm: Voxel
    factors: tuple[int, int, int]

    @classmethod
    def of(cls, shape: tuple[int, int, int], voxel_size_mm: Voxel, working_voxel_mm: float) -> "WorkingGrid":
        """The grid whose blocks are the longest that do not exceed `working_voxel_mm`."""
        kx, ky, kz = (max(1, min(n, int(working_voxel_mm / h))) for n, h in zip(shape, voxel_size_mm, strict=True))
        return cls(shape, voxel_size_mm, (kx, ky, kz))

    @property
    def voxel_mm(self) -> Voxel:
        """Distance between block centres."""
        x, y, z = (h * k for h, k in zip(self.native_voxel_mm, self.factors, strict=True))
        return x, y, z

    @property
    def origin_mm(self) -> Voxel:
        """Centre of the first block; the origin is the centre of the first native voxel."""
        x, y, z = (h * (k - 1) / 2 for h, k in zip(self.native_voxel_mm, self.factors, strict=True))
        return x, y, z

    def reduce(self, volume: Array) -> Array:
        """Block means of a native float volume (the last block repeats the last voxel where it is not full)."""
        xp = backend.namespace(volume)
        for axis, k in enumerate(self.factors):
            if k == 1:
                continue
            n = volume.shape[axis]
            first = np.arange(0, n, k)
            total = xp.take(volume, xp.asarray(first), axis=axis)
            for offset in range(1, k):
                total += xp.take(volume, xp.asarray(np.minimum(first + offset, n - 1)), axis=axis)
            volume = total / np.float32(k)
        return volume

    def expand(self, mask: Array) -> Array:
        """A working mask on the native grid, block by block."""
        for axis, k in enumerate(self.factors):
            mask = np.repeat(mask, k, axis=axis)
        nx, ny, nz = self.native_shape
        return mask[:nx, :ny, :nz]


def combine_echoes(magnitude: Array) -> Array:
    """Root of the sum of squares over echoes, divided by the largest magnitude; (x, y, z) float32.

    Raises
    ------
    InputError
        `MaskEmpty` where the magnitude is zero or constant throughout.
    """
    xp = backend.namespace(magnitude)
    largest = float(xp.max(magnitude))
    if not math.isfinite(largest):
        raise ValueError("magnitude holds NaN or infinity; it must be checked where it is read")
    if largest <= 0 or float(xp.min(magnitude)) == largest:
        raise empty("the magnitude is the same everywhere")
    return root_sum_of_squares(magnitude, largest)


def smooth(image: Array, voxel_size_mm: Voxel, sigma_mm: float) -> Array:
    """Gaussian smoothing with `sigma_mm`; thick voxels are smoothed by a third of a voxel only.

    A slice of 3 mm has averaged its noise already, and smoothing it by 1.5 mm mixes scalp and brain.
    """
    if sigma_mm <= 0:
        return image
    sigmas = [0.35 if h > 2.5 else sigma_mm / h for h in voxel_size_mm]
    return backend.ndimage(image).gaussian_filter(image, sigmas, truncate=3.0)


def flatten(image: Array, voxel_size_mm: Voxel, sigma_mm: float, support: Array | None = None) -> Array:
    """`image` divided by its slow shading: the Gaussian mean over bright voxels (or over `support`).

    Parameters
    ----------
    image
        (x, y, z) float32 on the host.
    voxel_size_mm
        Distance between voxel centres.
    sigma_mm
        Width of the Gaussian; 0 leaves the image as it is.
    support
        (x, y, z) bool: the voxels whose mean is the shading; None finds bright ones, in a few passes.

    Returns
    -------
    (x, y, z) float32, about 1 in the support.
    """
    if sigma_mm <= 0:
        return image
    grid = WorkingGrid.of(image.shape, voxel_size_mm, SHADING_VOXEL_MM)
    coarse = grid.reduce(image)
    sigmas = [sigma_mm / h for h in grid.voxel_mm]
    if support is not None:
        weight = grid.reduce(support.astype(np.float32))
        shading = _mean_under(grid.reduce(image * support), weight, sigmas)
    else:
        flat = coarse
        for _ in range(SHADING_PASSES):
            weight = (flat > BRIGHT * np.percentile(flat, 98)).astype(np.float32)
            shading = _mean_under(coarse * weight, weight, sigmas)
            flat = coarse / shading
    out = np.empty_like(image)
    steps = np.asarray(grid.factors, dtype=np.float32)
    _divide_by_shading(image.shape[0], image, shading, steps, out)
    return out


def _mean_under(weighted: Array, weight: Array, sigmas: list[float]) -> Array:
    """Gaussian mean of `weighted` over `weight`, floored so that it can divide."""
    ndimage = backend.ndimage(weighted)
    means: dict[str, Array] = {}

    def smoothen(part: tuple[str, Array]) -> None:
        means[part[0]] = ndimage.gaussian_filter(part[1], sigmas)

    cores = 1 if backend.is_device_array(weighted) else min(2, backend.threads())
    share_out([("weighted", weighted), ("weight", weight)], smoothen, cores)
    mean = means["weighted"] / np.maximum(means["weight"], np.float32(1e-6))
    # Far from any signal the mean is 0/0: such places take the floor, where they stay dark.
    return np.maximum(mean, np.float32(SHADING_FLOOR) * mean.max()).astype(np.float32)


def otsu_threshold(values: Array) -> float:
    """Level that parts the values into the two classes of least variance within (Otsu 1979).

    Raises
    ------
    InputError
        `MaskEmpty` where the values are all the same.
    """
    low, high = float(values.min()), float(np.percentile(values, 99.5))
    if not high > low:
        raise empty("the magnitude shows no contrast")
    counts, edges = np.histogram(np.minimum(values, high), bins=256, range=(low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts, dtype=np.float64)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    score = np.nan_to_num(between[:-1], posinf=0.0)
    # Between two peaks apart every level is as good: take the middle.
    best = np.flatnonzero(score >= score.max() * (1 - 1e-9))
    return float((edges[1 + best[0]] + edges[1 + best[-1]]) / 2)


@jit_rows
def _divide_by_shading(low: int, high: int, image: Array, shading: Array, steps: Array, out: Array) -> None:
    """`image` / `shading`, the latter interpolated linearly from blocks of `steps` voxels."""
    _, ny, nz = image.shape
    mx, my, mz = shading.shape
    line = np.empty(mz, dtype=shading.dtype)
    below, above = np.empty(nz, dtype=np.int64), np.empty(nz, dtype=np.int64)
    share = np.empty(nz, dtype=shading.dtype)
    for z in range(nz):
        w = min(max((z - (steps[2] - 1) / 2) / steps[2], 0.0), mz - 1.0)
        below[z] = min(int(w), max(mz - 2, 0))
        above[z] = min(below[z] + 1, mz - 1)
        share[z] = w - below[z]
    for x in range(low, high):
        u = min(max((x - (steps[0] - 1) / 2) / steps[0], 0.0), mx - 1.0)
        i = min(int(u), max(mx - 2, 0))
        i1 = min(i + 1, mx - 1)
        a = np.float32(u - i)
        for y in range(ny):
            v = min(max((y - (steps[1] - 1) / 2) / steps[1], 0.0), my - 1.0)
            j = min(int(v), max(my - 2, 0))
            j1 = min(j + 1, my - 1)
            b = np.float32(v - j)
            for k in range(mz):
                lower = (1 - b) * shading[i, j, k] + b * shading[i, j1, k]
                upper = (1 - b) * shading[i1, j, k] + b * shading[i1, j1, k]
                line[k] = (1 - a) * lower + a * upper
            for z in range(nz):
                here = line[below[z]]
                out[x, y, z] = image[x, y, z] / (here + share[z] * (line[above[z]] - here))
