"""What is seen of a mesh: its faces once, looking outwards, and coarser or finer pictures of the same shape."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from graphpde.mesh.mesh import Mesh
from graphpde.viz.skin import areas, distinct, pieces, refine, skin, thin_out

Shape = Callable[[str], Mesh]


@pytest.mark.parametrize(
    ("kind", "area", "sides"),
    [("bricks", 2 * (2 * 1 + 2 * 0.5 + 1 * 0.5), 48), ("tets", 7.0, 72), ("channel", 4.0, 50), ("quadratic", 1.0, 10)],
)
def test_the_skin_covers_the_surface_once(shape: Shape, kind: str, area: float, sides: int) -> None:
    seen = skin(shape(kind))
    assert areas(seen.points[seen.triangles]).sum() == pytest.approx(area, rel=1e-12)
    assert len(seen.lines) == sides


@pytest.mark.parametrize("kind", ["bricks", "tets", "prisms"])
def test_normals_of_a_body_point_outwards(shape: Shape, kind: str) -> None:
    """Gauss: the flux of x through the skin is three times the volume, also for inverted cells."""
    mesh = shape(kind)
    volume = {"bricks": 1.0, "tets": 1.0, "prisms": 0.5 + 1 / 3}[kind]
    turned = {
        k: v.flip(1) if k == "tetra" else v[:, [3, 4, 5, 0, 1, 2]] if k == "wedge" else v for k, v in mesh.cells.items()
    }
    for cells in (mesh.cells, turned):
        seen = skin(Mesh(mesh.points, cells))
        corners = seen.points[seen.triangles]
        assert seen.outward is not None
        flux = (areas(corners) * (corners.mean(1) * seen.outward).sum(1)).sum()
        assert flux == pytest.approx(3 * volume, rel=1e-9)


def test_owners_of_triangles_are_facets_of_bodies_and_cells_of_surfaces(shape: Shape) -> None:
    mesh = shape("bricks")
    seen = skin(mesh)
    for triangle, owner in zip(seen.triangles, seen.owner):
        assert set(triangle) <= set(mesh.facets.nodes[owner].tolist())
    flat = skin(shape("channel"))
    assert np.bincount(flat.owner).tolist() == [2] * 8 + [1] * 16


def test_thinning_keeps_the_shape_below_the_limit() -> None:
    n = 80
    x, y = np.meshgrid(np.linspace(0, 1, n + 1), np.linspace(0, 1, n + 1))
    points = np.c_[x.ravel(), y.ravel(), 0 * x.ravel()]
    i = np.arange((n + 1) ** 2).reshape(n + 1, n + 1)
    a, b, c, d = (k.ravel() for k in (i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]))
    triangles = np.concatenate([np.c_[a, b, c], np.c_[a, c, d]])
    thinned = thin_out(points, triangles, 2000)
    assert 500 < len(thinned.triangles) <= 2000
    area = areas(thinned.points[thinned.triangles]).sum()
    assert 0.9 < area < 1.1  # the border moves inwards by half a box of 1/31
    moved = np.linalg.norm(thinned.points[thinned.group] - points, axis=1)
    assert moved.max() < 2**0.5 * (2 / 2000) ** 0.5 * 1.2**3
    np.testing.assert_array_equal(thinned.group[triangles[thinned.kept]], thinned.triangles)


def test_refining_changes_neither_area_nor_values(shape: Shape) -> None:
    seen = skin(shape("prisms"))
    corners = seen.points[seen.triangles]
    value = corners @ [1.0, 2.0, 3.0]
    fine = refine(np.concatenate([corners, value[:, :, None]], 2), 2000, 3)
    assert 1000 < len(fine) <= 8000
    assert areas(fine[:, :, :3]).sum() == pytest.approx(areas(corners).sum(), rel=1e-12)
    np.testing.assert_allclose(fine[:, :, 3], fine[:, :, :3] @ [1.0, 2.0, 3.0], rtol=1e-12)


def test_pieces_cover_the_segments() -> None:
    ends = np.array([[[0.0, 0.0, 5.0], [1.0, 0.0, 6.0]], [[0.0, 0.0, 0.0], [0.0, 0.05, 1.0]]])
    cut = pieces(ends, 0.1, 2)
    lengths = np.linalg.norm(cut[:, 1, :2] - cut[:, 0, :2], axis=1)
    assert len(cut) == 11 and lengths.sum() == pytest.approx(1.05) and lengths.max() <= 0.1 + 1e-12
    np.testing.assert_allclose(cut[:10, 0, 2], 5.0 + cut[:10, 0, 0])


def test_distinct_rows_are_those_of_numpy() -> None:
    rows = np.random.default_rng(1).integers(0, 4, (200, 3))
    ours, first, inverse = distinct(rows)
    theirs, index, numbers = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(first, index)
    np.testing.assert_array_equal(inverse, numbers.reshape(-1))
