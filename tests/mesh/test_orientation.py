"""Cells are turned the right way round with a counted warning; cells without size are refused with their numbers."""

from __future__ import annotations

import pytest
import torch

from graphpde.errors import MeshError
from graphpde.mesh import (
    Mesh,
    Space,
    box,
    facet_normals,
    interval,
    jittered,
    random_cube,
    random_square,
    rectangle,
    signed_measures,
    sphere,
    star,
)
from graphpde.mesh.orientation import oriented


def turned(mesh: Mesh, which: slice) -> Mesh:
    """Some cells mirrored by exchanging two corners."""
    ((kind, nodes),) = mesh.cells.items()
    swap = {"line": [1, 0], "triangle": [0, 2, 1], "quad": [0, 3, 2, 1], "tetra": [1, 0, 2, 3]}[kind]
    nodes = nodes.clone()
    nodes[which] = nodes[which][:, swap]
    return mesh.with_cells({kind: nodes})


@pytest.mark.parametrize(
    "mesh",
    [
        jittered(interval(6), 0.2),
        random_square(3, seed=1),
        jittered(rectangle(3, 3, cells="quad"), 0.2),
        random_cube(2),
    ],
    ids=["lines", "triangles", "quads", "tets"],
)
def test_negative_cells_are_turned_and_counted(mesh: Mesh) -> None:
    wrong = turned(mesh, slice(1, None, 3))
    count = len(range(1, mesh.n_cells, 3))
    fixed, notes = oriented(wrong)
    assert notes == [f"{count} of {mesh.n_cells} cells had negative orientation and were turned"]
    assert bool((signed_measures(fixed) > 0).all())
    # the same cells in the same places, with the sets they had
    for kind, nodes in fixed.cells.items():
        assert torch.equal(nodes.sort(1)[0], mesh.cells[kind].sort(1)[0])
    for name, tag in mesh.tags.items():
        assert torch.equal(fixed.tags[name].nodes, tag.nodes)
        found = fixed.entities(tag.dim).nodes[tag.ids].sort(1)[0]
        assert torch.equal(found, mesh.entities(tag.dim).nodes[tag.ids].sort(1)[0])
    assert Space(wrong).warnings == tuple(notes)


def test_a_right_mesh_is_left_alone() -> None:
    mesh = random_square(3, seed=1)
    assert oriented(mesh) == (mesh, [])
    assert Space(mesh).warnings == ()


def test_surfaces_and_networks_have_no_sign() -> None:
    for mesh in (sphere(1), star(3, 2)):
        ((kind, nodes),) = mesh.cells.items()
        backwards = mesh.with_cells({kind: nodes.flip(1)})
        assert oriented(backwards) == (backwards, [])
        assert torch.allclose(Space(backwards).measure, Space(mesh).measure)


def test_quadratic_cells_are_noted_and_become_linear_when_turned() -> None:
    points = torch.tensor([[0.0, 0], [1, 0], [0, 1], [0.5, 0], [0.5, 0.5], [0, 0.5]])
    mesh = Mesh(points, {"triangle6": [[0, 1, 2, 3, 4, 5]]})
    fixed, notes = oriented(mesh)
    assert fixed is mesh
    assert notes == ["1 triangle6 cells are used at their vertices as triangle cells"]
    fixed, notes = oriented(Mesh(points, {"triangle6": [[0, 2, 1, 5, 4, 3]]}))
    assert list(fixed.cells) == ["triangle"]
    assert len(notes) == 2


def test_zero_area_names_count_and_first_cells() -> None:
    mesh = rectangle(4, 4)
    points = mesh.points.clone()
    points[1:4, 1] = 0.25  # the interior points of the bottom row fall onto the row above
    with pytest.raises(MeshError, match=r"\d+ of 32 cells of 'rectangle' have zero size, first \[\d+, \d+, \d+\]"):
        Space(mesh.with_points(points))


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e6])
def test_flat_is_relative_to_the_cell(scale: float) -> None:
    flat = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1 / 3, 1 / 3, 0]], dtype=torch.float64)
    with pytest.raises(MeshError, match=r"1 of 1 cells of 'mesh' have zero size, first \[0\]"):
        Space(Mesh(scale * flat, {"tetra": [[0, 1, 2, 3]]}))
    thin = flat + torch.tensor([0, 0, 0, 1.0])[:, None] * torch.tensor([0, 0, 1e-9])
    assert Space(Mesh(scale * thin, {"tetra": [[0, 1, 2, 3]]})).n == 4
    with pytest.raises(MeshError, match="zero size"):  # a triangle of a surface
        Space(Mesh(scale * flat[[0, 1, 1]], {"triangle": [[0, 1, 2]]}))
    with pytest.raises(MeshError, match="zero size"):
        Space(Mesh(scale * flat[[0, 0], :1], {"line": [[0, 1]]}))


def test_folded_quadrilaterals_are_refused() -> None:
    points = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1], [0.2, 0.2]])
    for crossed in ([0, 2, 1, 3], [0, 1, 4, 3]):  # a bow tie; an arrow head whose corner points inward
        with pytest.raises(MeshError, match=r"1 quadrilaterals of 'mesh' are folded or not convex, first \[0\]"):
            Space(Mesh(points, {"quad": [crossed]}))


def test_mixed_orders_of_negative_cells_are_refused() -> None:
    points = torch.tensor([[0.0, 0], [1, 0], [0, 1], [0.5, 0], [0.5, 0.5], [0, 0.5], [1, 1]])
    mesh = Mesh(points, {"triangle": [[1, 2, 6]], "triangle6": [[0, 2, 1, 5, 4, 3]]})
    with pytest.raises(MeshError, match="mixes linear and higher-order triangle cells of negative orientation"):
        Space(mesh)


def test_boundary_normals_do_not_depend_on_orientation() -> None:
    mesh = box(2, 2, 2)
    assert torch.allclose(facet_normals(turned(mesh, slice(None, None, 2))), facet_normals(mesh))
