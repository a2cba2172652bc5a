"""The surface that inflates until it meets the skull (Smith 2002, doi:10.1002/hbm.10062)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from qsm_recon.qsm.compiling import jit
from qsm_recon.qsm.progress import Progress, silent

Array = Any

ITERATIONS_PER_ROUND = 50
"""Between two updates of the mean edge length."""
LARGEST_RADIUS_MM = 10.0
SMALLEST_RADIUS_MM = 3.33
"""Smoothing is full where the surface is bent tighter than the smallest and slight where flatter than the largest
radius of curvature (the values of the paper)."""
BEYOND_VIEW_MM = 10.0
"""How far the surface may leave the volume, where the image is continued by its edge voxels."""


@dataclass(frozen=True)
class Levels:
    """Intensities that steer the surface."""

    low: float
    """Darkest value to believe (2 % of the foreground's range)."""
    foreground: float
    """Between background and tissue."""
    median: float
    """Median of the tissue inside the starting estimate."""
    fraction: float
    """Local threshold as a share of the local maximum, 0 to 1; already raised to the power .275 of BET2."""


@dataclass(frozen=True)
class Profiles:
    """How far inward the surface looks for dark and for bright."""

    dark_mm: float
    bright_mm: float
    step_mm: float


def evolve(
    image: Array,
    voxel_size_mm: tuple[float, float, float],
    vertices_mm: Array,
    triangles: Array,
    neighbours: Array,
    *,
    levels: Levels,
    profiles: Profiles,
    iterations: int,
    progress: Progress = silent,
) -> Array:
    """Move the vertices `iterations` times; returns the new (n, 3) positions in mm.

    Parameters
    ----------
    image
        (x, y, z) float32, smoothed and flattened.
    voxel_size_mm
        Distance between voxel centres; the origin is the centre of voxel (0, 0, 0).
    vertices_mm, triangles, neighbours
        The mesh to start from (`surface.icosphere`).
    levels, profiles
        What to look for, and where.
    iterations
        Steps to take.
    progress
        Called with the fraction done; may raise to cancel.
    """
    vertices = np.array(vertices_mm, dtype=np.float64)
    voxel = np.asarray(voxel_size_mm, dtype=np.float64)
    steps = np.array(
        [levels.low, levels.foreground, levels.median, levels.fraction, profiles.step_mm], dtype=np.float64
    )
    dark = 1 + int(profiles.dark_mm / profiles.step_mm)
    bright = 1 + int(profiles.bright_mm / profiles.step_mm)
    done = 0
    while done < iterations:
        count = min(ITERATIONS_PER_ROUND, iterations - done)
        _move(image, voxel, vertices, triangles, neighbours, steps, dark, bright, count)
        done += count
        progress(done / iterations)
    return vertices


@jit
def _move(  # noqa: PLR0917 - compiled kernels take plain arrays, and all of them by position
    image: Array,
    voxel: Array,
    vertices: Array,
    triangles: Array,
    neighbours: Array,
    steps: Array,
    dark: int,
    bright: int,
    iterations: int,
) -> None:
    """Advance `vertices` in place; every vertex is moved from the same old positions."""
    n = vertices.shape[0]
    low, foreground, median, fraction, spacing = steps
    strength = 6 / (1 / SMALLEST_RADIUS_MM - 1 / LARGEST_RADIUS_MM)
    middle = (1 / SMALLEST_RADIUS_MM + 1 / LARGEST_RADIUS_MM) / 2
    length = _mean_edge(vertices, neighbours)
    normals = np.empty_like(vertices)
    moved = np.empty_like(vertices)
    for _ in range(iterations):
        _vertex_normals(vertices, triangles, normals)
        for v in range(n):
            nx, ny, nz = normals[v]
            px, py, pz = vertices[v]
            mx, my, mz, count = 0.0, 0.0, 0.0, 0
            for k in range(6):
                other = neighbours[v, k]
                if other >= 0:
                    mx += vertices[other, 0]
                    my += vertices[other, 1]
                    mz += vertices[other, 2]
                    count += 1
            dx, dy, dz = mx / count - px, my / count - py, mz / count - pz
            along = dx * nx + dy * ny + dz * nz
            # Bent tightly: smooth fully. Nearly flat: leave it.
            curvature = 2 * abs(along) / (length * length)
            smoothing = 0.5 * (1 + np.tanh(strength * (curvature - middle)))
            darkest, brightest = median, foreground
            for k in range(dark):
                value = _sample(image, voxel, px - k * spacing * nx, py - k * spacing * ny, pz - k * spacing * nz)
                darkest = min(darkest, value)
                if k < bright:
                    brightest = max(brightest, value)
            darkest = max(darkest, low)
            brightest = min(brightest, median)
            local = low + (brightest - low) * fraction
            push = 0.1 * length * (darkest - local) / (brightest - low)
            out = smoothing * along + push - 0.5 * along
            moved[v, 0] = px + 0.5 * dx + out * nx
            moved[v, 1] = py + 0.5 * dy + out * ny
            moved[v, 2] = pz + 0.5 * dz + out * nz
        for axis in range(3):
            last = (image.shape[axis] - 1) * voxel[axis] + BEYOND_VIEW_MM
            for v in range(n):
                vertices[v, axis] = min(max(moved[v, axis], -BEYOND_VIEW_MM), last)


@jit
def _mean_edge(vertices: Array, neighbours: Array) -> float:
    """Mean distance between neighbours in mm."""
    total, count = 0.0, 0
    for v in range(vertices.shape[0]):
        for k in range(6):
            other = neighbours[v, k]
            if other >= 0:
                total += np.sqrt(
                    (vertices[v, 0] - vertices[other, 0]) ** 2
                    + (vertices[v, 1] - vertices[other, 1]) ** 2
                    + (vertices[v, 2] - vertices[other, 2]) ** 2
                )
                count += 1
    return float(total / count)


@jit
def _vertex_normals(vertices: Array, triangles: Array, normals: Array) -> None:
    """Outward unit normals: the area-weighted sum over the triangles around each vertex."""
    normals[:] = 0
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t]
        ux = vertices[b, 0] - vertices[a, 0]
        uy = vertices[b, 1] - vertices[a, 1]
        uz = vertices[b, 2] - vertices[a, 2]
        wx = vertices[c, 0] - vertices[a, 0]
        wy = vertices[c, 1] - vertices[a, 1]
        wz = vertices[c, 2] - vertices[a, 2]
        cx, cy, cz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
        for k in range(3):
            v = triangles[t, k]
            normals[v, 0] += cx
            normals[v, 1] += cy
            normals[v, 2] += cz
    for v in range(normals.shape[0]):
        size = np.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2)
        if size > 0:
            normals[v] /= size


@jit
def _sample(image: Array, voxel: Array, x: float, y: float, z: float) -> float:
    """`image` interpolated linearly at a point in mm; beyond the volume its edge voxels go on."""
    mx, my, mz = image.shape
    u = min(max(x / voxel[0], 0.0), mx - 1.0)
    v = min(max(y / voxel[1], 0.0), my - 1.0)
    w = min(max(z / voxel[2], 0.0), mz - 1.0)
    i, j, k = int(u), int(v), int(w)
    i1, j1, k1 = min(i + 1, mx - 1), min(j + 1, my - 1), min(k + 1, mz - 1)
    a, b, c = u - i, v - j, w - k
    near = (1 - b) * ((1 - c) * image[i, j, k] + c * image[i, j, k1]) + b * (
        (1 - c) * image[i, j1, k] + c * image[i, j1, k1]
    )
    far = (1 - b) * ((1 - c) * image[i1, j, k] + c * image[i1, j, k1]) + b * (
        (1 - c) * image[i1, j1, k] + c * image[i1, j1, k1]
    )
    return float((1 - a) * near + a * far)
