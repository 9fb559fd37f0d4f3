"""Graphs: sets of nodes, reductions, signed incidence, disjoint unions and refusals."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.core.graph import Graph, TagSet, unbatch, union
from graphpde.core.relation import Relation
from graphpde.errors import ConditionError, GraphError, InputError, ShapeError, UnknownName

F64 = torch.float64


def path(n: int, **parts: Any) -> Graph:
    """0 - 1 - ... - n-1, every edge in both directions."""
    a, b = torch.arange(n - 1), torch.arange(1, n)
    return Graph(Relation.from_edges(torch.cat([a, b]), torch.cat([b, a]), n, n), **parts)


def full(n: int, seed: int = 0) -> Graph:
    """A path with everything a graph can carry."""
    draw = torch.Generator().manual_seed(seed)
    base = path(n)
    ends = torch.tensor([0, n - 1]) if n else torch.empty(0, dtype=torch.int64)
    return path(
        n,
        pos=torch.rand(n, 2, dtype=F64, generator=draw),
        weight=torch.rand(base.edges.n_edges, dtype=F64, generator=draw),
        measure=torch.rand(n, dtype=F64, generator=draw),
        tags={"ends": TagSet(0, ends, ends), "cells": TagSet(2, torch.tensor([5]), ends)},
    )


def empty(n: int) -> Graph:
    none = torch.empty(0, dtype=torch.int64)
    return Graph(
        Relation.from_edges(none, none, n, n),
        pos=torch.zeros(n, 2, dtype=F64),
        weight=torch.empty(0, dtype=F64),
        measure=torch.ones(n, dtype=F64),
    )


# what is there


def test_missing_weight_and_measure_count_as_one() -> None:
    graph = path(3)
    assert graph.n == 3 and graph.weight.tolist() == [1.0] * 4 and graph.measure.tolist() == [1.0] * 3
    assert graph.weight.dtype == graph.dtype == F64 and repr(graph) == "Graph(3 nodes, 4 edges)"
    assert path(3, pos=torch.zeros(3, 1)).measure.dtype == torch.float32


def test_a_graph_is_frozen() -> None:
    graph = path(3)
    with pytest.raises(AttributeError, match="Graph is frozen; build a new one instead of setting 'pos'"):
        graph.pos = torch.zeros(3, 1)


def test_moving_changes_floats_and_keeps_indices() -> None:
    graph = union([full(3), full(2, 1)])
    single = graph.to(dtype=torch.float32)
    for moved in (single.pos, single.weight, single.measure):
        assert moved is not None and moved.dtype == torch.float32
    assert single.batch is not None and single.batch.dtype == torch.int64 and single.ptr.tolist() == [0, 3, 5]
    assert single.tag("ends:1").nodes.tolist() == [3, 4]
    assert graph.to() is graph and graph.to("cpu", F64) is graph
    torch.testing.assert_close(single.pos, graph.pos.to(torch.float32))


def test_copies_and_pickles_leave_the_moved_twin_behind() -> None:
    graph = full(3)
    moved = graph.to(dtype=torch.float32)
    assert graph.to(dtype=torch.float32) is moved
    for again in (pickle.loads(pickle.dumps(graph)), copy.deepcopy(graph)):
        assert_same(again, graph)
        assert again.to(dtype=torch.float32) is not moved


# places


def test_places_are_names_numbers_masks_or_predicates() -> None:
    graph = full(4)
    assert graph.nodes_of("ends").tolist() == [0, 3]
    assert graph.nodes_of([2, 1]).tolist() == [2, 1]
    assert graph.nodes_of(torch.tensor([False, True, True, False])).tolist() == [1, 2]
    assert graph.nodes_of(lambda x: x[:, 0] < 2).tolist() == [0, 1, 2, 3]
    numbered = path(2, tags={"7": TagSet(0, torch.tensor([1]), torch.tensor([1]))})
    assert numbered.nodes_of(7).tolist() == [1]


@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        ("end", UnknownName, "unknown named set of the graph 'end'; known: cells, ends; did you mean 'ends'"),
        ([], ConditionError, "the node list holds no nodes"),
        ([0, 9], ConditionError, r"names node 9, expected 0..3"),
        ([-1, 2], ConditionError, r"names node -1, expected 0..3"),
        ([0.5], ConditionError, "has type torch.float32, expected whole numbers or a mask"),
        (torch.ones(3, dtype=torch.bool), ConditionError, "a mask of 3 nodes was given, expected 4"),
        (lambda x: x[:, 0] > 9, ConditionError, "the predicate holds no nodes"),
        (lambda x: x > 0.5, ConditionError, r"the predicate returned shape \[4, 2\], expected one truth value a point"),
    ],
)
def test_a_place_without_nodes_is_refused(where: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        full(4).nodes_of(where)


def test_a_predicate_needs_positions() -> None:
    with pytest.raises(ConditionError, match="a predicate needs node positions and this graph has none"):
        path(3).nodes_of(lambda x: x[:, 0] > 0)


# reductions


def test_reductions_are_weighted_sums_over_nodes_for_every_batch_entry() -> None:
    graph = full(4)
    m = graph.measure
    u, v = torch.randn(2, 3, 4, 2, dtype=F64), torch.randn(2, 3, 4, 2, dtype=F64)
    torch.testing.assert_close(graph.inner(u, v), torch.einsum("n,abnc,abnc->ab", m, u, v))
    torch.testing.assert_close(graph.integral(u), torch.einsum("n,abnc->abc", m, u))
    torch.testing.assert_close(graph.norm(u) ** 2, graph.inner(u, u))
    torch.testing.assert_close(graph.inner(u, v)[1, 2], graph.inner(u[1, 2], v[1, 2]))
    assert graph.norm(u.float()).dtype == torch.float32
    assert torch.autograd.gradcheck(graph.inner, (u.requires_grad_(), v.requires_grad_()))


def test_whole_numbers_do_not_cut_the_measure_off() -> None:
    graph = path(2, measure=torch.tensor([0.25, 0.5], dtype=F64))
    assert graph.integral(torch.tensor([[1], [2]])).item() == 1.25


@pytest.mark.parametrize(
    ("u", "v", "message"),
    [
        (torch.ones(3, 1), torch.ones(4, 1), r"field has shape \[3, 1\], expected \[\*, 4, c\]"),
        (torch.ones(4, 1), torch.ones(3, 1), r"field has shape \[3, 1\], expected \[\*, 4, 1\]"),
        (torch.ones(4, 2), torch.ones(4, 1), r"field has shape \[4, 1\], expected \[\*, 4, 2\]"),
    ],
)
def test_fields_of_another_size_are_refused(u: Tensor, v: Tensor, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        path(4).inner(u, v)


# incidence


def test_the_incidence_takes_differences_along_undirected_edges() -> None:
    src, dst = torch.tensor([0, 1, 1, 2, 0, 1, 2]), torch.tensor([1, 0, 2, 1, 1, 0, 2])  # 0=1 twice, 1-2, loop at 2
    graph = Graph(Relation.from_edges(src, dst, 4, 4))
    found = graph.incidence
    x = torch.randn(4, 1, dtype=F64)
    flux = found.difference(x)[:, 0]
    own_src, own_dst = graph.edges.pairs()
    torch.testing.assert_close(flux, (x[own_dst] - x[own_src])[found.edge, 0])
    pairs = sorted(zip(own_src[found.edge].tolist(), own_dst[found.edge].tolist()))
    assert pairs == [(0, 1), (0, 1), (1, 2)]


def test_a_directed_graph_has_no_incidence() -> None:
    graph = Graph(Relation.from_edges([0, 1, 1], [1, 0, 2], 3, 3))
    with pytest.raises(GraphError, match="every edge in both directions; edge 1 -> 2 has no partner 2 -> 1"):
        _ = graph.incidence


# unions


def assert_same(a: Graph, b: Graph) -> None:
    assert a.n == b.n and sorted(a.tags) == sorted(b.tags)
    for x, y in zip((*a.edges.pairs(), a.weight, a.measure, a.pos), (*b.edges.pairs(), b.weight, b.measure, b.pos)):
        assert torch.equal(x, y)
    for name, t in a.tags.items():
        assert t.dim == b.tags[name].dim
        assert torch.equal(t.ids, b.tags[name].ids) and torch.equal(t.nodes, b.tags[name].nodes)


@pytest.mark.parametrize(
    "parts", [[full(3), full(5, 1), full(2, 2)], [empty(0), full(3), empty(0), empty(2), empty(0)]]
)
def test_a_union_comes_apart_into_its_parts(parts: list[Graph]) -> None:
    whole = Graph.union(parts)
    sizes = [g.n for g in parts]
    assert whole.n == sum(sizes) and whole.ptr.diff().tolist() == sizes
    assert whole.batch is not None and whole.batch.tolist() == [k for k, n in enumerate(sizes) for _ in range(n)]
    again = unbatch(whole)
    assert len(again) == len(parts)
    for a, b in zip(again, parts):
        assert_same(a, b)
    u = torch.randn(whole.n, 2, dtype=F64)
    y = whole.edges.propagate(u, weight=whole.weight)
    for k, g in enumerate(parts):
        mine = slice(int(whole.ptr[k]), int(whole.ptr[k + 1]))
        torch.testing.assert_close(y[mine], g.edges.propagate(u[mine], weight=g.weight))


def test_a_graph_that_is_no_union_stays_whole() -> None:
    graph = full(3)
    assert unbatch(graph) == [graph]
    assert graph.ptr.tolist() == [0, 3]


def test_batch_and_offsets_say_the_same() -> None:
    batch = torch.tensor([0, 0, 2], dtype=torch.int32)
    assert path(3, batch=batch).ptr.tolist() == [0, 2, 2, 3]
    assert path(3, ptr=torch.tensor([0, 2, 2, 3, 3])).batch.tolist() == [0, 0, 2]
    assert path(3, ptr=torch.tensor([0, 2, 2, 3, 3]), batch=batch).ptr.tolist() == [0, 2, 2, 3, 3]


def test_an_edge_between_two_graphs_cannot_be_cut() -> None:
    with pytest.raises(GraphError, match="an edge joins two graphs of the batch"):
        unbatch(path(3, batch=torch.tensor([0, 0, 1])))


# refusals


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (
            lambda: Graph(Relation.from_edges([], [], 2, 3)),
            GraphError,
            "one node set, got a relation from 2 to 3 nodes",
        ),
        (lambda: path(3, pos=torch.zeros(2, 2)), ShapeError, r"pos has shape \[2, 2\], expected \[3, d\]"),
        (lambda: path(3, pos=torch.zeros(3)), ShapeError, r"pos has shape \[3\], expected \[3, d\]"),
        (lambda: path(3, weight=torch.ones(3)), ShapeError, r"weight has shape \[3\], expected \[4\]"),
        (lambda: path(3, measure=torch.ones(4)), ShapeError, r"measure has shape \[4\], expected \[3\]"),
        (
            lambda: path(3, batch=torch.zeros(2, dtype=torch.int64)),
            ShapeError,
            r"batch has shape \[2\], expected \[3\]",
        ),
        (lambda: path(3, batch=torch.tensor([0, 1, 0])), GraphError, "batch decreases or is negative"),
        (lambda: path(3, batch=torch.tensor([-1, 0, 0])), GraphError, "batch decreases or is negative"),
        (lambda: path(3, batch=torch.zeros(3)), GraphError, "batch has type torch.float32, expected whole numbers"),
        (
            lambda: path(3, ptr=torch.tensor([0, 2])),
            GraphError,
            r"ptr = \[0, 2\], expected offsets that count up from 0 to 3",
        ),
        (lambda: path(3, ptr=torch.tensor([0, 3, 1, 3])), GraphError, "expected offsets that count up"),
        (
            lambda: path(3, ptr=torch.tensor([0, 1, 3]), batch=torch.tensor([0, 0, 1])),
            GraphError,
            "batch and ptr disagree",
        ),
        (lambda: union([]), InputError, "a union needs at least one graph, got none"),
        (lambda: union([full(2), path(2)]), InputError, "1 of 2 graphs have 'pos', expected all or none"),
        (
            lambda: union([path(2, weight=torch.ones(2)), path(2)]),
            InputError,
            "1 of 2 graphs have 'weight', expected all or none",
        ),
    ],
)
def test_inconsistent_parts_are_refused(build: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build()
