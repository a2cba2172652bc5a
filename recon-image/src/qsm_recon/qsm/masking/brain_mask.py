"""What a masking method hands on, and the checks every mask passes before it does."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from qsm_recon.errors import InputError

Array = Any
Voxel = tuple[float, float, float]

MM3_PER_LITRE = 1e6


@dataclass(frozen=True)
class BrainMask:
    """Where the map will be computed, how big that is, and what looked odd."""

    mask: Array
    """(x, y, z) bool, never empty."""
    quality: Mapping[str, float]
    """Figures for the report: `volume_l`, `border_voxels`, and those of the method."""
    warnings: tuple[str, ...] = ()


def finish(
    mask: Array,
    voxel_size_mm: Voxel,
    quality: Mapping[str, float],
    warnings: tuple[str, ...],
    expected_volume_l: tuple[float, float] | None,
) -> BrainMask:
    """Judge a finished mask: refuse an empty one, warn where it is odd.

    Parameters
    ----------
    mask
        (x, y, z) bool on the host.
    voxel_size_mm
        Distance between voxel centres along x, y, z.
    quality, warnings
        What the method has to say.
    expected_volume_l
        Usual range of the volume in litres; None where nothing is expected (phantoms).

    Raises
    ------
    InputError
        `MaskEmpty` where nothing is left.
    """
    voxels = int(np.count_nonzero(mask))
    if voxels == 0:
        raise empty("the mask has no voxel left after cleaning")
    volume_l = voxels * float(np.prod(voxel_size_mm)) / MM3_PER_LITRE
    # The last slices may cut a head, the four sides of the images must not.
    sides = np.concatenate([mask[0].ravel(), mask[-1].ravel(), mask[:, 0].ravel(), mask[:, -1].ravel()])
    border = int(np.count_nonzero(sides))
    if expected_volume_l is not None:
        low, high = expected_volume_l
        if not low <= volume_l <= high:
            unusual = f"the mask holds {volume_l:.2f} L, outside the usual {low:g} to {high:g} L"
            warnings += (f"MaskVolumeUnusual: {unusual}; look at the mask before using the map.",)
    if border:
        where = f"{border} mask voxels lie on the side of the images"
        warnings += (f"MaskTouchesBorder: {where}; the object is cut there or the mask leaks.",)
    figures = {"volume_l": volume_l, "border_voxels": float(border), **quality}
    return BrainMask(mask=mask, quality=MappingProxyType(figures), warnings=warnings)


def empty(why: str) -> InputError:
    """The refusal for data in which no object can be found, with what to do about it."""
    return InputError(
        "MaskEmpty",
        f"No mask can be made: {why}. Check that the magnitude shows the object, "
        'or choose masking method "threshold", or give a mask of your own.',
    )
