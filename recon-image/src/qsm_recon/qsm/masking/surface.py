"""A closed triangle mesh: the icosphere it starts as, and the voxels it encloses at the end."""

from functools import lru_cache
from typing import Any

import numpy as np

from qsm_recon.qsm.compiling import jit

Array = Any


@lru_cache(maxsize=4)
def icosphere(subdivisions: int) -> tuple[Array, Array, Array]:
    """Unit sphere from an icosahedron split `subdivisions` times (4 gives 2562 vertices).

    Returns
    -------
    vertices
        (n, 3) float64 of unit length.
    triangles
        (m, 3) int32, counter-clockwise seen from outside.
    neighbours
        (n, 6) int32; the twelve vertices with five neighbours end in -1.
    """
    golden = (1 + 5**0.5) / 2
    points = [(0.0, s, t * golden) for s in (-1.0, 1.0) for t in (-1.0, 1.0)]
    vertices = np.concatenate([np.roll(np.asarray(points), shift, axis=1) for shift in range(3)])
    squared = ((vertices[:, None] - vertices[None]) ** 2).sum(-1)
    near = np.isclose(squared, 4.0)
    triangles = [
        (i, j, k) for i in range(12) for j in range(i) for k in range(j) if near[i, j] and near[j, k] and near[i, k]
    ]
    # Orient outward once; splitting keeps the orientation.
    faces = np.asarray([t if np.linalg.det(vertices[list(t)]) > 0 else t[::-1] for t in triangles], dtype=np.int64)
    for _ in range(subdivisions):
        unique, index = _edges(faces)
        middle = index.reshape(3, -1) + len(vertices)
        vertices = np.concatenate([vertices, vertices[unique].mean(axis=1)])
        a, b, c = faces.T
        ab, bc, ca = middle
        quarters = [(a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca)]
        faces = np.concatenate([np.stack(q, axis=1) for q in quarters])
    vertices /= np.linalg.norm(vertices, axis=1, keepdims=True)
    neighbours = np.full((len(vertices), 6), -1, dtype=np.int32)
    filled = np.zeros(len(vertices), dtype=np.int64)
    for start, end in np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).tolist():
        neighbours[start, filled[start]] = end
        filled[start] += 1
    out = vertices, faces.astype(np.int32), neighbours
    for array in out:
        array.setflags(write=False)
    return out


def split(vertices: Array, triangles: Array) -> Array:
    """Vertices with the middle of each edge: of an `icosphere` moved anywhere, those of the one split once more."""
    edges, _ = _edges(triangles)
    return np.concatenate([vertices, vertices[edges].mean(axis=1)])


def _edges(triangles: Array) -> tuple[Array, Array]:
    """Edges as pairs of vertices, each once, and which one each side of each triangle is."""
    sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    return np.unique(np.sort(sides, axis=1), axis=0, return_inverse=True)


def enclosed_voxels(
    vertices_mm: Array, triangles: Array, shape: tuple[int, int, int], voxel_size_mm: tuple[float, float, float]
) -> Array:
    """Voxels whose centre the mesh winds around; (x, y, z) bool.

    Every triangle adds its orientation where the line along z through a voxel column pierces it; the running sum
    is the winding number. A mesh that crosses itself is no trouble, and no flood fill can leak.

    Parameters
    ----------
    vertices_mm
        (n, 3) with the origin at the centre of voxel (0, 0, 0).
    triangles
        (m, 3) indices of a closed mesh.
    shape, voxel_size_mm
        The grid to fill.
    """
    nx, ny, nz = shape
    crossings = np.zeros((nx, ny, nz + 1), dtype=np.int8)
    _count_crossings(np.asarray(vertices_mm / np.asarray(voxel_size_mm), dtype=np.float64), triangles, crossings)
    winding = np.cumsum(crossings, axis=2, dtype=np.int8)[:, :, :nz]
    return winding != 0


def enclosed_volume(vertices: Array, triangles: Array) -> float:
    """Volume inside a closed mesh (divergence theorem), in the cube of the vertices' unit."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


@jit
def _edge(start: Array, end: Array, x: float, y: float) -> float:
    """Twice the signed area of (start, end, column), negated exactly when start and end change places."""
    if (start[0], start[1]) < (end[0], end[1]):
        return float((end[0] - start[0]) * (y - start[1]) - (end[1] - start[1]) * (x - start[0]))
    return float(-((start[0] - end[0]) * (y - end[1]) - (start[1] - end[1]) * (x - end[0])))


@jit
def _count_crossings(points: Array, triangles: Array, crossings: Array) -> None:
    """Add +1 where a column enters the mesh and -1 where it leaves, at the first voxel behind the crossing."""
    nx, ny, slots = crossings.shape
    for t in range(triangles.shape[0]):
        a, b, c = points[triangles[t, 0]], points[triangles[t, 1]], points[triangles[t, 2]]
        x0 = max(0, int(np.ceil(min(a[0], b[0], c[0]))))
        x1 = min(nx - 1, int(np.floor(max(a[0], b[0], c[0]))))
        y0 = max(0, int(np.ceil(min(a[1], b[1], c[1]))))
        y1 = min(ny - 1, int(np.floor(max(a[1], b[1], c[1]))))
        for x in range(x0, x1 + 1):
            for y in range(y0, y1 + 1):
                # A column through an edge or corner belongs to exactly one of the triangles there: zero counts as
                # positive, and the two triangles see the shared edge with exactly opposite signs.
                wa = _edge(b, c, x, y)
                wb = _edge(c, a, x, y)
                wc = _edge(a, b, x, y)
                up = _inside(wa, b, c) and _inside(wb, c, a) and _inside(wc, a, b)
                down = _inside(-wa, c, b) and _inside(-wb, a, c) and _inside(-wc, b, a)
                if not (up or down):
                    continue
                height = (wa * a[2] + wb * b[2] + wc * c[2]) / (wa + wb + wc)
                slot = min(max(int(np.ceil(height)), 0), slots - 1)
                # Upward faces are the top of the object: the column leaves there.
                crossings[x, y, slot] += -1 if up else 1


@jit
def _inside(w: float, start: Array, end: Array) -> bool:
    """Whether a column with edge value `w` is on the inner side; ties go to one direction of the edge."""
    if w != 0:
        return bool(w > 0)
    return bool((start[0], start[1]) < (end[0], end[1]))
