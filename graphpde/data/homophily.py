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
    one_hot, _ = _one_hot(y)
    by_class = (one_hot * known[:, None]).sum(0) / total
    chance = float(by_class.square().sum())
    if chance >= 1:
        raise InputError("all edges end in one class, so homophily has nothing to be compared with")
    return (float(same.sum()) / total - chance) / (1 - chance)


def _agreement(graph: Graph, y: Tensor) -> tuple[Tensor, Tensor]:
    """Of the incoming edges of each node: how many come from its own label, and how many from a known one [n]."""
    y = check_shape(y, "n", "y", n=graph.n)
    one_hot, known = _one_hot(y)
    received = graph.edges.propagate(one_hot)
    return (one_hot * received).sum(1), known * received.sum(1)


def _one_hot(y: Tensor) -> tuple[Tensor, Tensor]:
    """Indicator of each class [n, k] and of a known label [n], exact whole numbers."""
    known = y >= 0
    one_hot = torch.zeros(len(y), max(int(y.max()), 0) + 1 if len(y) else 1, dtype=torch.float64, device=y.device)
    one_hot[known, y[known]] = 1
    return one_hot, known.to(torch.float64)


def _some(count: Tensor) -> Tensor:
    if not bool(count > 0):
        raise InputError("no edge joins two nodes of known label, so there is no homophily to speak of")
    return count
