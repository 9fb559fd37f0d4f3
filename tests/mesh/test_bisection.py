"""Bisection of triangles: conforming, nested, of bounded shapes, with named sets and fields handed down."""

from __future__ import annotations

import pytest
import torch

from graphpde.errors import MeshError, ShapeError
from graphpde.mesh import P2, Mesh, Space, disk, rectangle, sphere
from graphpde.mesh.bisection import Bisected, bisect, bulk, newest_first

F64 = torch.float64


def square() -> Mesh:
    mesh = rectangle(4, 3)
    inside = mesh.points[mesh.cells["triangle"]].mean(1)[:, 0] < 0.5
    return newest_first(mesh.with_tags(**mesh.tags, west=mesh.make_tag(2, inside.nonzero()[:, 0])))


def areas(mesh: Mesh) -> torch.Tensor:
    a, b, c = mesh.points[mesh.cells["triangle"]].unbind(1)
    if mesh.space_dim == 2:
        return ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    return torch.linalg.cross(b - a, c - a).norm(dim=1) / 2


def least_angle(mesh: Mesh) -> float:
    x = mesh.points[mesh.cells["triangle"]]
    found = []
    for k in range(3):
        one, other = x[:, (k + 1) % 3] - x[:, k], x[:, (k + 2) % 3] - x[:, k]
        found.append(torch.arccos((one * other).sum(1) / (one.norm(dim=1) * other.norm(dim=1))))
    return float(torch.stack(found).min())


def towards(mesh: Mesh, point: list[float], times: int) -> Bisected:
    step = None
    for _ in range(times):
        centre = mesh.points[mesh.cells["triangle"]].mean(1)
        near = (centre - torch.tensor(point, dtype=F64)).norm(dim=1)
        step = bisect(mesh, near.argsort()[:3])
        mesh = step.mesh
    assert step is not None
    return step


def test_the_mesh_stays_conforming_and_fills_the_same_region() -> None:
    coarse = fine = square()
    generator = torch.Generator().manual_seed(0)
    for _ in range(12):
        small = areas(fine).argsort()[: fine.n_cells // 3]  # some of the smallest: their neighbours have to follow
        fine = bisect(fine, small[torch.randint(len(small), (3,), generator=generator)]).mesh
    assert torch.isclose(areas(fine).sum(), areas(coarse).sum(), rtol=1e-13)
    assert bool((areas(fine) > 0).all())  # no child is turned over
    assert float(areas(fine).min()) <= 2**-8 * float(areas(coarse).min())
    lengths = fine.points[fine.entities(1).nodes[fine.boundary_facets, :2]]
    assert torch.isclose((lengths[:, 0] - lengths[:, 1]).norm(dim=1).sum(), torch.tensor(4.0, dtype=F64))  # no slits
    assert not len(fine.nonmanifold_facets)


def test_shapes_stay_in_four_classes() -> None:
    coarse = square()
    generations = [coarse]
    for _ in range(10):
        generations.append(towards(generations[-1], [0.3, 0.7], 1).mesh)
    half = least_angle(coarse) / 2
    assert all(least_angle(mesh) > half * 0.999 for mesh in generations)
    everywhere = coarse
    for _ in range(6):
        everywhere = bisect(everywhere, torch.ones(everywhere.n_cells, dtype=torch.bool)).mesh
    assert least_angle(everywhere) > half * 0.999 and everywhere.n_cells >= 2**6 * coarse.n_cells


def test_linear_fields_go_over_exactly_and_lie_where_they_were() -> None:
    coarse = square()
    u = torch.stack([coarse.points[:, 0] * 2 - coarse.points[:, 1], torch.ones(coarse.n, dtype=F64)], 1)
    step = bisect(coarse, torch.arange(0, coarse.n_cells, 3))
    fine = step.mesh
    found = step.transfer(u[None])
    expected = torch.stack([fine.points[:, 0] * 2 - fine.points[:, 1], torch.ones(fine.n, dtype=F64)], 1)
    torch.testing.assert_close(found[0], expected, rtol=1e-14, atol=1e-14)
    rough = torch.randn(coarse.n, 1, dtype=F64)  # the same function: equal integrals
    torch.testing.assert_close(Space(fine).integral(step.transfer(rough)), Space(coarse).integral(rough))
    whole = torch.zeros(coarse.n_cells, dtype=F64).index_add(0, step.owner, areas(fine))
    torch.testing.assert_close(whole, areas(coarse))


def test_named_sets_go_over() -> None:
    coarse = square()
    fine = towards(coarse, [0.0, 0.0], 5).mesh
    assert set(fine.tags) == set(coarse.tags)
    for name in ("left", "right", "bottom", "top"):
        ids = fine.tags[name].ids
        nodes = fine.entities(1).nodes[ids, :2]
        x = fine.points[nodes]
        assert torch.isclose((x[:, 0] - x[:, 1]).norm(dim=1).sum(), torch.tensor(1.0, dtype=F64))
    assert len(fine.tags["left"].ids) > len(coarse.tags["left"].ids)
    west = torch.isin(torch.arange(fine.n_cells), fine.tags["west"].ids)
    centre = fine.points[fine.cells["triangle"]].mean(1)[:, 0]
    assert bool((west == (centre < 0.5)).all())


def test_new_points_on_round_rims_lie_on_the_circle() -> None:
    fine = newest_first(disk(size=0.5))
    for _ in range(6):
        fine = bisect(fine, fine.facets.cells[fine.boundary_facets, 0]).mesh
    rim = fine.points[fine.tags["outer"].nodes].norm(dim=1)
    torch.testing.assert_close(rim, torch.ones_like(rim), rtol=0, atol=1e-14)
    assert len(rim) > 64 and bool((areas(fine) > 0).all())
    missing = torch.pi - float(areas(fine).sum())  # that of a polygon with sides h is pi h^2 / 6 or less
    longest = 2 * torch.pi / len(rim) * 4
    assert 0 < missing < torch.pi * longest**2 / 6
    assert Space(fine, P2()).mesh.points.norm(dim=1).max() < 1 + 1e-12  # middles of quadratic sides lie on it, too
    ball = newest_first(sphere(1))
    for _ in range(3):
        ball = bisect(ball, torch.ones(ball.n_cells, dtype=torch.bool)).mesh
    torch.testing.assert_close(ball.points.norm(dim=1), torch.ones(ball.n, dtype=F64))


def test_surfaces_are_bisected() -> None:
    coarse = newest_first(sphere(1)).with_bends()
    fine = bisect(coarse, torch.arange(5)).mesh
    assert fine.n_cells > coarse.n_cells and not len(fine.boundary_facets)
    assert torch.isclose(areas(fine).sum(), areas(coarse).sum())


def test_nothing_marked_changes_nothing() -> None:
    coarse = square()
    step = bisect(coarse, torch.zeros(0, dtype=torch.int64))
    assert torch.equal(step.mesh.cells["triangle"], coarse.cells["triangle"]) and step.mesh.n == coarse.n


def test_bulk_takes_the_fewest_cells() -> None:
    indicators = torch.tensor([1.0, 3.0, 0.0, 2.0], dtype=F64)
    assert bulk(indicators, 0.5).tolist() == [False, True, False, False]  # 9 of 14
    assert bulk(indicators, 0.7).tolist() == [False, True, False, True]
    assert bulk(indicators, 1.0).tolist() == [True, True, False, True]


def test_refusals() -> None:
    with pytest.raises(MeshError, match="quad cells, bisection needs triangles"):
        newest_first(rectangle(2, 2, cells="quad"))
    coarse = square()
    with pytest.raises(ShapeError, match=r"expected one truth value a triangle: \[24\]"):
        bisect(coarse, torch.ones(3, dtype=torch.bool))
    with pytest.raises(MeshError, match="expected numbers from 0 to 23"):
        bisect(coarse, torch.tensor([24]))
    with pytest.raises(ShapeError, match="one row per point of the coarser mesh"):
        bisect(coarse, torch.arange(2)).transfer(torch.ones(3, 1))
    with pytest.raises(MeshError, match="theta = 0"):
        bulk(torch.ones(3), 0.0)
    with pytest.raises(MeshError, match="finite and not negative"):
        bulk(torch.tensor([1.0, float("nan")]))
