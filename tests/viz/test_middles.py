"""Quadratic cells are drawn with their middle nodes: faces in pieces that cover them, sides in halves."""

from __future__ import annotations

import numpy as np
import pytest

from graphpde.mesh import Space, box, disk, rectangle
from graphpde.mesh.elements import P2, Q2
from graphpde.mesh.generate import SHAPES
from graphpde.mesh.mesh import Mesh
from graphpde.viz import plot_field, plot_mesh
from graphpde.viz.middles import Middles
from graphpde.viz.scene import scene
from graphpde.viz.skin import areas, skin

TRIANGLE = [[0, 0], [1, 0], [0, 1], [0.5, 0], [0.5, 0.5], [0, 0.5]]
SQUARE = [[0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0], [1, 0.5], [0.5, 1], [0, 0.5], [0.5, 0.5]]
MESHES = {
    "triangle6": (Mesh(TRIANGLE, {"triangle6": [[0, 1, 2, 3, 4, 5]]}), 4, 0.5),
    "triangle7": (Mesh([*TRIANGLE, [0.3, 0.3]], {"triangle7": [[0, 1, 2, 3, 4, 5, 6]]}), 6, 0.5),
    "quad8": (Mesh(SQUARE[:8], {"quad8": [list(range(8))]}), 6, 1.0),
    "quad9": (Mesh(SQUARE, {"quad9": [list(range(9))]}), 8, 1.0),
    "mixed": (Mesh([*SQUARE[:8], [2, 0.5]], {"quad8": [list(range(8))], "triangle": [[1, 8, 2]]}), 7, 1.5),
    "tetra10": (Space(box(1, 1, 1), P2()).mesh, 12 * 4, 6.0),
    "hexahedron27": (Space(SHAPES["box_hexahedra"](size=0.5), Q2()).mesh, 6 * 4 * 6, 6.0),
    "wedge18": (Space(SHAPES["box_wedges"](size=1.0), Q2()).mesh, None, 6.0),
}


@pytest.mark.parametrize("name", MESHES)
def test_pieces_cover_the_faces_once(name: str) -> None:
    mesh, count, area = MESHES[name]
    seen = skin(mesh)
    assert areas(seen.points[seen.triangles]).sum() == pytest.approx(area, rel=1e-12)
    assert count is None or len(seen.triangles) == count
    corners = seen.points[seen.triangles]
    flat = np.pad(corners, ((0, 0), (0, 0), (0, 3 - corners.shape[2])))
    turns = np.cross(flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0])
    if mesh.space_dim == 2:
        assert (turns[:, 2] > 0).all()  # none is folded over


def test_curved_borders_are_followed() -> None:
    mesh = Space(disk(0.5), P2()).mesh
    border = scene(mesh).pairs
    assert len(border) == 2 * len(mesh.boundary_facets)
    corners = set(mesh.boundary_nodes.tolist())
    assert set(border[::2, 0]) | set(border[1::2, 1]) == corners and not set(border[::2, 1]) & corners


def test_middle_nodes_without_a_value_take_the_mean_of_their_ends() -> None:
    middles = Middles(MESHES["triangle6"][0])
    u = np.array([0.0, 2.0, 4.0, np.nan, 10.0, np.nan])
    assert middles.completed(u).tolist() == [0, 2, 4, 1, 10, 2] and np.isnan(u[3])
    assert middles.of(np.array([1, 0]), np.array([0, 0])).tolist() == [3, -1]
    assert middles.halved(np.array([[0, 1], [4, 5]])).tolist() == [[0, 3], [3, 1], [4, 5]]
    linear = Middles(rectangle(2, 2))
    assert len(linear) == 0 and linear.completed(u) is u


def test_a_picture_shows_the_values_at_middle_nodes() -> None:
    """A bump at one middle node alone must be seen; by their vertices the cells would look flat."""
    mesh = MESHES["triangle6"][0]
    bump, missing = np.array([0, 0, 0, 1.0, 0, 0]), np.array([0, 1, 2, np.nan, np.nan, np.nan])
    figure = plot_field(mesh, bump)
    (drawn,) = [k for k in figure.axes[0].collections if k.get_array() is not None and len(k.get_array()) > 3]
    assert drawn.get_array().max() == 1
    assert not [t for t in plot_field(mesh, missing).axes[0].texts if "no value" in t.get_text()]
    plot_mesh(mesh)
