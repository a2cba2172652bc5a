"""Where the voxels are in the patient, and hence where B0 points in voxel axes.

Patient coordinates are DICOM's LPS (x to the patient's left, y to posterior, z to the head; PS3.3 C.7.6.2.1.1).
`PatientPosition` plays no part: position and orientation are given in patient axes already, and in a
horizontal-bore scanner with the patient lying along the bore the field is along patient z (either sense: every
formula here is even in B0).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qsm_acquisition.acquisition import Acquisition
from qsm_recon.errors import InputError
from qsm_recon.qsm.scan import Geometry, norm3

POSITION_TOLERANCE_MM = 0.01
"""Largest departure of a slice position from its place on the line, or 1 % of the step where that is more."""

SHEAR_TOLERANCE = 2e-3
"""Largest cosine between two voxel axes: beyond it the grid is no box and a dipole kernel on it is wrong."""

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class VoxelGrid:
    """A regular box grid in patient space."""

    affine_lps_mm: NDArray[np.float64]
    """(4, 4): voxel index (x, y, z, 1) = (column, row, slice) to patient LPS position of its centre in mm."""
    shape: tuple[int, int, int]
    """Number of voxels along (x, y, z)."""

    @property
    def voxel_size_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres along (x, y, z)."""
        x, y, z = (float(v) for v in np.linalg.norm(self.affine_lps_mm[:3, :3], axis=0))
        return x, y, z

    @property
    def axes(self) -> NDArray[np.float64]:
        """(3, 3): unit vectors of the voxel axes in LPS, as columns."""
        return np.asarray(self.affine_lps_mm[:3, :3] / np.asarray(self.voxel_size_mm))

    @property
    def b0_direction(self) -> tuple[float, float, float]:
        """Unit vector of B0 (patient z) in voxel axes."""
        x, y, z = (float(v) for v in np.linalg.solve(self.axes, np.array([0.0, 0.0, 1.0])))
        return norm3((x, y, z))

    @property
    def affine_ras_mm(self) -> NDArray[np.float64]:
        """(4, 4): voxel index to RAS position in mm, the convention of NIfTI; the array itself is not flipped."""
        return np.asarray(_LPS_TO_RAS @ self.affine_lps_mm)

    def position_lps_mm(self, slice_index: int) -> tuple[float, float, float]:
        """ImagePositionPatient of a slice: the centre of its first voxel."""
        x, y, z = (float(v) for v in (self.affine_lps_mm @ np.array([0.0, 0.0, slice_index, 1.0]))[:3])
        return x, y, z

    def geometry(self) -> Geometry:
        """What the physics needs of the grid."""
        return Geometry(self.voxel_size_mm, self.b0_direction)


def voxel_grid(acquisition: Acquisition) -> VoxelGrid:
    """The grid an acquisition's images lie on.

    The slice axis comes from the slice *positions*, in order, never from SliceThickness or the cross product
    alone.

    Raises
    ------
    InputError
        `TooFewSlices` for fewer than two slices; `InconsistentGeometry` where slices are not evenly spaced
        on a line or the axes are not at right angles.
    """
    positions = np.asarray(acquisition.slice_positions_mm, dtype=np.float64)
    count = len(positions)
    if count < 2:
        raise InputError("TooFewSlices", f"A volume needs at least two slices; this acquisition has {count}.")
    step = (positions[-1] - positions[0]) / (count - 1)
    spacing = float(np.linalg.norm(step))
    departure = np.linalg.norm(positions - (positions[0] + np.arange(count)[:, None] * step), axis=1)
    worst = int(np.argmax(departure))
    if spacing == 0 or departure[worst] > max(POSITION_TOLERANCE_MM, 0.01 * spacing):
        raise InputError(
            "InconsistentGeometry",
            f"Slices are not evenly spaced on a line: slice {worst + 1} of {count} is {departure[worst]:.3g} mm off.",
        )
    between_rows, between_columns = acquisition.pixel_spacing_mm
    affine = np.eye(4)
    affine[:3, 0] = np.asarray(norm3(acquisition.row_cosines)) * between_columns
    affine[:3, 1] = np.asarray(norm3(acquisition.column_cosines)) * between_rows
    affine[:3, 2] = step
    affine[:3, 3] = positions[0]
    grid = VoxelGrid(affine, (acquisition.columns, acquisition.rows, count))
    gram = grid.axes.T @ grid.axes - np.eye(3)
    if np.abs(gram).max() > SHEAR_TOLERANCE:
        raise InputError(
            "InconsistentGeometry",
            "Rows, columns and slice positions are not at right angles to each other (a sheared volume).",
        )
    if np.linalg.det(grid.axes) < 0:
        raise ValueError("slice positions must grow along row_cosines x column_cosines")
    return grid
