import numpy as np
import pytest

from qsm_recon.qsm.masking.surface import enclosed_volume, enclosed_voxels, icosphere, split


def test_icosphere_is_a_closed_sphere_seen_from_outside():
    vertices, triangles, neighbours = icosphere(4)
    assert vertices.shape == (2562, 3)
    assert triangles.shape == (5120, 3)
    np.testing.assert_allclose(np.linalg.norm(vertices, axis=1), 1)
    assert np.count_nonzero(neighbours < 0) == 12
    assert enclosed_volume(vertices, triangles) == pytest.approx(4 / 3 * np.pi, rel=3e-3)
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    assert len(np.unique(edges, axis=0)) == len(edges)
    # Every edge is met once in each direction.
    assert {(b, a) for a, b in edges.tolist()} == {(a, b) for a, b in edges.tolist()}


def test_split_surface_is_the_same_surface_with_the_finer_icosphere_s_vertices():
    vertices, triangles, _ = icosphere(2)
    moved = vertices * [30.0, 40.0, 35.0] + [5.0, 0.0, -3.0]
    finer = split(moved, triangles)
    assert enclosed_volume(finer, icosphere(3)[1]) == pytest.approx(enclosed_volume(moved, triangles), rel=1e-12)
    directions = split(vertices, triangles)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    np.testing.assert_allclose(directions, icosphere(3)[0], atol=0.02)


def test_enclosed_voxels_are_those_inside():
    vertices, triangles, _ = icosphere(4)
    centre, radius, voxel, shape = np.array([30.0, 33.0, 36.0]), 25.0, (1.5, 2.0, 3.0), (42, 35, 25)
    got = enclosed_voxels(centre + radius * vertices, triangles, shape, voxel)
    grid = np.meshgrid(*[np.arange(n) * h for n, h in zip(shape, voxel, strict=True)], indexing="ij")
    r = np.sqrt(sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)))
    assert got[r < 0.99 * radius].all()
    assert not got[r > radius].any()


def test_columns_through_edges_and_corners_are_counted_once():
    # An octahedron with every vertex on a grid line: its edges run exactly through voxel columns.
    vertices = np.array([[6, 3, 3], [0, 3, 3], [3, 6, 3], [3, 0, 3], [3, 3, 6], [3, 3, 0]], dtype=float)
    triangles = np.array(
        [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]], dtype=np.int32
    )
    got = enclosed_voxels(vertices, triangles, (7, 7, 7), (1.0, 1.0, 1.0))
    x, y, z = np.meshgrid(*[np.arange(7)] * 3, indexing="ij")
    distance = abs(x - 3) + abs(y - 3) + abs(z - 3)
    assert got[distance < 3].all()
    assert not got[distance > 3].any()


def test_a_mesh_that_leaves_the_volume_is_cut_off():
    vertices, triangles, _ = icosphere(3)
    got = enclosed_voxels(vertices * 50 + 5, triangles, (11, 11, 11), (1.0, 1.0, 1.0))
    assert got.all()


def test_a_mesh_turned_inside_out_encloses_the_same():
    vertices, triangles, _ = icosphere(2)
    points = 10 + 7.3 * vertices
    a = enclosed_voxels(points, triangles, (20, 20, 20), (1.0, 1.0, 1.0))
    b = enclosed_voxels(points, np.ascontiguousarray(triangles[:, ::-1]), (20, 20, 20), (1.0, 1.0, 1.0))
    np.testing.assert_array_equal(a, b)
