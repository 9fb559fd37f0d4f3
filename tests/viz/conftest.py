"""Small meshes of every kind, made here so that pictures are tested without the rest of the library."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull, Delaunay

from graphpde.mesh.mesh import Mesh


def disk() -> Mesh:
    rings = [(0.0, 0.0)]
    for k in range(1, 6):
        angles = np.arange(6 * k) / (6 * k) * 2 * np.pi
        rings += [(k / 5 * np.cos(a), k / 5 * np.sin(a)) for a in angles]
    points = np.array(rings)
    return Mesh(points, {"triangle": Delaunay(points).simplices}, name="disk")


def channel() -> Mesh:
    """Quadrilaterals and triangles side by side, 4 x 1, with named parts and one unused point."""
    x, y = np.meshgrid(np.linspace(0, 4, 9), np.linspace(0, 1, 3))
    points = np.concatenate([np.c_[x.ravel(), y.ravel()], [[50.0, 50.0]]])
    i = np.arange(27).reshape(3, 9)
    quads = np.stack([i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]], 2).reshape(-1, 4)
    left = quads[points[quads].mean(1)[:, 0] < 2]
    right = quads[points[quads].mean(1)[:, 0] > 2]
    mesh = Mesh(points, {"quad": left, "triangle": np.concatenate([right[:, :3], right[:, [0, 2, 3]]])}, name="channel")
    ends = mesh.points[mesh.facets.nodes][mesh.boundary_facets][:, :, 0]
    inlet = mesh.boundary_facets[(ends == 0).all(1)]
    outlet = mesh.boundary_facets[(ends == 4).all(1)]
    return mesh.with_tags(
        inlet=mesh.make_tag(1, inlet), outlet=mesh.make_tag(1, outlet), steel=mesh.make_tag(2, torch.arange(8))
    )


def sphere() -> Mesh:
    k = np.arange(150) + 0.5
    polar, turn = np.arccos(1 - 2 * k / 150), np.pi * (1 + 5**0.5) * k
    points = np.c_[np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)]
    return Mesh(points, {"triangle": ConvexHull(points).simplices}, name="sphere")


def bricks(n: int = 2) -> Mesh:
    axes = np.meshgrid(*[np.linspace(0, length, n + 1) for length in (2.0, 1.0, 0.5)], indexing="ij")
    points = np.stack([a.ravel() for a in axes], 1)
    i = np.arange(len(points)).reshape(n + 1, n + 1, n + 1)
    corners = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)]
    cells = np.stack([i[a : n + a, b : n + b, c : n + c].ravel() for a, b, c in corners], 1)
    return Mesh(points, {"hexahedron": cells}, name="bricks")


def tets() -> Mesh:
    block = bricks()
    cells = block.cells["hexahedron"].numpy()
    around = [(0, 1, 2, 6), (0, 2, 3, 6), (0, 3, 7, 6), (0, 7, 4, 6), (0, 4, 5, 6), (0, 5, 1, 6)]
    return Mesh(block.points, {"tetra": np.concatenate([cells[:, k] for k in around])}, name="tets")


def prisms() -> Mesh:
    """A wedge with a pyramid on one of its sides."""
    points = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 0.5]]
    return Mesh(points, {"wedge": [[0, 1, 2, 3, 4, 5]], "pyramid": [[1, 4, 5, 2, 6]]}, name="prisms")


def quadratic() -> Mesh:
    """Two six-node triangles on a square; points 4..8 are mid-side nodes."""
    points = [[0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0], [1, 0.5], [0.5, 0.5], [0.5, 1], [0, 0.5]]
    return Mesh(points, {"triangle6": [[0, 1, 2, 4, 5, 6], [0, 2, 3, 6, 7, 8]]}, name="quadratic")


def interval() -> Mesh:
    return Mesh(np.linspace(0, 1, 12)[:, None], {"line": np.c_[np.arange(11), np.arange(1, 12)]}, name="interval")


def network() -> Mesh:
    return Mesh([[0, 0], [1, 0], [2, 1], [2, -1]], {"line": [[0, 1], [1, 2], [1, 3]]}, name="network")


def pipes() -> Mesh:
    return Mesh([[0, 0, 0], [1, 0, 0], [2, 1, 0], [2, -1, 1]], {"line": [[0, 1], [1, 2], [1, 3]]}, name="pipes")


SHAPES = (disk, channel, sphere, bricks, tets, prisms, quadratic, interval, network, pipes)


@pytest.fixture(scope="session")
def shape() -> Callable[[str], Mesh]:
    """``shape("disk")`` makes the mesh of that name, once for all tests."""
    made = {make.__name__: make() for make in SHAPES}
    return lambda name: made[name]
