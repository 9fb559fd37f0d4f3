"""Polygons that are cut into triangles: the same area, no turned or flat piece, and notes on what is no polygon."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graphpde.mesh.geometry import signed_measures
from graphpde.mesh.io.convert import to_mesh
from graphpde.mesh.io.ears import flawed, triangulate
from graphpde.mesh.io.raw import Block, RawMesh, Unreadable
from graphpde.mesh.mesh import Mesh

# outlines, all counter-clockwise

HEXAGON = [(np.cos(a), np.sin(a)) for a in np.arange(6) * np.pi / 3]
NOTCHED = [(0, 0), (2, 0), (2, 2), (1, 0.2), (0, 2)]
L_SHAPE = [(0, 0), (1, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2), (0, 1)]
MIDPOINTS = [(0, 0), (1, 0), (2, 0), (3, 0), (3, 1), (3, 3), (1.5, 3), (0, 3), (0, 1)]
COMB = [(0, 0), (9, 0), *((x, 0.1 if x % 2 else 1) for x in range(9, -1, -1))]
SPIRAL = [
    (0, 0),
    (9, 0),
    (9, 9),
    (2, 9),
    (2, 4),
    (6, 4),
    (6, 6),
    (4, 6),
    (4, 7),
    (7, 7),
    (7, 2),
    (1, 2),
    (1, 9),
    (0, 9),
]
ROUND = [(np.cos(a), np.sin(a)) for a in np.arange(200) * np.pi / 100]
STAR = [((1 + i % 2) * np.cos(a), (1 + i % 2) * np.sin(a)) for i, a in enumerate(np.arange(60) * np.pi / 30)]
# a square hole joined to the outline by a seam that is walked twice, from a side and from a corner
WALL = [(5, 0), (5, 3), (3, 3), (3, 7), (7, 7), (7, 3), (5, 3), (5, 0), (10, 0), (10, 10), (0, 10), (0, 0)]
DOOR = [(0, 0), (3, 3), (3, 7), (7, 7), (7, 3), (3, 3), (0, 0), (10, 0), (10, 10), (0, 10)]
_LOFT = [(0, 0), (3, 0), (3, 2), (1, 2), (1, 3), (3, 3), (3, 2), (3, 0), (8, 0), (8, 8), (0, 8)]
LATTICE = [  # the same with a corner at every whole number
    (a + (c - a) * step / length, b + (d - b) * step / length)
    for (a, b), (c, d) in zip(_LOFT, [*_LOFT[1:], _LOFT[0]])
    for length in [max(abs(c - a), abs(d - b))]
    for step in range(length)
]
OUTLINES = {
    **{"hexagon": HEXAGON, "notched": NOTCHED, "L": L_SHAPE, "midpoints": MIDPOINTS, "comb": COMB, "spiral": SPIRAL},
    **{"round": ROUND, "star": STAR, "wall": WALL, "door": DOOR, "lattice": LATTICE},
}
# a rotation that is none of the axes
TILT = np.linalg.qr(np.array([[1.0, 2, 3], [0, 1, 4], [5, 6, 0]]))[0]
TILT *= np.linalg.det(TILT)


def outline(name: str) -> np.ndarray:
    return np.array(OUTLINES[name], dtype=float)


def shoelace(x: np.ndarray) -> float:
    (a, b), (c, d) = x.T, np.roll(x, -1, 0).T
    return float((a * d - b * c).sum() / 2)


def polygon_mesh(x: np.ndarray, cells: list[list[int]] | None = None, **more: object) -> Mesh:
    cells = cells or [list(range(len(x)))]
    return to_mesh(RawMesh(x, [Block("polygon", np.array(cells))], **more), "polygons")


@pytest.mark.parametrize("name", OUTLINES)
def test_triangles_of_a_polygon_have_its_area_its_direction_and_no_flat_one(name: str) -> None:
    x = outline(name)
    mesh = polygon_mesh(x)
    assert len(mesh.cells["triangle"]) == len(x) - 2
    signed = signed_measures(mesh)  # all positive and of the same sum: they cover the polygon once
    assert float(signed.min()) > 1e-6 * shoelace(x) > 0 and float(signed.sum()) == pytest.approx(shoelace(x), rel=1e-13)
    assert mesh.warnings[0] == f"without an element here and split: 1 polygons into {len(x) - 2} triangles"
    assert not any("that were split" in sentence for sentence in mesh.warnings)


@pytest.mark.parametrize("name", OUTLINES)
def test_polygons_are_cut_in_their_own_plane(name: str) -> None:
    x = outline(name)
    lifted = np.c_[x, np.zeros(len(x))] @ TILT + [100, -30, 7]
    area = shoelace(x)
    for points, normal in ((lifted, TILT[2]), (lifted[::-1].copy(), -TILT[2])):
        mesh = polygon_mesh(points)
        a, b, c = mesh.points[mesh.cells["triangle"]].unbind(1)
        along = torch.linalg.cross(b - a, c - a).numpy() @ normal / 2
        assert along.min() > 0 and along.sum() == pytest.approx(area, rel=1e-12)


def frame(nx: int, length: float) -> np.ndarray:
    """A rectangle of height 1 with points on its long sides, nx parts each [2 nx + 2, 2]."""
    along = np.linspace(0, length, nx + 1)
    return np.concatenate([np.c_[along, 0 * along], np.c_[along[::-1], 0 * along + 1]])


def shapes(x: np.ndarray) -> np.ndarray:
    """Quality of the triangles of a plane polygon: 1 for equilateral, 0 for flat, negative for turned ones."""
    a, b, c = (x[corner] for corner in triangulate(np.c_[x, np.zeros(len(x))][None])[0].T)
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    return 2 * 3**0.5 * area / ((b - a) ** 2 + (c - b) ** 2 + (a - c) ** 2).sum(1)


def test_long_strips_are_cut_into_the_best_triangles() -> None:
    assert shapes(frame(6, 6.0)) == pytest.approx(np.full(12, 3**0.5 / 2))  # halves of squares


@pytest.mark.parametrize("noise", [0, 1e-9, 1e-7, 1e-5])
def test_straight_corners_that_bulge_by_rounding_leave_no_slivers(noise: float) -> None:
    rng = np.random.default_rng(0)
    for x in (frame(1, 2.0), np.roll(frame(3, 1.0), 2, 0), outline("L"), outline("midpoints")):
        for _ in range(10):
            assert shapes(x + noise * rng.normal(size=x.shape)).min() > 0.3


def test_many_polygons_are_cut_as_each_alone() -> None:
    rng = np.random.default_rng(1)
    for k in (5, 6, 9, 40):
        angle = (np.arange(k) + 0.8 * rng.random((50, k))) * 2 * np.pi / k
        radius = rng.random((50, k)) + 0.1
        x = np.stack([radius * np.cos(angle), radius * np.sin(angle), 0 * angle], 2) @ TILT
        cuts = triangulate(x)
        assert all(np.array_equal(triangulate(one[None])[0], cut) for one, cut in zip(x, cuts))
        assert not flawed(x, cuts).any()


def test_a_convex_polygon_of_any_size_is_cut_and_one_that_is_not_up_to_a_limit() -> None:
    angle = np.arange(30000) * np.pi / 15000
    x = np.stack([np.cos(angle), np.sin(angle)], 1)
    assert float(signed_measures(polygon_mesh(x)).sum()) == pytest.approx(shoelace(x), rel=1e-12)
    x[0] = 0
    with pytest.raises(Unreadable, match="a polygon of 30000 corners that is not convex"):
        polygon_mesh(x)


@pytest.mark.parametrize(
    "x",
    [
        [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)],  # on a line
        [(1, 1)] * 5,  # on a point
        [(0, 0), (1, 0), (1, 1), (0, 0), (1, 0)],  # round twice
        [(0, 0), (2, 2), (2, 0), (0, 2), (-1, 1)],  # crosses itself
        [(np.cos(a), np.sin(a)) for a in np.arange(5) * 4 * np.pi / 5],  # pentagram
        [(0, 0), (2, 0), (2, 2), (2, 1), (0, 2)],  # a side that folds back
        [(0, 0), (1e308, 0), (-1e308, 1e308), (0, 1), (1, -1e308)],
    ],
)
def test_degenerate_polygons_give_as_many_triangles_and_a_note(x: list[tuple[float, float]]) -> None:
    good = np.array(NOTCHED) + 10
    with np.errstate(all="ignore"):
        mesh = polygon_mesh(np.concatenate([np.array(x, dtype=float), good]), [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]])
    assert len(mesh.cells["triangle"]) == 6 and "split: 2 polygons into 6 triangles" in mesh.warnings[0]
    assert mesh.warnings[1] == "1 of the cells that were split have no area or fold back; pieces may be flat or overlap"
    assert float(signed_measures(mesh)[3:].sum()) == pytest.approx(shoelace(good))


def test_an_outline_that_goes_round_twice_is_noted_though_no_triangle_is_turned() -> None:
    angle = np.arange(40) * np.pi / 10
    radius = np.where(np.arange(40) < 20, 1.0, 1.3)
    mesh = polygon_mesh(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1))
    assert float(signed_measures(mesh).min()) > 0 and "1 of the cells that were split" in mesh.warnings[1]


@pytest.mark.parametrize("k", [5, 40, 5000])
def test_polygons_without_area_are_cut_anyhow_and_told(k: int) -> None:
    line = np.zeros((2, k, 3))
    line[1, :, 0] = np.arange(k)
    found = triangulate(line)
    assert found.shape == (2, k - 2, 3) and np.array_equal(np.unique(found), np.arange(k))
    assert flawed(line, found).all()
