"""Binary morphology in millimetres: the same shape whatever the voxel, 3 mm slices included.

Everything rests on a distance transform that stops at a reach: exact Euclidean distances up to the reach,
infinity beyond, a fraction of the cost of the full transform. The edge of the volume is no surface: a mask cut
by the field of view is not eroded from there, because the anatomy goes on where the images end.

NumPy and CuPy masks alike; the kernels run on the host and the result goes back to where the input was.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.ndimage

from qsm_recon.qsm import backend
from qsm_recon.qsm.compiling import jit_rows

Array = Any
Box = tuple[slice, slice, slice]
Voxel = tuple[float, float, float]


def distance_mm(target: Array, voxel_size_mm: Voxel, reach_mm: float) -> Array:
    """Distance of every voxel centre to the nearest voxel centre in `target`.

    Parameters
    ----------
    target
        (x, y, z) bool.
    voxel_size_mm
        Distance between voxel centres along x, y, z.
    reach_mm
        Distances beyond it are returned as infinity.

    Returns
    -------
    (x, y, z) float32, mm; 0 inside `target`.

    Raises
    ------
    ValueError
        Where `target` is no boolean volume or the reach is not a finite number >= 0.
    """
    if target.ndim != 3 or target.dtype != np.bool_:
        raise ValueError(f"a mask must be (x, y, z) bool, got {target.dtype} with {target.ndim} axes")
    if not (math.isfinite(reach_mm) and reach_mm >= 0):
        raise ValueError(f"reach_mm must be a finite number >= 0, got {reach_mm}")
    return _like(target, lambda host: _distance(host, voxel_size_mm, reach_mm))


def dilate(mask: Array, voxel_size_mm: Voxel, radius_mm: float) -> Array:
    """All voxels within `radius_mm` of `mask`; (x, y, z) bool."""

    def grow(host: Array) -> Array:
        box = bounding_box(host, voxel_size_mm, radius_mm)
        out = np.zeros_like(host)
        out[box] = distance_mm(host[box], voxel_size_mm, radius_mm) <= radius_mm
        return out

    return _like(mask, grow)


def erode(mask: Array, voxel_size_mm: Voxel, radius_mm: float) -> Array:
    """The voxels of `mask` farther than `radius_mm` from every voxel outside it; (x, y, z) bool.

    Beyond the field of view nothing is known, so its edge erodes nothing.
    """

    def shrink(host: Array) -> Array:
        box = bounding_box(host, voxel_size_mm, max(voxel_size_mm))
        out = np.zeros_like(host)
        # <= radius is removed: erosion of a mask is the complement of the dilation of its complement.
        out[box] = distance_mm(~host[box], voxel_size_mm, radius_mm) > radius_mm
        return out

    return _like(mask, shrink) if radius_mm > 0 else mask.copy()


def open_mask(mask: Array, voxel_size_mm: Voxel, radius_mm: float) -> Array:
    """Erosion then dilation: drops what is thinner than twice `radius_mm`; a subset of `mask`."""
    return dilate(erode(mask, voxel_size_mm, radius_mm), voxel_size_mm, radius_mm) & mask


def close_mask(mask: Array, voxel_size_mm: Voxel, radius_mm: float) -> Array:
    """Dilation then erosion: fills what is narrower than twice `radius_mm`; a superset of `mask`."""
    return erode(dilate(mask, voxel_size_mm, radius_mm), voxel_size_mm, radius_mm) | mask


def largest_component(mask: Array) -> Array:
    """The largest face-connected part of `mask` (the first one in memory order where two tie)."""

    def keep(host: Array) -> Array:
        labels, count = scipy.ndimage.label(host)
        if count <= 1:
            return host.copy()
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        sizes[0] = 0
        return labels == int(np.argmax(sizes))

    return _like(mask, keep)


def fill_holes(mask: Array) -> Array:
    """`mask` plus every cavity that no face-connected path joins to the edge of the volume."""

    def fill(host: Array) -> Array:
        if not host.any():
            return host.copy()
        box = bounding_box(host, (1.0, 1.0, 1.0), 1.0)
        labels, count = scipy.ndimage.label(~host[box])
        open_labels = np.zeros(count + 1, dtype=bool)
        for axis in range(3):
            for face in (0, -1):
                open_labels[np.unique(np.take(labels, face, axis=axis))] = True
        out = host.copy()
        out[box] |= ~open_labels[labels]
        return out

    return _like(mask, fill)


def bounding_box(mask: Array, voxel_size_mm: Voxel, margin_mm: float) -> Box:
    """Slices around `mask` and `margin_mm` more on each side, within the volume; empty slices for an empty mask."""
    host = backend.to_host(mask)
    slices = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        found = np.flatnonzero(host.any(axis=others))
        if found.size == 0:
            slices.append(slice(0, 0))
            continue
        margin = math.ceil(margin_mm / voxel_size_mm[axis])
        slices.append(slice(max(0, int(found[0]) - margin), min(host.shape[axis], int(found[-1]) + 1 + margin)))
    return slices[0], slices[1], slices[2]


def _like(mask: Array, work: Callable[[Array], Array]) -> Array:
    """`work` on the host, the result where `mask` was."""
    result = work(backend.to_host(mask))
    return backend.to_device(result) if backend.is_device_array(mask) else result


def _distance(target: Array, voxel: Voxel, reach: float) -> Array:
    """The three passes of the separable squared distance, each limited to the reach."""
    if target.size == 0:
        return np.zeros(target.shape, dtype=np.float32)
    # A hair more than the reach, so that a distance that equals it survives float32 rounding.
    limit = reach * (1 + 1e-5) + 1e-6
    windows = [int(limit / h) for h in voxel]
    first = np.empty(target.shape, dtype=np.float32)
    second = np.empty_like(first)
    _pass_z(target.shape[0], np.ascontiguousarray(target), np.float32(voxel[2]), windows[2], first)
    _pass_y(first.shape[0], first, np.float32(voxel[1]), windows[1], second)
    _pass_x(second.shape[0], second, np.float32(voxel[0]), windows[0], first)
    first[first > np.float32(limit) ** 2] = np.inf
    return np.sqrt(first, out=first)


@jit_rows
def _pass_z(low: int, high: int, target: Array, h: np.float32, window: int, out: Array) -> None:
    """Squared distance along z to the nearest target voxel at most `window` voxels away."""
    _, ny, nz = target.shape
    for x in range(low, high):
        for y in range(ny):
            last = -window - 1
            for z in range(nz):
                if target[x, y, z]:
                    last = z
                k = z - last
                out[x, y, z] = np.float32(k * k) * h * h if k <= window else np.float32(np.inf)
            last = nz + window
            for z in range(nz - 1, -1, -1):
                if target[x, y, z]:
                    last = z
                k = last - z
                if k <= window:
                    out[x, y, z] = min(out[x, y, z], np.float32(k * k) * h * h)


@jit_rows
def _pass_y(low: int, high: int, source: Array, h: np.float32, window: int, out: Array) -> None:
    """Minimum over y shifts of source + (shift h)^2."""
    _, ny, nz = source.shape
    for x in range(low, high):
        for y in range(ny):
            for z in range(nz):  # assigning slices takes two seconds to compile
                out[x, y, z] = source[x, y, z]
            for other in range(max(0, y - window), min(ny, y + window + 1)):
                step = np.float32((other - y) ** 2) * h * h
                for z in range(nz):
                    out[x, y, z] = min(out[x, y, z], source[x, other, z] + step)


@jit_rows
def _pass_x(low: int, high: int, source: Array, h: np.float32, window: int, out: Array) -> None:
    """Minimum over x shifts of source + (shift h)^2."""
    nx, ny, nz = source.shape
    for x in range(low, high):
        for y in range(ny):
            for z in range(nz):
                out[x, y, z] = source[x, y, z]
            for other in range(max(0, x - window), min(nx, x + window + 1)):
                step = np.float32((other - x) ** 2) * h * h
                for z in range(nz):
                    out[x, y, z] = min(out[x, y, z], source[other, y, z] + step)
