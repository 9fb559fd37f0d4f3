"""The connected parts of a graph, or of some of its nodes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.errors import ShapeError


def components(graph: Graph, among: Tensor | None = None) -> Tensor:
    """The number of the part that each node belongs to [n], -1 for nodes that are left out; int64.

    Two nodes belong to one part where a path of edges, in whatever direction, leads from one to the other over nodes
    that count. Parts are numbered by their smallest node.

    Args:
        among: which nodes count, bool [n]; None = all.

    Raises:
        ShapeError: ``among`` is not one truth value a node.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if among is None:
        among = torch.ones(graph.n, dtype=torch.bool)
    if tuple(among.shape) != (graph.n,) or among.dtype != torch.bool:
        raise ShapeError(f"among is {among.dtype} {list(among.shape)}, expected one truth value a node: [{graph.n}]")
    kept = among.cpu()
    src, dst = (x.cpu() for x in graph.edges.pairs())
    both = kept[src] & kept[dst]
    src, dst = src[both], dst[both]
    table = coo_array((np.ones(len(src), dtype=np.int8), (src.numpy(), dst.numpy())), shape=(graph.n, graph.n))
    _, found = connected_components(table, directed=False)
    labels = np.full(graph.n, -1, dtype=np.int64)
    nodes = kept.numpy().nonzero()[0]
    _, first, inverse = np.unique(found[nodes], return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    labels[nodes] = rank[inverse]
    return torch.from_numpy(labels).to(among.device)
