"""Poisson's equation inside a region of any shape, zero outside it, by multigrid.

The operator is minus the 7-point Laplacian between voxels of the region; every voxel outside is held at 0. A coarser
grid joins two voxels along each axis (only along those with the shortest voxels while these differ by much, so
that 1 x 1 x 3 mm is no harder than cubes). What joins two coarse voxels is what joined their fine ones, so the coarse
grids feel the shape of the region although their voxels stick out of it.

One V-cycle is symmetric and positive: it serves as the preconditioner of conjugate gradients, which make up for what
the coarse grids get wrong at the border.

References
----------
Briggs, Henson and McCormick, A Multigrid Tutorial, SIAM 2000, doi:10.1137/1.9780898719505; McAdams, Sifakis and
Teran, SCA 2010, doi:10.2312/SCA/SCA10/065-073 (multigrid as the preconditioner, any region).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from qsm_recon.qsm import backend
from qsm_recon.qsm.blocks import Factors
from qsm_recon.qsm.compiling import jit_rows

Array = Any
Triple = tuple[float, float, float]

ANISOTROPY = 1.5
"""Axes whose voxels are this many times longer than the shortest wait until the others have caught up."""

FEWEST = 4
"""An axis of fewer voxels is not made coarser."""

LAST_SWEEPS = 8
"""Double sweeps on the coarsest grid."""


@dataclass(frozen=True)
class Level:
    """The operator on one grid."""

    links: Array
    """(3, x, y, z) float32, 1/mm^2: what joins a voxel with the next along each axis; 0 where one is outside."""
    diagonal: Array
    """(x, y, z) float32: sum of all that joins a voxel with others and with the border; 0 outside the region."""


class Poisson:
    """The operator in one region, and its V-cycle."""

    def __init__(self, region: Array, voxel_size_mm: Triple) -> None:
        xp = backend.namespace(region)
        links = xp.zeros((3, *region.shape), dtype=xp.float32)
        border = xp.zeros((3, *region.shape), dtype=xp.float32)
        for axis, h in enumerate(voxel_size_mm):
            lower, upper = ends(axis)
            conductance = np.float32(1 / h**2)
            links[axis][lower] = conductance * (region[lower] & region[upper])
            border[axis] = 2 * conductance * region
            border[axis] -= _both_sides(links[axis], axis)
        self.levels = [Level(links, _diagonal(links, border, 1.0))]
        self.factors: list[Factors] = []
        sizes = voxel_size_mm
        while (by := _factors(region.shape, sizes)) != (1, 1, 1):
            links, border = _coarser(links, border, by)
            hx, hy, hz = (h * f for h, f in zip(sizes, by, strict=True))
            sizes = hx, hy, hz
            self.factors.append(by)
            # A coarse voxel's centre is nearer to the border than two of them are to each other.
            nearer = 2 / (1 + max(h / c for h, c in zip(voxel_size_mm, sizes, strict=True)))
            self.levels.append(Level(links, _diagonal(links, border, nearer)))
            region = self.levels[-1].diagonal

    def apply(self, x: Array) -> Array:
        """Minus the Laplacian of `x`; both are 0 outside the region."""
        return residual(self.levels[0], x, None)

    def cycle(self, right: Array) -> Array:
        """About the solution for `right`: one V-cycle from zero."""
        return self._cycle(0, right)

    def _cycle(self, depth: int, right: Array) -> Array:
        level = self.levels[depth]
        x = backend.namespace(right).zeros_like(right)
        if depth == len(self.factors):
            for colour in (0, 1, 1, 0) * LAST_SWEEPS:
                relax(level, x, right, colour)
            return x
        relax(level, x, right, 0)
        relax(level, x, right, 1)
        coarse = restrict(residual(level, x, right), self.factors[depth])
        step = prolong(self._cycle(depth + 1, coarse), self.factors[depth], right.shape)
        step *= level.diagonal > 0
        x += step
        relax(level, x, right, 1)
        relax(level, x, right, 0)
        return x


def _diagonal(links: Array, border: Array, nearer: float) -> Array:
    total = np.float32(nearer) * border.sum(axis=0)
    for axis in range(3):
        total += _both_sides(links[axis], axis)
    return total


def _both_sides(links: Array, axis: int) -> Array:
    """Link to the next voxel plus link to the one before; the last has no next."""
    return links + backend.namespace(links).roll(links, 1, axis)


def ends(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Index of every voxel but the last, and of every voxel but the first, along `axis`."""
    lower = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
    upper = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
    return lower, upper


def _factors(shape: tuple[int, ...], voxel_size_mm: Triple) -> Factors:
    """By how much each axis is made coarser: 2 where voxels are among the shortest and there are enough."""
    long_enough = [h for h, n in zip(voxel_size_mm, shape, strict=True) if n >= FEWEST]
    limit = ANISOTROPY * min(long_enough, default=0.0)
    x, y, z = (2 if n >= FEWEST and h < limit else 1 for h, n in zip(voxel_size_mm, shape, strict=True))
    return x, y, z


def _coarser(links: Array, border: Array, by: Factors) -> tuple[Array, Array]:
    """What joins blocks: the links that cross from one to the next, over the longer way."""
    joined, held = [], []
    for axis, factor in enumerate(by):
        crossing = _even(links[axis], by)
        if factor == 2:
            crossing = crossing[tuple(slice(1, None, 2) if a == axis else slice(None) for a in range(3))]
        x, y, z = (1 if a == axis else f for a, f in enumerate(by))
        joined.append(_block_sum(crossing, (x, y, z)) / np.float32(factor))
        held.append(_block_sum(_even(border[axis], by), by) / np.float32(factor))
    xp = backend.namespace(links)
    return xp.stack(joined), xp.stack(held)


def _even(volume: Array, by: Factors) -> Array:
    """`volume` with an empty plane more along axes that are to be halved and are odd."""
    more = [(0, n % f) for n, f in zip(volume.shape, by, strict=True)]
    return backend.namespace(volume).pad(volume, more) if any(m for _, m in more) else volume


def _block_sum(volume: Array, by: Factors) -> Array:
    nx, ny, nz = (n // f for n, f in zip(volume.shape, by, strict=True))
    fx, fy, fz = by
    return volume.reshape(nx, fx, ny, fy, nz, fz).sum(axis=(1, 3, 5))


def prolong(coarse: Array, by: Factors, shape: tuple[int, int, int]) -> Array:
    """`coarse` on the finer grid of `shape`, linear between centres; 0 beyond the grid."""
    xp = backend.namespace(coarse)
    for axis, factor in enumerate(by):
        if factor == 1:
            continue
        lower, upper = ends(axis)
        size = list(coarse.shape)
        size[axis] *= 2
        fine = xp.empty(size, dtype=coarse.dtype)
        first, second = (fine[tuple(slice(s, None, 2) if a == axis else slice(None) for a in range(3))] for s in (0, 1))
        near, far = coarse * np.float32(0.75), coarse * np.float32(0.25)
        first[...] = near
        first[upper] += far[lower]
        second[...] = near
        second[lower] += far[upper]
        coarse = fine
    nx, ny, nz = shape
    return coarse[:nx, :ny, :nz]


def restrict(fine: Array, by: Factors) -> Array:
    """Exact adjoint of `prolong`."""
    fine = _even(fine, by)
    for axis, factor in enumerate(by):
        if factor == 1:
            continue
        lower, upper = ends(axis)
        first, second = (fine[tuple(slice(s, None, 2) if a == axis else slice(None) for a in range(3))] for s in (0, 1))
        coarse = first + second
        coarse *= np.float32(0.75)
        coarse[lower] += np.float32(0.25) * first[upper]
        coarse[upper] += np.float32(0.25) * second[lower]
        fine = coarse
    return fine


def relax(level: Level, x: Array, right: Array, colour: int) -> None:
    """Solve each voxel of one colour of the chessboard for its neighbours' values, in place."""
    if not backend.is_device_array(x):
        _relax_host(x.shape[0], x, right, level.links, level.diagonal, colour)
        return
    xp = backend.namespace(x)
    i, j, k = (xp.arange(n).reshape([-1 if a == axis else 1 for a in range(3)]) for axis, n in enumerate(x.shape))
    chosen = ((i + j + k) % 2 == colour) & (level.diagonal > 0)
    value = _neighbours(level.links, x)
    value += right
    value /= xp.where(chosen, level.diagonal, np.float32(1))
    x[...] = xp.where(chosen, value, x)


def residual(level: Level, x: Array, right: Array | None) -> Array:
    """`right` less the operator on `x`; the operator on `x` alone, not negated, without `right`."""
    if not backend.is_device_array(x):
        out = backend.namespace(x).empty_like(x)
        sign = np.float32(1 if right is None else -1)
        _residual_host(x.shape[0], x, x if right is None else right, level.links, level.diagonal, sign, out)
        return out
    image = level.diagonal * x
    image -= _neighbours(level.links, x)
    return image if right is None else (right - image) * (level.diagonal > 0)


def _neighbours(links: Array, x: Array) -> Array:
    """Sum over the neighbours of link times value; nothing links across the end of the grid."""
    xp = backend.namespace(x)
    total = xp.zeros_like(x)
    for axis in range(3):
        total += links[axis] * xp.roll(x, -1, axis)
        total += xp.roll(links[axis] * x, 1, axis)
    return total


@jit_rows
def _relax_host(low: int, high: int, x: Any, right: Any, links: Any, diagonal: Any, colour: int) -> None:
    nx, ny, nz = x.shape
    for i in range(low, high):
        i0, i1 = (i if i > 0 else nx) - 1, i + 1 if i + 1 < nx else 0  # round the end, where every link is 0
        for j in range(ny):
            j0, j1 = (j if j > 0 else ny) - 1, j + 1 if j + 1 < ny else 0
            for k in range((i + j + colour) % 2, nz, 2):
                d = diagonal[i, j, k]
                if d == 0:
                    continue
                k0, k1 = (k if k > 0 else nz) - 1, k + 1 if k + 1 < nz else 0
                total = links[0, i, j, k] * x[i1, j, k] + links[0, i0, j, k] * x[i0, j, k]
                total += links[1, i, j, k] * x[i, j1, k] + links[1, i, j0, k] * x[i, j0, k]
                total += links[2, i, j, k] * x[i, j, k1] + links[2, i, j, k0] * x[i, j, k0]
                x[i, j, k] = (right[i, j, k] + total) / d


@jit_rows
def _residual_host(low: int, high: int, x: Any, right: Any, links: Any, diagonal: Any, sign: Any, out: Any) -> None:
    nx, ny, nz = x.shape
    given = x.dtype.type(0) if sign > 0 else x.dtype.type(1)
    for i in range(low, high):
        i0, i1 = (i if i > 0 else nx) - 1, i + 1 if i + 1 < nx else 0
        for j in range(ny):
            j0, j1 = (j if j > 0 else ny) - 1, j + 1 if j + 1 < ny else 0
            for k in range(nz):
                d = diagonal[i, j, k]
                if d == 0:
                    out[i, j, k] = 0
                    continue
                k0, k1 = (k if k > 0 else nz) - 1, k + 1 if k + 1 < nz else 0
                total = links[0, i, j, k] * x[i1, j, k] + links[0, i0, j, k] * x[i0, j, k]
                total += links[1, i, j, k] * x[i, j1, k] + links[1, i, j0, k] * x[i, j0, k]
                total += links[2, i, j, k] * x[i, j, k1] + links[2, i, j, k0] * x[i, j, k0]
                out[i, j, k] = given * right[i, j, k] + sign * (d * x[i, j, k] - total)
