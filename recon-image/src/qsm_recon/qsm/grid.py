"""The working box of a stage: the mask's bounding box with room around it, in sizes an FFT likes.

Background removal and inversion see only the voxels near the mask. Cropping to it saves most of the field of view;
padding keeps the periodic convolution from wrapping the sources of one side onto the other.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from pydantic import Field

from qsm_recon.errors import InputError
from qsm_recon.qsm import backend, kernels
from qsm_recon.qsm.parameters import Params

Array = Any
Shape = tuple[int, int, int]


class BoxedMethodParams(Params):
    """What every method that works on the padded box can be told."""

    padding_mm: float = Field(default=12.0, ge=0, le=100)
    """Room on each side of the mask's box, mm: outer sources may lie there, and the periodic dipole field must not
    reach round."""

    def room_mm(self) -> float:
        """Room the method needs on each side of the mask's box, mm: a ball must not reach round the grid."""
        return self.padding_mm


@dataclass(frozen=True)
class BoxedField:
    """One field, checked, cropped and padded."""

    field_ppm: Array
    """(x, y, z) float32, ppm of B0; 0 outside `mask`."""
    mask: Array
    """(x, y, z) bool."""
    noise_ppm: Array | None
    """(x, y, z) float32 standard deviation of the field, +inf without signal; None where it is not known."""
    voxel_size_mm: tuple[float, float, float]
    b0_direction: tuple[float, float, float]

    @property
    def shape(self) -> Shape:
        """Shape of the working grid."""
        nx, ny, nz = self.mask.shape
        return nx, ny, nz

    @property
    def xp(self) -> Any:
        """Array module of the volumes."""
        return backend.namespace(self.mask)

    def dipole(self) -> Array:
        """Half spectrum of the dipole kernel on the working grid."""
        return kernels.dipole_kernel(self.shape, self.voxel_size_mm, self.b0_direction, self.xp)


@dataclass(frozen=True)
class PaddedBox:
    """A crop of a volume inside a larger, zero-filled working grid, and the way back."""

    full_shape: Shape
    """Shape of the whole volume."""
    corner: Shape
    """First voxel of the crop in the whole volume."""
    size: Shape
    """Size of the crop."""
    shape: Shape
    """Shape of the working grid: even, products of 2, 3 and 5."""
    offset: Shape
    """First voxel of the crop in the working grid."""

    @property
    def _in_full(self) -> tuple[slice, ...]:
        return tuple(slice(a, a + n) for a, n in zip(self.corner, self.size, strict=True))

    @property
    def _in_grid(self) -> tuple[slice, ...]:
        return tuple(slice(a, a + n) for a, n in zip(self.offset, self.size, strict=True))

    def take(self, volume: Array) -> Array:
        """Copy of `volume` (x, y, z) on the working grid, 0 where it has no voxel of the crop."""
        if volume.shape != self.full_shape:
            raise ValueError(f"a volume of shape {volume.shape} was given to a box of {self.full_shape}")
        grid = backend.namespace(volume).zeros(self.shape, dtype=volume.dtype)
        grid[self._in_grid] = volume[self._in_full]
        return grid

    def put_back(self, grid: Array) -> Array:
        """Whole volume with the crop's part of `grid` in its place, 0 elsewhere."""
        if grid.shape != self.shape:
            raise ValueError(f"a grid of shape {grid.shape} was given to a box with grid {self.shape}")
        volume = backend.namespace(grid).zeros(self.full_shape, dtype=grid.dtype)
        volume[self._in_full] = grid[self._in_grid]
        return volume


def mask_box(mask: Array, voxel_size_mm: tuple[float, float, float], padding_mm: float) -> PaddedBox:
    """Box around `mask` with at least `padding_mm` on every side.

    Parameters
    ----------
    mask : (x, y, z) bool array
    voxel_size_mm : voxel size along (x, y, z) in mm
    padding_mm : room on each side in mm

    Returns
    -------
    PaddedBox
        Its grid is even along every axis and half of it is again a fast size, so that a grid of half the
        resolution fits it exactly.

    Raises
    ------
    InputError
        `EmptyMask` where the mask has no voxel.
    """
    full = tuple(int(n) for n in mask.shape)
    corner, size, shape, offset = [], [], [], []
    for axis, h in enumerate(voxel_size_mm):
        others = tuple(a for a in range(3) if a != axis)
        inside = np.flatnonzero(backend.to_host(mask.any(axis=others)))
        if inside.size == 0:
            raise InputError("EmptyMask", "The mask has no voxel: there is nothing to reconstruct.")
        n = int(inside[-1] - inside[0] + 1)
        least = n + 2 * math.ceil(padding_mm / h)
        grid = 2 * int(scipy.fft.next_fast_len(-(-least // 2), real=True))
        corner.append(int(inside[0]))
        size.append(n)
        shape.append(grid)
        offset.append((grid - n) // 2)
    return PaddedBox(_three(full), _three(corner), _three(size), _three(shape), _three(offset))


def check_volumes(mask: Array, **volumes: Array | None) -> None:
    """Refuse volumes that do not belong together.

    Raises
    ------
    InputError
        `ShapeMismatch` where a volume is not 3-D or not of the mask's shape, `EmptyMask` where the mask has no
        voxel.
    ValueError
        Where the mask is not boolean: a programming mistake.
    """
    if mask.dtype != bool:
        raise ValueError(f"the mask must be boolean, it is {mask.dtype}")
    if mask.ndim != 3:
        raise InputError("ShapeMismatch", f"The mask must have three axes (x, y, z), it has {mask.ndim}.")
    for name, volume in volumes.items():
        if volume is not None and volume.shape != mask.shape:
            raise InputError("ShapeMismatch", f"{name} has shape {volume.shape}, the mask {mask.shape}.")
    if not bool(mask.any()):
        raise InputError("EmptyMask", "The mask has no voxel: there is nothing to reconstruct.")


def check_finite(name: str, volume: Array, mask: Array) -> None:
    """Refuse a volume with NaN or infinity inside the mask (`InputError`, reason `NotFinite`)."""
    xp = backend.namespace(volume)
    bad = int(xp.count_nonzero(~xp.isfinite(volume) & mask))
    if bad:
        raise InputError("NotFinite", f"{name} is NaN or infinite in {bad} voxels of the mask.")


def check_noise(noise: Array, mask: Array) -> None:
    """Refuse a noise map without one finite, positive voxel in the mask (`NoSignal`), or with NaN (`NotFinite`)."""
    xp = backend.namespace(noise)
    if bool((xp.isnan(noise) & mask).any()):
        raise InputError("NotFinite", "The noise map is NaN in voxels of the mask; +inf marks voxels without signal.")
    if not bool((xp.isfinite(noise) & (noise > 0) & mask).any()):
        raise InputError("NoSignal", "No voxel of the mask has a finite, positive noise: there is no signal in it.")


def _three(values: Any) -> Shape:
    x, y, z = values
    return x, y, z
