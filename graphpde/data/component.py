"""The largest connected part of a labelled graph."""

from __future__ import annotations

import torch

from graphpde.data.node_data import NodeData


def largest_component(data: NodeData) -> NodeData:
    """The part of the graph that hangs together and has the most nodes, edges taken without direction.

    The option of Shchur et al. 2018 and GRAND. Of equal parts the one with the first node.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    src, dst = (end.cpu().numpy() for end in data.graph.edges.pairs())
    adjacency = coo_matrix((src == src, (src, dst)), shape=(data.n, data.n))
    _, part = connected_components(adjacency, directed=False)
    part = torch.from_numpy(part).to(torch.int64)
    return data.select((part == torch.bincount(part).argmax()).nonzero()[:, 0].to(data.y.device))
