"""Cells of several orders in one mesh: which element they get, and that nothing is renumbered on the way."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphpde.core.linear_operator import Sparse
from graphpde.errors import MeshError
from graphpde.mesh import Mesh, Space, box, jittered, random_square, rectangle
from graphpde.mesh.cells import CELLS
from graphpde.mesh.elements import P2, Q1, Q2, Element
from graphpde.mesh.second_order import completed


def split(mesh: Mesh, lower: str) -> Mesh:
    """The complete mesh with the first cells in a type that has fewer nodes."""
    ((full, nodes),) = mesh.cells.items()
    some = len(nodes) // 3
    return Mesh(mesh.points, {lower: nodes[:some, : CELLS[lower].nodes], full: nodes[some:]})


def stiffness(space: Space, kappa: Tensor) -> Tensor:
    """Dense stiffness, unknowns in the order of their places."""
    dense = torch.from_numpy(Sparse.laplacian(space.edges, space.stiffness(kappa)).to_scipy().toarray())
    assert space.pos is not None
    key = space.pos @ torch.tensor([1.0, 7.3, 51.1][: space.pos.shape[1]], dtype=torch.float64)
    order = key.argsort()
    return dense[order][:, order]


@pytest.mark.parametrize(
    ("mesh", "lower", "element"),
    [
        (jittered(rectangle(4, 3, cells="quad"), 0.2, seed=1), "quad8", None),
        (jittered(rectangle(4, 3, cells="quad"), 0.2, seed=1), "quad", Q2()),
        (random_square(3, seed=2), "triangle", P2()),
        (box(3, 2, 2, cells="hexahedron"), "hexahedron20", None),
        (box(3, 2, 2, cells="hexahedron"), "hexahedron24", None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_cells_of_two_orders_become_one_block(mesh: Mesh, lower: str, element: Element | None) -> None:
    """Straight cells: the matrix is that of the complete mesh, with a conductivity that tells the cells apart."""
    whole = completed(mesh)
    kappa = 1 + torch.arange(whole.n_cells, dtype=torch.float64)
    space = Space(split(whole, lower), element)
    assert space.element.degree == 2 and len(space.mesh.cells) == 1
    expected = stiffness(Space(whole), kappa)
    assert torch.allclose(stiffness(space, kappa), expected, rtol=0, atol=1e-12 * float(expected.abs().max()))


def test_orders_with_other_cells_between_are_used_at_their_vertices() -> None:
    """Joining them would renumber cells, so that sets and data per cell would point elsewhere."""
    quads = completed(rectangle(3, 1, cells="quad"))
    ((_, nodes),) = quads.cells.items()
    corners = nodes[1]
    points = torch.cat([quads.points, quads.points[corners[[0, 1]]].mean(0, keepdim=True)])
    triangle = torch.stack([corners[0], corners[1], corners[2], corners[4], corners[5], corners[8]])[None]
    mesh = Mesh(points, {"quad8": nodes[:1, :8], "triangle6": triangle, "quad9": nodes[2:]})
    space = Space(mesh)
    assert isinstance(space.element, Q1)
    assert sum("are used at their vertices" in note for note in space.warnings) == 3
    with pytest.raises(
        MeshError, match=r"others between \(quad8, triangle6, quad9\).*sort the blocks, or use P1 or Q1"
    ):
        Space(mesh, Q2())


def test_shells_called_solids_are_named() -> None:
    points = torch.tensor(
        [[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 0, 0], [1, 0.5, 0], [0.5, 1, 0], [0, 0.5, 0]]
    )
    with pytest.raises(MeshError, match="1 of 1 cells of 'mesh' have zero size.*does the file call surface elements"):
        Space(Mesh(points, {"hexahedron": [list(range(8))]}))


def test_a_linear_cell_takes_over_the_curve_of_its_neighbour() -> None:
    """Beside a curved triangle the straight one is curved as well: one middle, no gap."""
    corners = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
    points = torch.tensor([*corners, [0.5, 0.0], [1.0, 0.5], [0.6, 0.4]], dtype=torch.float64)
    mesh = Mesh(points, {"triangle6": torch.tensor([[0, 1, 2, 4, 5, 6]]), "triangle": torch.tensor([[0, 2, 3]])})
    whole = completed(mesh)
    assert list(whole.cells) == ["triangle6"]
    assert whole.cells["triangle6"][1].tolist() == [0, 2, 3, 6, 8, 7]
    assert torch.equal(whole.points[7:], torch.tensor([[0.0, 0.5], [0.5, 1.0]], dtype=torch.float64))
    area = Space(whole).measure.sum()
    assert float(area) == pytest.approx(1.0, rel=1e-13)


def test_the_sides_of_a_slit_are_joined_where_something_is_added() -> None:
    corners = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [2.0, 0.0]]
    middles = [[0.5, 0.0], [1.0, 0.5], [0.6, 0.4], [0.4, 0.6], [0.5, 1.0], [0.0, 0.5]]
    points = torch.tensor([*corners, *middles], dtype=torch.float64)
    slit = torch.tensor([[0, 1, 2, 5, 6, 7], [0, 2, 3, 8, 9, 10]])
    assert torch.equal(completed(Mesh(points, {"triangle6": slit})).cells["triangle6"], slit)
    more = completed(Mesh(points, {"triangle6": slit, "triangle": torch.tensor([[1, 4, 2]])})).cells["triangle6"]
    assert more[:2, 3:].tolist() == [[5, 6, 7], [7, 9, 10]] and int(more[2, 5]) == 6
