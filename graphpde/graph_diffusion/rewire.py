"""Graphs with other edges for any model: those along which much diffuses, or all of two steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from graphpde.core.bridges import as_graph
from graphpde.core.graph import Graph
from graphpde.core.linear_operator import LinearOperator, Sparse
from graphpde.core.normalise import normalised
from graphpde.core.relation import Relation
from graphpde.errors import InputError
from graphpde.solve.linear import LinearSolver
from graphpde.solve.phi import chebyshev

KINDS = ("ppr", "heat")
_AT_ONCE = 256  # columns of the dense matrix that exist at the same time


def diffused(graph: Any, kind: str = "ppr", *, alpha: float = 0.15, time: float = 5.0, keep: int = 64) -> Graph:
    r"""Graph diffusion convolution: edges to the nodes that diffusion connects most, weighted by how much.

    S = alpha (1 - (1 - alpha) T)^-1 ("ppr", personalised PageRank) or exp(-time (1 - T)) ("heat") with
    T = D^-1/2 (A + I) D^-1/2, exactly: one linear solve, or one matrix exponential times a vector, for every node. The
    ``keep`` largest entries of each column are kept and the result is made symmetric, (S + S^T) / 2, so that a node may
    have more than ``keep`` neighbours. For graphs up to some ten thousand nodes: the work grows as n^2.

    Args:
        graph: symmetric Graph, torch-geometric Data or networkx graph. kind: "ppr" or "heat".
        alpha: of "ppr": the probability to return, in (0, 1). time: of "heat", > 0.
        keep: >= 1; equally large entries are all kept only as far as there is room, lower numbers first.

    Returns:
        A symmetric graph with the weights of S and its self-loops; positions, measure, tags and batch are kept. Models
        normalise it as they do any graph.

    Raises:
        InputError: another kind, or a number out of range; a directed graph.

    Reference: Gasteiger et al. 2019, "Diffusion Improves Graph Learning".
    """
    graph = as_graph(graph)
    if kind not in KINDS:
        raise InputError(f"kind='{kind}', expected one of: {', '.join(KINDS)}")
    if not 0 < alpha < 1 or not 0 < time < float("inf") or keep < 1:
        raise InputError(
            f"alpha = {alpha:g}, time = {time:g}, keep = {keep}; expected 0 < alpha < 1, time > 0, keep >= 1"
        )
    if not graph.edges.is_symmetric:
        raise InputError("diffusion needs every edge in both directions; this graph is directed: add the reverse edges")
    walk = normalised(graph, "symmetric", loops=1.0, dtype=torch.float64)
    found = [
        _largest(columns, first, keep)
        for first, columns in (_resolvent(walk, alpha) if kind == "ppr" else _exponential(walk, time))
    ]
    row, column, value = (torch.cat(x) for x in zip(*found)) if found else [torch.empty(0)] * 3
    return _merged(graph, torch.cat([row, column]), torch.cat([column, row]), torch.cat([value, value]) / 2)


def two_hop(graph: Any) -> Graph:
    """The graph with an edge of weight 1 between nodes that are one or two steps apart; no self-loops are added.

    On graphs whose neighbours differ, the neighbours of neighbours are often alike. An edge i -> k is added wherever
    there are i -> j -> k; the edges of the graph keep their weights.

    Reference: Abu-El-Haija et al. 2019 ("MixHop"); Zhu et al. 2020 ("H2GCN").
    """
    import numpy as np
    from scipy.sparse import csr_matrix

    graph = as_graph(graph)
    src, dst = graph.edges.pairs()
    pairs = (dst.cpu().numpy(), src.cpu().numpy())
    once = csr_matrix((np.ones(len(src)), pairs), shape=(graph.n, graph.n))
    twice = once @ once
    twice.data[:] = 1.0
    new = twice - twice.multiply(once > 0)
    new.setdiag(0.0)
    new.eliminate_zeros()
    to, start = (torch.from_numpy(x.astype(np.int64)).to(src) for x in new.nonzero())
    weight = torch.cat([graph.weight, graph.weight.new_ones(len(to))])
    return _merged(graph, torch.cat([dst, to]), torch.cat([src, start]), weight)


def _resolvent(walk: Graph, alpha: float) -> Iterator[tuple[int, Tensor]]:
    """Columns of alpha (1 - (1 - alpha) T)^-1, some at a time: (number of the first, [n, k])."""
    ones = torch.ones(walk.n, dtype=torch.float64, device=walk.device)
    solver = LinearSolver(Sparse(walk.edges, walk.weight * (alpha - 1), ones, symmetric=True), method="cg", rtol=1e-12)
    for first, unit in _units(walk):
        yield first, alpha * solver(unit)


def _exponential(walk: Graph, time: float) -> Iterator[tuple[int, Tensor]]:
    """Columns of exp(-time (1 - T)), some at a time."""
    ones = torch.ones(walk.n, dtype=torch.float64, device=walk.device)
    generator: LinearOperator = Sparse(walk.edges, walk.weight * time, -time * ones, symmetric=True)
    for first, unit in _units(walk):
        yield first, chebyshev(0, generator.matvec, unit, 2 * time, rtol=1e-12)


def _units(walk: Graph) -> Iterator[tuple[int, Tensor]]:
    for first in range(0, walk.n, _AT_ONCE):
        count = min(_AT_ONCE, walk.n - first)
        unit = torch.zeros(walk.n, count, dtype=torch.float64, device=walk.device)
        unit[torch.arange(first, first + count), torch.arange(count)] = 1.0
        yield first, unit


def _largest(columns: Tensor, first: int, keep: int) -> tuple[Tensor, Tensor, Tensor]:
    """(row, column, value) of the largest entries > 0 of each column [n, k]."""
    order = torch.sort(columns, dim=0, descending=True, stable=True)
    value, row = (x[:keep] for x in order)
    column = torch.arange(first, first + columns.shape[1], device=columns.device).expand_as(row)
    kept = value > math.sqrt(torch.finfo(value.dtype).tiny)
    return row[kept], column[kept], value[kept]


def _merged(graph: Graph, row: Tensor, column: Tensor, value: Tensor) -> Graph:
    """The graph with other edges column -> row; those given twice are added."""
    edges = Relation.from_edges(column.long(), row.long(), graph.n, graph.n, coalesce=True)
    weight = edges.own(value.to(graph.dtype)[:, None])[:, 0]
    return Graph(
        edges, pos=graph.pos, weight=weight, measure=graph._measure,
        ptr=None if graph.batch is None else graph.ptr, tags=graph.tags,
    )  # fmt: skip
