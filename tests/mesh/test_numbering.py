"""Unknowns in another order: the same numbers at the same points, and neighbours close in memory."""

from __future__ import annotations

import pytest
import torch

from graphpde.core.kernels.plan import is_scattered
from graphpde.core.ordering import bandwidth_order
from graphpde.dynamics import steady
from graphpde.mesh import Mesh, Space, random_cube, random_square, rectangle
from graphpde.ops import Diffusion, Dirichlet, Source


def shuffled(mesh: Mesh, seed: int = 0) -> Mesh:
    """The same mesh with its points in random order."""
    order = torch.randperm(mesh.n, generator=torch.Generator().manual_seed(seed))
    place = torch.empty_like(order)
    place[order] = torch.arange(mesh.n)
    blocks = {kind: place[nodes] for kind, nodes in mesh.cells.items()}
    return Mesh(mesh.points[order], blocks)


@pytest.mark.parametrize("mesh", [random_square(8, seed=1), random_cube(4, seed=2)], ids=["triangles", "tets"])
def test_the_solution_at_the_points_does_not_change(mesh: Mesh) -> None:
    found = []
    for space in (Space(mesh), Space(mesh, reorder=True)):
        term = Diffusion(space) + Dirichlet("boundary", lambda x, t: x[:, :1]) + Source(space, 1.0)
        found.append(space.at_points(steady(term, torch.zeros(space.n, 1, dtype=torch.float64), rtol=1e-13).value))
    torch.testing.assert_close(*found, rtol=1e-11, atol=1e-11)
    assert not torch.equal(Space(mesh, reorder=True).point_of_dof, Space(mesh).point_of_dof)


def test_sets_geometry_and_values_follow_the_unknowns() -> None:
    mesh = rectangle(7, 5)
    plain, space = Space(mesh), Space(mesh, reorder=True)
    torch.testing.assert_close(space.pos, mesh.points[space.point_of_dof])
    assert torch.equal(space.dof_of_point[space.point_of_dof], torch.arange(space.n))
    for name, tag in space.tags.items():
        assert torch.equal(tag.nodes, tag.nodes.sort().values)
        assert set(space.point_of_dof[tag.nodes].tolist()) == set(plain.tags[name].nodes.tolist())
    u = torch.randn(mesh.n, 2, dtype=torch.float64)
    assert torch.equal(space.at_points(space.from_points(u)), u)


def test_the_bandwidth_of_a_shuffled_mesh_comes_back() -> None:
    mesh = shuffled(rectangle(20, 20))

    def bandwidth(space: Space) -> int:
        src, dst = space.edges.pairs()
        return int((src - dst).abs().max())

    assert bandwidth(Space(mesh)) > 300
    assert bandwidth(Space(mesh, reorder=True)) <= 42  # two layers of the front of a 21 x 21 grid


def test_a_scattered_mesh_is_reordered_by_itself_and_an_ordered_one_is_not() -> None:
    mesh = rectangle(300, 300)
    assert torch.equal(Space(mesh, reorder=None).point_of_dof, torch.arange(mesh.n))
    found = Space(shuffled(mesh), reorder=None)
    assert not is_scattered(found.edges.pairs()[0]) and not torch.equal(found.point_of_dof, torch.arange(mesh.n))


def test_isolated_nodes_and_nothing_at_all_have_an_order() -> None:
    order = bandwidth_order(torch.tensor([0, 2]), torch.tensor([2, 0]), 4)
    assert sorted(order.tolist()) == [0, 1, 2, 3]
    assert bandwidth_order(torch.tensor([], dtype=torch.int64), torch.tensor([], dtype=torch.int64), 2).numel() == 2
