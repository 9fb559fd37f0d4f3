"""How often neighbours share a label: by edge, by node, and against what chance would give."""

from __future__ import annotations

import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.errors import InputError
from graphpde.typing import check_shape


def edge_homophily(graph: Graph, y: Tensor) -> float:
    """Share of edges whose ends have the same label (Zhu et al. 2020); self-loops count as they stand.

    Edges with an end of unknown label (-1) do not count.

    Raises:
        InputError: no edge counts.
    """
    same, known = _agreement(graph, y)
    return float(same.sum() / _some(known.sum()))


def node_homophily(graph: Graph, y: Tensor) -> float:
    """Mean over nodes of the share of their incoming edges from the same label (Pei et al. 2020).

    Nodes without such an edge do not count.

    Raises:
        InputError: no edge counts.
    """
    same, known = _agreement(graph, y)
    _some(known.sum())
    counts = known > 0
    return float((same[counts] / known[counts]).mean())


def adjusted_homophily(graph: Graph, y: Tensor) -> float:
    """Edge homophily h less what the degrees give by chance: (h - s) / (1 - s), s = sum_k D_k^2 / (2 |E|)^2.

    D_k is the sum of the degrees of class k; 0 for labels independent of the edges, so that graphs with different
    class sizes compare (Platonov et al. 2023). For a graph with both directions of every edge.

    Raises:
        InputError: no edge counts, or all edges end in one class.
    """
    same, known = _agreement(graph, y)
    total = float(_some(known.sum()))
    _, of_class = torch.unique(y, return_inverse=True)
    by_class = torch.bincount(of_class, weights=known) / total
    chance = float(by_class.square().sum())
    if chance >= 1:
        raise InputError("all edges end in one class, so homophily has nothing to be compared with")
    return (float(same.sum()) / total - chance) / (1 - chance)


def _agreement(graph: Graph, y: Tensor) -> tuple[Tensor, Tensor]:
    """Of the incoming edges of each node: how many come from its own label, and how many from a known one [n]."""
    y = check_shape(y, "n", "y", n=graph.n)
    src, dst = (y[end] for end in graph.edges.pairs())
    known = (src >= 0) & (dst >= 0)
    counts = torch.stack([known & (src == dst), known], 1).to(torch.float64)
    same, told = graph.edges.collect(counts).unbind(1)
    return same, told


def _some(count: Tensor) -> Tensor:
    if not bool(count > 0):
        raise InputError("no edge joins two nodes of known label, so there is no homophily to speak of")
    return count
