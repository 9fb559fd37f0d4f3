"""Neighbours against brute force: by a tree and by blocks, with ties, coincident points, batches and nothing at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphpde.core import neighbors
from graphpde.core.neighbors import complete, knn, radius
from graphpde.core.relation import Relation
from graphpde.errors import GraphError, InputError, ShapeError

F64 = torch.float64


@pytest.fixture(params=["tree", "blocks"])
def route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tree on the processor; the distance table in blocks that other devices use."""
    if request.param == "blocks":
        monkeypatch.setattr(neighbors, "has_tree", lambda points: False)
        monkeypatch.setattr(neighbors, "_ENTRIES", 40)
    return request.param


def edges_of(rel: Relation) -> list[tuple[int, int]]:
    return sorted(zip(*(v.tolist() for v in rel.pairs())))


def table(points: Tensor, queries: Tensor) -> Tensor:
    """Squared distances [q, n] by a loop."""
    return torch.tensor(
        [[sum((float(a) - float(b)) ** 2 for a, b in zip(p, q)) for p in points] for q in queries]
    ).reshape(len(queries), len(points))


def check_nearest(rel: Relation, squares: Tensor, k: int, same: bool, allowed: Tensor | None = None) -> None:
    """k different sources each, none of them the point itself, and nobody nearer is left out."""
    squares = squares.clone()
    if same:
        squares.fill_diagonal_(float("inf"))
    if allowed is not None:
        squares[~allowed] = float("inf")
    chosen: dict[int, list[int]] = {i: [] for i in range(len(squares))}
    for j, i in edges_of(rel):
        chosen[i].append(j)
    for i, mine in chosen.items():
        assert len(set(mine)) == len(mine) == k
        found = sorted(float(squares[i, j]) for j in mine)
        assert found == pytest.approx(sorted(squares[i].tolist())[:k], rel=1e-12) and found[-1] < float("inf")


def clouds() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(3)
    grid = torch.cartesian_prod(torch.arange(4.0), torch.arange(3.0))
    return {
        "line": torch.rand(12, 1, dtype=F64, generator=draw),
        "plane": torch.rand(15, 2, dtype=F64, generator=draw),
        "space": torch.rand(15, 3, generator=draw),
        "ties on a grid": grid,
        "all coincident": torch.ones(6, 2),
        "pairs of coincident": torch.rand(5, 2, dtype=F64, generator=draw).repeat(2, 1),
        "far away": torch.rand(12, 2, dtype=F64, generator=draw) + 1e6,
    }


@pytest.mark.usefixtures("route")
@pytest.mark.parametrize("name", clouds())
def test_nearest_neighbours(name: str) -> None:
    points = clouds()[name]
    squares = table(points, points)
    for k in (1, 3, len(points) - 1):
        rel = knn(points, k)
        assert (rel.n_src, rel.n_dst) == (len(points), len(points))
        check_nearest(rel, squares, k, same=True)
        itself = knn(points, k + 1, loop=True)
        assert set(itself.pairs()[0][itself.loops].tolist()) == set(range(len(points)))
        assert itself.degree.tolist() == [k + 1] * len(points)
    queries = points[:4] + 0.25
    rel = knn(points, 2, queries=queries)
    assert (rel.n_src, rel.n_dst) == (len(points), 4)
    check_nearest(rel, table(points, queries), 2, same=False)
    check_nearest(knn(points, 2, queries=points), squares, 2, same=False)


@pytest.mark.usefixtures("route")
@pytest.mark.parametrize("name", clouds())
def test_neighbours_within_a_radius(name: str) -> None:
    points = clouds()[name]
    squares = table(points, points)
    for r in (1e-9, 0.3, 1.0, 2.0, 10.0):
        near = squares <= r * r
        pairs = [(j, i) for i in range(len(points)) for j in range(len(points)) if near[i, j]]
        rel = radius(points, r)
        assert edges_of(rel) == sorted((j, i) for j, i in pairs if i != j)
        assert rel.is_symmetric
        assert edges_of(radius(points, r, loop=True)) == sorted(pairs)
        assert edges_of(radius(points, r, queries=points)) == sorted(pairs)
        queries = points[:3] + 0.125
        inside = table(points, queries) <= r * r
        expected = sorted((j, i) for i in range(3) for j in range(len(points)) if inside[i, j])
        assert edges_of(radius(points, r, queries=queries)) == expected


@pytest.mark.usefixtures("route")
def test_no_edge_joins_two_graphs_of_a_batch() -> None:
    points = torch.rand(24, 2, dtype=F64)
    batch = torch.randint(3, (24,))
    batch[:12] = torch.arange(12) % 3
    same_graph = batch[:, None] == batch
    squares = table(points, points)
    check_nearest(knn(points, 3, batch=batch), squares, 3, same=True, allowed=same_graph)
    expected = sorted(
        (j, i) for i in range(24) for j in range(24) if same_graph[i, j] and i != j and squares[i, j] <= 0.16
    )
    assert edges_of(radius(points, 0.4, batch=batch)) == expected
    queries, query_batch = torch.rand(5, 2, dtype=F64), torch.tensor([2, 2, 0, 1, 1])
    allowed = query_batch[:, None] == batch
    rel = knn(points, 2, queries=queries, batch=batch, query_batch=query_batch)
    check_nearest(rel, table(points, queries), 2, same=False, allowed=allowed)
    near = radius(points, 5.0, queries=queries, batch=batch, query_batch=query_batch)
    assert edges_of(near) == sorted((j, i) for i in range(5) for j in range(24) if allowed[i, j])
    other = radius(
        points, 5.0, queries=queries, batch=torch.zeros(24, dtype=torch.int64), query_batch=torch.ones(5).long()
    )
    assert other.n_edges == 0


@pytest.mark.usefixtures("route")
def test_isolated_points_have_no_neighbours_within_a_radius() -> None:
    points = torch.tensor([[0.0, 0.0], [0.5, 0.0], [9.0, 9.0]])
    assert radius(points, 1.0).degree.tolist() == [1, 1, 0]


@pytest.mark.usefixtures("route")
def test_too_many_neighbours_are_an_error_never_left_out() -> None:
    points = torch.tensor([[0.0], [0.1], [0.2], [5.0]])
    with pytest.raises(GraphError, match=r"point 0 has 2 neighbours within r = 1, more than max_neighbors = 1"):
        radius(points, 1.0, max_neighbors=1)
    assert radius(points, 1.0, max_neighbors=2).n_edges == 6
    with pytest.raises(GraphError, match="point 0 has 3 neighbours"):
        radius(points, 1.0, queries=points[:1], max_neighbors=2)


@pytest.mark.usefixtures("route")
def test_nothing_has_no_neighbours() -> None:
    none, some = torch.empty(0, 2), torch.rand(4, 2)
    for rel in (
        knn(none, 3),
        radius(none, 1.0),
        radius(none, 1.0, loop=True, max_neighbors=2),
        knn(none, 1, loop=True),
    ):
        assert (rel.n_src, rel.n_dst, rel.n_edges) == (0, 0, 0)
    assert (knn(some, 2, queries=none).n_dst, radius(some, 1.0, queries=none).n_edges) == (0, 0)
    assert radius(none, 1.0, queries=some).n_dst == 4
    assert knn(some, 1, loop=True).loops.tolist() == [0, 1, 2, 3]
    assert knn(some[:1], 1, loop=True).n_edges == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), st.integers(1, 3), st.integers(0, 10**6), st.sampled_from([1, 2, 50]))
def test_tree_and_blocks_agree_on_random_clouds(n: int, d: int, seed: int, cells: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    points = (
        torch.randint(cells + 1, (n, d), generator=draw).to(F64) / cells
    )  # few cells: many ties and coincident points
    squares = table(points, points)
    k = 1 + seed % (n - 1)
    by_tree = [edges_of(radius(points, 0.5)), edges_of(radius(points, 1.0, queries=points))]
    check_nearest(knn(points, k), squares, k, same=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbors, "has_tree", lambda points: False)
        assert [edges_of(radius(points, 0.5)), edges_of(radius(points, 1.0, queries=points))] == by_tree
        check_nearest(knn(points, k), squares, k, same=True)


def test_everybody_with_everybody() -> None:
    assert edges_of(complete(3)) == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    assert edges_of(complete(2, loop=True)) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    batch = torch.tensor([1, 0, 1, 0, 0, 4])
    allowed = batch[:, None] == batch
    for loop in (False, True):
        expected = sorted((j, i) for i in range(6) for j in range(6) if allowed[i, j] and (loop or i != j))
        assert edges_of(complete(6, loop=loop, batch=batch)) == expected
    assert complete(0).n_edges == complete(1).n_edges == 0 and complete(1, loop=True).n_edges == 1


POINTS = torch.rand(4, 2)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (
            lambda: knn(POINTS, 4),
            GraphError,
            "4 nearest other points were asked for, but there are 3; take a smaller k",
        ),
        (lambda: knn(POINTS, 5, loop=True), GraphError, "4 nearest other points were asked for, but there are 3"),
        (lambda: knn(POINTS, 5, queries=POINTS), GraphError, "5 nearest points were asked for, but there are 4"),
        (
            lambda: knn(POINTS, 2, batch=torch.tensor([0, 0, 0, 1])),
            GraphError,
            "2 nearest other points were asked for, but there are 0 in graph 1 of the batch",
        ),
        (lambda: knn(POINTS, 0), InputError, "k = 0, expected a whole number >= 1"),
        (lambda: knn(POINTS, 1.5), InputError, "k = 1.5, expected a whole number >= 1"),
        (lambda: radius(POINTS, 0.0), InputError, "r = 0.0, expected a finite radius > 0"),
        (lambda: radius(POINTS, -1.0), InputError, "r = -1.0, expected a finite radius > 0"),
        (lambda: radius(POINTS, float("nan")), InputError, "r = nan, expected a finite radius > 0"),
        (lambda: radius(POINTS, float("inf")), InputError, "r = inf, expected a finite radius > 0"),
        (lambda: radius(POINTS, 1.0, max_neighbors=0), InputError, "max_neighbors = 0, expected a whole number >= 1"),
        (
            lambda: knn(torch.tensor([[0.0], [float("nan")], [float("inf")]]), 1),
            InputError,
            "pos is not finite at 2 points, first at 1",
        ),
        (lambda: radius(POINTS, 1.0, queries=POINTS / 0), InputError, "queries is not finite at 4 points, first at 0"),
        (lambda: knn(torch.rand(4), 1), ShapeError, r"pos has shape \[4\], expected \[n, d\]"),
        (
            lambda: knn(POINTS, 1, queries=torch.rand(3, 3)),
            ShapeError,
            r"queries has shape \[3, 3\], expected \[n, 2\]",
        ),
        (lambda: knn(POINTS, 1, batch=torch.zeros(3).long()), ShapeError, r"batch has shape \[3\], expected \[4\]"),
        (lambda: knn(POINTS, 1, batch=torch.zeros(4)), GraphError, "batch holds torch.float32"),
        (
            lambda: knn(POINTS, 1, batch=-torch.ones(4).long()),
            GraphError,
            "batch holds torch.int64 down to -1, expected",
        ),
        (
            lambda: knn(POINTS, 1, queries=POINTS, loop=True),
            InputError,
            "loop=True joins a point to itself, but the queries",
        ),
        (
            lambda: knn(POINTS, 1, query_batch=torch.zeros(4).long()),
            InputError,
            "query_batch was given without queries",
        ),
        (
            lambda: radius(POINTS, 1.0, queries=POINTS, batch=torch.zeros(4).long()),
            InputError,
            "batch and query_batch go together",
        ),
        (lambda: complete(-1), GraphError, "n = -1, expected a whole number of nodes >= 0"),
        (lambda: complete(2, batch=torch.zeros(3).long()), ShapeError, r"batch has shape \[3\], expected \[2\]"),
    ],
)
def test_wrong_clouds_are_refused(build: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build()
