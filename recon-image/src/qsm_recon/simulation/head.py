"""Tissue at any point of the digital head: one compiled function, sampled on whatever grid the scanner uses."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qsm_recon.qsm.compiling import jit, jit_parallel, parallel_range
from qsm_recon.simulation.anatomy import Anatomy, Label

_CSF, _GM, _WM = int(Label.CSF), int(Label.GREY_MATTER), int(Label.WHITE_MATTER)
_VEIN, _SCALP, _BONE, _AIR, _OUT = (
    int(Label.VEIN),
    int(Label.SCALP),
    int(Label.BONE),
    int(Label.AIR),
    int(Label.OUTSIDE),
)
_COVER, _SINUS = int(Label.OUTER_FLUID), int(Label.SINUS)


@dataclass(frozen=True)
class Tissue:
    """The head on a grid; every array (x, y, z)."""

    labels: NDArray[np.uint8]
    chi_ppm: NDArray[np.float32]
    """Susceptibility, texture included; air 9.4, fluid 0."""


@jit
def _ellipsoid(x: float, y: float, z: float, a: float, b: float, c: float) -> float:
    """Distance in mm to the surface of an ellipsoid, to first order; negative inside."""
    k0 = math.sqrt((x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2)
    k1 = math.sqrt((x / (a * a)) ** 2 + (y / (b * b)) ** 2 + (z / (c * c)) ** 2)
    if k1 < 1e-9:
        return -min(a, b, c)
    return k0 * (k0 - 1.0) / k1


@jit
def _union(d: float, e: float, width: float) -> float:
    """Smooth minimum of two distances."""
    h = max(width - abs(d - e), 0.0) / width
    return min(d, e) - h * h * width * 0.25


@jit
def _brain_distance(x: float, y: float, z: float) -> float:
    """Distance to the brain's outer cover in mm, negative inside: cerebrum, temporal lobes, cerebellum, stem."""
    cerebrum = max(_ellipsoid(x, y, z - 4.0, 67.0, 85.0, 61.0), -(z + 22.0 + 0.12 * (y + 20.0)))
    d = _union(cerebrum, _ellipsoid(abs(x) - 40.0, y + 12.0, z + 24.0, 21.0, 37.0, 20.0), 6.0)
    d = _union(d, _ellipsoid(x, y - 50.0, z + 36.0, 50.0, 31.0, 25.0), 6.0)
    axis = 14.0 - 0.10 * (z + 20.0)  # the stem leans back on its way down
    stem = max(math.sqrt(x * x + (y - axis - 6.0) ** 2) - 13.0 - 0.06 * z, z - 0.0, -90.0 - z)
    return _union(d, stem, 8.0)


@jit
def _wave_sum(x: float, y: float, z: float, waves: NDArray[np.float32]) -> float:
    total = 0.0
    for w in range(waves.shape[0]):
        total += waves[w, 4] * math.sin(waves[w, 0] * x + waves[w, 1] * y + waves[w, 2] * z + waves[w, 3])
    return total


@jit
def _outer_label(x: float, y: float, z: float, d: float, cavities: NDArray[np.float32]) -> int:
    """Scalp, bone or air at distance `d` > 0 outside the brain."""
    if d > 1.8:  # a thin cover always separates air from brain
        for c in range(cavities.shape[0]):
            if (
                _ellipsoid(
                    x - cavities[c, 0],
                    y - cavities[c, 1],
                    z - cavities[c, 2],
                    cavities[c, 3],
                    cavities[c, 4],
                    cavities[c, 5],
                )
                < 0
            ):
                return _AIR
    sinus = math.sqrt((d - 2.6) ** 2 + x * x)
    if sinus < 2.8 and z > 5.0 and d > 0:
        return _SINUS
    if d < 1.5:
        return _COVER
    if d < 7.5:
        return _BONE
    face = _ellipsoid(x, y + 38.0, z + 62.0, 56.0, 58.0, 50.0)
    neck = max(math.sqrt(x * x + (y - 14.0) ** 2) - 57.0, z + 30.0)
    if d < 14.0 or face < 0 or neck < 0:
        return _SCALP
    return _OUT


@jit
def _inner_label(
    x: float, y: float, z: float, depth: float, folds: NDArray[np.float32], inner: NDArray[np.float32]
) -> int:
    """Brain tissue at `depth` mm beneath the cover."""
    label = _WM
    # folds belong to the cerebrum: towards its base they fade out, the cerebellum has a thin plain cortex here
    folded = min(max((z + 24.0) / 14.0, 0.0), 1.0)
    fold = abs(_wave_sum(x, y, z, folds)) if depth < 17.0 else 9.0
    fissure = abs(x) < 4.2 and depth < 30.0 and z > 2.0
    if depth < 4.0 or fold < 0.55 * folded or fissure:
        label = _GM
    if depth < 0.9 or (fold < 0.14 * folded and depth < 14.0) or (abs(x) < 1.1 and fissure):
        label = _CSF
    for n in range(inner.shape[0]):
        dx, dy, dz = x - inner[n, 1], y - inner[n, 2], z - inner[n, 3]
        u = inner[n, 7] * dx + inner[n, 8] * dy
        v = -inner[n, 8] * dx + inner[n, 7] * dy
        if (u / inner[n, 4]) ** 2 + (v / inner[n, 5]) ** 2 + (dz / inner[n, 6]) ** 2 <= 1.0:
            label = int(inner[n, 0])
    return label


@jit_parallel
def _sample(
    affine: NDArray[np.float64],
    scale: NDArray[np.float32],
    inner: NDArray[np.float32],
    cavities: NDArray[np.float32],
    chi_of: NDArray[np.float32],
    folds: NDArray[np.float32],
    texture: NDArray[np.float32],
    labels: NDArray[np.uint8],
    chi: NDArray[np.float32],
) -> None:
    nx, ny, nz = labels.shape
    for i in parallel_range(nx):
        for j in range(ny):
            for k in range(nz):
                x = (affine[0, 0] * i + affine[0, 1] * j + affine[0, 2] * k + affine[0, 3]) / scale[0]
                y = (affine[1, 0] * i + affine[1, 1] * j + affine[1, 2] * k + affine[1, 3]) / scale[1]
                z = (affine[2, 0] * i + affine[2, 1] * j + affine[2, 2] * k + affine[2, 3]) / scale[2]
                d = _brain_distance(x, y, z)
                if d > 0:
                    label = _outer_label(x, y, z, d, cavities)
                    value = chi_of[label]
                else:
                    label = _inner_label(x, y, z, -d, folds, inner)
                    value = chi_of[label]
                    if label in (_GM, _WM):
                        value += 0.006 * _wave_sum(x, y, z, texture)
                    elif label > _WM and label < _VEIN:
                        value *= 1.0 + 0.08 * _wave_sum(x, y, z, texture)
                labels[i, j, k] = label
                chi[i, j, k] = value


@jit
def _stamp(
    points: NDArray[np.float64],
    radius: NDArray[np.float32],
    spacing: NDArray[np.float64],
    vein_chi: float,
    labels: NDArray[np.uint8],
    chi: NDArray[np.float32],
) -> None:
    """Mark every voxel whose centre lies within `radius` of a vein point, inside the brain only."""
    for p in range(points.shape[0]):
        lo0 = max(0, math.ceil(points[p, 0] - radius[p] / spacing[0]))
        hi0 = min(labels.shape[0] - 1, math.floor(points[p, 0] + radius[p] / spacing[0]))
        lo1 = max(0, math.ceil(points[p, 1] - radius[p] / spacing[1]))
        hi1 = min(labels.shape[1] - 1, math.floor(points[p, 1] + radius[p] / spacing[1]))
        lo2 = max(0, math.ceil(points[p, 2] - radius[p] / spacing[2]))
        hi2 = min(labels.shape[2] - 1, math.floor(points[p, 2] + radius[p] / spacing[2]))
        for i in range(lo0, hi0 + 1):
            for j in range(lo1, hi1 + 1):
                for k in range(lo2, hi2 + 1):
                    a = (i - points[p, 0]) * spacing[0]
                    b = (j - points[p, 1]) * spacing[1]
                    c = (k - points[p, 2]) * spacing[2]
                    near = a * a + b * b + c * c <= radius[p] * radius[p]
                    if near and labels[i, j, k] >= _CSF and labels[i, j, k] <= _VEIN and chi[i, j, k] < 1.0:
                        labels[i, j, k] = _VEIN
                        chi[i, j, k] = vein_chi


def sample_head(person: Anatomy, affine_lps_mm: NDArray[np.float64], shape: tuple[int, int, int]) -> Tissue:
    """The head of `person` at the voxel centres of a grid.

    Parameters
    ----------
    person
        Whose head.
    affine_lps_mm
        4x4, voxel index to patient LPS mm.
    shape
        Number of voxels (x, y, z).
    """
    labels = np.empty(shape, dtype=np.uint8)
    chi = np.empty(shape, dtype=np.float32)
    chi_of = np.ascontiguousarray(person.tissue[:, 0])
    affine = np.ascontiguousarray(affine_lps_mm, dtype=np.float64)
    _sample(affine, person.scale, person.inner, person.cavities, chi_of, person.folds, person.texture, labels, chi)
    patient = person.veins[:, :3].astype(np.float64) * person.scale
    index = (patient - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    # a vein thinner than the grid still occupies the voxels it passes through
    radius = np.maximum(person.veins[:, 3], np.float32(0.5 * spacing.min()))
    _stamp(index, radius, spacing, float(chi_of[_VEIN]), labels, chi)
    return Tissue(labels, chi)
