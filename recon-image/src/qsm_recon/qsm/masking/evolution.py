"""The surface that inflates until it meets the skull (Smith 2002, doi:10.1002/hbm.10062)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from qsm_recon.qsm.compiling import jit
from qsm_recon.qsm.masking.surface import enclosed_volume
from qsm_recon.qsm.progress import Progress, silent

Array = Any

ITERATIONS_PER_ROUND = 50
"""Between two updates of the mean edge length."""
RESTING = 5e-4
"""The surface rests when its volume changes by less than this share in two rounds running. A fixed count stops some
heads half grown: growth is slow where the image is dark inside, and then nothing looks wrong but the result."""
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
    until_rest: bool = True,
    progress: Progress = silent,
) -> tuple[Array, bool]:
    """Move the vertices until the surface rests.

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
        Steps to take at most.
    until_rest
        False takes them all.
    progress
        Called with the fraction done; may raise to cancel.

    Returns
    -------
    vertices_mm
        (n, 3) float64.
    rested
        Whether the surface came to rest.
    """
    vertices = np.array(vertices_mm, dtype=np.float64)
    voxel = np.asarray(voxel_size_mm, dtype=np.float64)
    steps = np.array(
        [levels.low, levels.foreground, levels.median, levels.fraction, profiles.step_mm], dtype=np.float64
    )
    dark = 1 + int(profiles.dark_mm / profiles.step_mm)
    bright = 1 + int(profiles.bright_mm / profiles.step_mm)
    done, quiet_rounds, volume = 0, 0, enclosed_volume(vertices, triangles)
    while done < iterations:
        count = min(ITERATIONS_PER_ROUND, iterations - done)
        _move(image, voxel, vertices, triangles, neighbours, steps, dark, bright, count)
        done += count
        progress(done / iterations)
        before, volume = volume, enclosed_volume(vertices, triangles)
        quiet_rounds = quiet_rounds + 1 if abs(volume - before) < RESTING * abs(volume) else 0
        if until_rest and quiet_rounds == 2:
            break
    return vertices, quiet_rounds >= 2


@jit
def _move(
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
    """Advance `vertices` in place."""
    length = _mean_edge(vertices, neighbours)
    normals = np.empty_like(vertices)
    moved = np.empty_like(vertices)
    pushes = np.empty(vertices.shape[0])
    for _ in range(iterations):
        _vertex_normals(vertices, triangles, normals)
        _push(image, voxel, vertices, normals, steps, dark, bright, pushes)
        _shift(vertices, normals, neighbours, length, pushes, moved)
        for axis in range(3):
            last = (image.shape[axis] - 1) * voxel[axis] + BEYOND_VIEW_MM
            for v in range(vertices.shape[0]):
                vertices[v, axis] = min(max(moved[v, axis], -BEYOND_VIEW_MM), last)


@jit
def _push(
    image: Array,
    voxel: Array,
    vertices: Array,
    normals: Array,
    steps: Array,
    dark: int,
    bright: int,
    pushes: Array,
) -> None:
    """How strongly the image drives each vertex outward: positive over tissue, negative where it is dark inside.

    Beyond the volume its edge voxels go on.
    """
    low, foreground, median, fraction, spacing = steps
    mx, my, mz = image.shape
    last_x, last_y, last_z = mx - 1.0, my - 1.0, mz - 1.0
    # Indices without sign: for others the compiler asks at each look whether they count from the end.
    flat, none = image.reshape(-1), np.uint64(0)
    step_x, step_y, step_z = np.uint64(my * mz), np.uint64(mz), np.uint64(1)
    for n in range(vertices.shape[0]):
        darkest, brightest = median, foreground
        x, y, z = vertices[n, 0] / voxel[0], vertices[n, 1] / voxel[1], vertices[n, 2] / voxel[2]
        dx = spacing * normals[n, 0] / voxel[0]
        dy = spacing * normals[n, 1] / voxel[1]
        dz = spacing * normals[n, 2] / voxel[2]
        for k in range(dark):
            u = min(max(x - k * dx, 0.0), last_x)
            v = min(max(y - k * dy, 0.0), last_y)
            w = min(max(z - k * dz, 0.0), last_z)
            i, j, m = int(u), int(v), int(w)
            a, b, c = np.float32(u - i), np.float32(v - j), np.float32(w - m)
            at = np.uint64((i * my + j) * mz + m)
            to_y = step_y if j + 1 < my else none
            to_z = step_z if m + 1 < mz else none
            near, near_y = flat[at], flat[at + to_y]
            near += c * (flat[at + to_z] - near)
            near_y += c * (flat[at + to_y + to_z] - near_y)
            near += b * (near_y - near)
            at += step_x if i + 1 < mx else none
            far, far_y = flat[at], flat[at + to_y]
            far += c * (flat[at + to_z] - far)
            far_y += c * (flat[at + to_y + to_z] - far_y)
            far += b * (far_y - far)
            value = near + a * (far - near)
            darkest = min(darkest, value)
            if k < bright:
                brightest = max(brightest, value)
        darkest = max(darkest, low)
        brightest = min(brightest, median)
        local = low + (brightest - low) * fraction
        pushes[n] = (darkest - local) / (brightest - low)


@jit
def _shift(vertices: Array, normals: Array, neighbours: Array, length: float, pushes: Array, moved: Array) -> None:
    """New positions: along the surface towards the neighbours' mean, across it by smoothing and by the push."""
    strength = 6 / (1 / SMALLEST_RADIUS_MM - 1 / LARGEST_RADIUS_MM)
    middle = (1 / SMALLEST_RADIUS_MM + 1 / LARGEST_RADIUS_MM) / 2
    for v in range(vertices.shape[0]):
        nx, ny, nz = normals[v, 0], normals[v, 1], normals[v, 2]
        mx, my, mz, count = 0.0, 0.0, 0.0, 0
        for k in range(6):
            other = neighbours[v, k]
            if other >= 0:
                mx += vertices[other, 0]
                my += vertices[other, 1]
                mz += vertices[other, 2]
                count += 1
        dx = mx / count - vertices[v, 0]
        dy = my / count - vertices[v, 1]
        dz = mz / count - vertices[v, 2]
        along = dx * nx + dy * ny + dz * nz
        # Bent tightly: smooth fully. Nearly flat: leave it.
        curvature = 2 * abs(along) / (length * length)
        smoothing = 1 / (1 + np.exp(-2 * strength * (curvature - middle)))
        out = (smoothing - 0.5) * along + 0.1 * length * pushes[v]
        moved[v, 0] = vertices[v, 0] + 0.5 * dx + out * nx
        moved[v, 1] = vertices[v, 1] + 0.5 * dy + out * ny
        moved[v, 2] = vertices[v, 2] + 0.5 * dz + out * nz


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
    for v in range(normals.shape[0]):
        for axis in range(3):
            normals[v, axis] = 0.0
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux = vertices[b, 0] - vertices[a, 0]
        uy = vertices[b, 1] - vertices[a, 1]
        uz = vertices[b, 2] - vertices[a, 2]
        wx = vertices[c, 0] - vertices[a, 0]
        wy = vertices[c, 1] - vertices[a, 1]
        wz = vertices[c, 2] - vertices[a, 2]
        cx, cy, cz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
        for v in (a, b, c):
            normals[v, 0] += cx
            normals[v, 1] += cy
            normals[v, 2] += cz
    for v in range(normals.shape[0]):
        size = np.sqrt(normals[v, 0] * normals[v, 0] + normals[v, 1] * normals[v, 1] + normals[v, 2] * normals[v, 2])
        if size > 0:
            normals[v, 0] /= size
            normals[v, 1] /= size
            normals[v, 2] /= size
