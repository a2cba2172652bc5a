from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qsm_acquisition.acquisition import Acquisition
from qsm_recon.dicom.geometry import voxel_grid
from qsm_recon.errors import InputError


def rotation(ax: float, ay: float, az: float) -> np.ndarray:
    """Columns: voxel axes in LPS, turned about x, then y, then z."""
    cx, sx, cy, sy, cz, sz = np.cos(ax), np.sin(ax), np.cos(ay), np.sin(ay), np.cos(az), np.sin(az)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory, make_synthetic: type, make_head: Callable) -> Acquisition:
    magnitude, _ = make_head((4, 3, 3), 2)
    stored = {c: magnitude.astype(np.uint16) for c in ("magnitude", "phase")}
    from qsm_acquisition.frames import Component  # noqa: PLC0415 - keeps the fixture's keys beside their use

    scan = make_synthetic({Component(k): v for k, v in stored.items()}, echo_times_ms=(5.0, 10.0))
    return scan.write(Path(tmp_path_factory.mktemp("flat")))


def turned(flat: Acquisition, axes: np.ndarray) -> Acquisition:
    positions = [np.array([3.0, -7, 11]) + k * 2.0 * axes[:, 2] for k in range(3)]
    return replace(
        flat,
        row_cosines=tuple(axes[:, 0]),
        column_cosines=tuple(axes[:, 1]),
        slice_positions_mm=tuple(tuple(p) for p in positions),
    )


angle = st.floats(-np.pi, np.pi)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(angle, angle, angle)
def test_b0_in_voxel_axes_turned_back_to_the_patient_is_patient_z(
    flat: Acquisition, ax: float, ay: float, az: float
) -> None:
    axes = rotation(ax, ay, az)
    grid = voxel_grid(turned(flat, axes))
    b0 = np.asarray(grid.b0_direction)
    np.testing.assert_allclose(axes @ b0, [0, 0, 1], atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(b0), 1, atol=1e-12)
    assert grid.geometry().b0_direction == grid.b0_direction


def test_sagittal_slices_have_b0_along_their_rows_or_columns(flat: Acquisition) -> None:
    # Sagittal as scanners write it: columns index grows to posterior, row index to the feet, slices to the left...
    axes = np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])
    assert voxel_grid(turned(flat, axes)).b0_direction == pytest.approx((0, -1, 0))


def test_voxel_sizes_are_in_array_order_and_ras_negates_x_and_y(flat: Acquisition) -> None:
    grid = voxel_grid(flat)
    # PixelSpacing (1.5 between rows, 1.2 between columns): the column index, x, steps 1.2 mm.
    assert grid.voxel_size_mm == pytest.approx((1.2, 1.5, 2.0))
    assert grid.shape == (4, 3, 3)
    np.testing.assert_allclose(grid.affine_ras_mm[:, 3], [20, 30, 5, 1])
    np.testing.assert_allclose(np.diag(grid.affine_ras_mm), [-1.2, -1.5, 2.0, 1])
    assert grid.position_lps_mm(2) == pytest.approx(flat.slice_positions_mm[2])


def test_philips_brain_is_slightly_oblique(philips: Acquisition) -> None:
    b0 = voxel_grid(philips).b0_direction
    assert b0 == pytest.approx((0.0608, -0.0024, 0.9981), abs=1e-3)


@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.3), (0.4, 0.0, 0.0)], ids=["uneven", "sideways"])
def test_slices_off_the_line_are_refused(flat: Acquisition, shift: tuple[float, float, float]) -> None:
    positions = list(flat.slice_positions_mm)
    positions[1] = tuple(a + b for a, b in zip(positions[1], shift, strict=True))
    with pytest.raises(InputError, match="slice 2 of 3") as caught:
        voxel_grid(replace(flat, slice_positions_mm=tuple(positions)))
    assert caught.value.reason == "InconsistentGeometry"


def test_sheared_and_single_slices_are_refused(flat: Acquisition) -> None:
    sheared = tuple((x, y + 0.2 * k, z) for k, (x, y, z) in enumerate(flat.slice_positions_mm))
    with pytest.raises(InputError, match="right angles"):
        voxel_grid(replace(flat, slice_positions_mm=sheared))
    with pytest.raises(InputError) as caught:
        voxel_grid(replace(flat, slice_positions_mm=flat.slice_positions_mm[:1]))
    assert caught.value.reason == "TooFewSlices"
