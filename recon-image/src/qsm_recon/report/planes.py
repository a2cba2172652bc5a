"""Voxel axes to pictures as a radiologist expects them.

Patient's right is on the left of axial and coronal pictures, the nose points up in axial and left in sagittal
ones, the head is up. An oblique slab is shown along its own axes, each named after the nearest patient axis.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Volume = NDArray[Any]


class Plane(StrEnum):
    """The three planes, by their usual names."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"


EDGES = {Plane.AXIAL: ("R", "L", "A", "P"), Plane.CORONAL: ("R", "L", "S", "I"), Plane.SAGITTAL: ("A", "P", "S", "I")}
"""Letters at the left, right, top and bottom edge of each plane's picture."""


@dataclass(frozen=True)
class PatientOrder:
    """How to turn a volume so that its indices grow to the patient's left, back and head."""

    axes: tuple[int, int, int]
    """Voxel axis nearest to patient L, P and S."""
    flips: tuple[bool, bool, bool]
    """Whether that axis grows the other way."""
    voxel_size_mm: tuple[float, float, float]
    """Voxel size along (L, P, S)."""

    def turn(self, volume: Volume) -> Volume:
        """View of `volume` (x, y, z) with axes (L, P, S)."""
        turned = volume.transpose(self.axes)
        backwards = tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)
        return turned[backwards]


def patient_order(affine_lps_mm: NDArray[np.float64]) -> PatientOrder:
    """The nearest right-angled turn from voxel axes to (L, P, S).

    Parameters
    ----------
    affine_lps_mm : (4, 4)
        Voxel index to patient LPS position, mm.
    """
    matrix = np.asarray(affine_lps_mm, dtype=np.float64)[:3, :3]
    sizes = np.linalg.norm(matrix, axis=0)
    cosines = matrix / sizes
    # The assignment of voxel axes to patient axes that agrees best as a whole: two voxel axes cannot share one.
    best = max(permutations(range(3)), key=lambda axes: sum(abs(cosines[p, axes[p]]) for p in range(3)))
    a, b, c = best
    flips = tuple(bool(cosines[p, axis] < 0) for p, axis in enumerate(best))
    return PatientOrder((a, b, c), (flips[0], flips[1], flips[2]), (float(sizes[a]), float(sizes[b]), float(sizes[c])))


def cut(turned: Volume, plane: Plane, position: int) -> Volume:
    """Picture (row, column) of one plane through a volume with axes (L, P, S)."""
    if plane is Plane.AXIAL:
        return turned[:, :, position].T
    if plane is Plane.CORONAL:
        return turned[:, position, ::-1].T
    return turned[position, :, ::-1].T


def pixel_size_mm(order: PatientOrder, plane: Plane) -> tuple[float, float]:
    """(row, column) spacing of a plane's picture, mm."""
    left, back, head = order.voxel_size_mm
    return {Plane.AXIAL: (back, left), Plane.CORONAL: (head, left), Plane.SAGITTAL: (head, back)}[plane]


def box(mask: Volume, margin: int = 3) -> tuple[slice, slice, slice]:
    """Smallest box round a mask with a margin in voxels; the whole volume where the mask is empty."""
    if not mask.any():
        return slice(None), slice(None), slice(None)
    found = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        indices = np.flatnonzero(mask.any(axis=others))
        found.append(slice(max(int(indices[0]) - margin, 0), int(indices[-1]) + 1 + margin))
    return found[0], found[1], found[2]
