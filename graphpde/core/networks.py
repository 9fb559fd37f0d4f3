"""Random networks as graphs: who is joined to whom is drawn from a seed, where the nodes stand is only for pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graphpde.core.bridges import from_networkx
from graphpde.core.graph import Graph
from graphpde.errors import InputError

if TYPE_CHECKING:
    import networkx


def barabasi_albert(n: int, m: int = 3, seed: int = 0) -> Graph:
    """A scale-free network: each of n nodes joins m earlier ones, those with many links more often. Connected.

    The mean degree is about 2 m; that of a few hubs grows as sqrt(n).

    Raises:
        InputError: not 1 <= m < n.

    Reference: Barabasi and Albert 1999, Science 286.
    """
    import networkx

    _whole(n=n, m=m, seed=seed)
    if not 1 <= m < n:
        raise InputError(f"m = {m} links of each new node among {n} nodes, expected 1 <= m < n")
    return _undirected(networkx.barabasi_albert_graph(n, m, seed=seed))


def watts_strogatz(n: int, k: int = 4, p: float = 0.1, seed: int = 0) -> Graph:
    """A small world: n nodes in a ring, each joined to its k nearest, each link moved elsewhere with probability p.

    It is connected: networks that are not are drawn again.

    Args:
        k: even, otherwise the next even number below counts.

    Raises:
        InputError: not 2 <= k < n or p outside 0..1, or no connected network in 100 draws.

    Reference: Watts and Strogatz 1998, Nature 393.
    """
    import networkx

    _whole(n=n, k=k, seed=seed)
    _probability("p", p)
    if not 2 <= k < n:
        raise InputError(f"k = {k} neighbours among {n} nodes, expected 2 <= k < n")
    try:
        return _undirected(networkx.connected_watts_strogatz_graph(n, k, p, tries=100, seed=seed))
    except networkx.NetworkXError:
        raise InputError(f"no connected network with n = {n}, k = {k}, p = {p:g} in 100 draws; raise k") from None


def erdos_renyi(n: int, p: float, seed: int = 0) -> Graph:
    """Each pair of n nodes is joined with probability p; below p = ln(n) / n some nodes are likely to stay alone.

    Raises:
        InputError: n < 1, or p outside 0..1.

    Reference: Gilbert 1959, Annals of Mathematical Statistics 30.
    """
    import networkx

    _whole(n=n, seed=seed)
    _probability("p", p)
    return _undirected(networkx.fast_gnp_random_graph(n, p, seed=seed))


def stochastic_block(sizes: Sequence[int], inside: float, between: float, seed: int = 0) -> Graph:
    """Groups of nodes, one after another: a pair is joined with probability ``inside`` in a group, else ``between``.

    Args:
        sizes: nodes of each group; the groups are the named sets "group0", "group1", ... of the graph.

    Raises:
        InputError: an empty group, or a probability outside 0..1.

    Reference: Holland, Laskey and Leinhardt 1983, Social Networks 5.
    """
    import networkx

    from graphpde.core.graph import TagSet

    for k, size in enumerate(sizes):
        _whole(**{f"sizes[{k}]": size})
    _whole(seed=seed)
    _probability("inside", inside)
    _probability("between", between)
    each = [[inside if a == b else between for b in range(len(sizes))] for a in range(len(sizes))]
    drawn = networkx.stochastic_block_model(list(sizes), each, seed=seed)
    graph = _undirected(drawn)
    nodes = torch.arange(graph.n).split(list(sizes))
    tags = {f"group{k}": TagSet(0, mine, mine) for k, mine in enumerate(nodes)}
    return Graph(graph.edges, tags=tags)


def layout(graph: Graph, seed: int = 0, steps: int = 150) -> Tensor:
    """Positions [n, 2] for a picture: linked nodes attract, all others repel each other. Takes time n^2.

    Args:
        steps: moves; they become shorter towards the end.

    Reference: Fruchterman and Reingold 1991, Software: Practice and Experience 21.
    """
    x = torch.rand(graph.n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    near = 1 / max(graph.n, 1) ** 0.5  # the distance at which both forces of a link cancel
    edges = graph.edges
    for step in range(steps):
        push = torch.cat([_repulsion(x, part, near) for part in torch.arange(graph.n).split(1024)])
        link = edges.gather(x) - x[edges.pairs()[1]]
        force = push + edges.collect(link * link.norm(dim=1, keepdim=True) / near)
        length = force.norm(dim=1, keepdim=True).clamp(min=1e-12)
        x = x + force / length * length.clamp(max=0.1 * (1 - step / steps))
    return x - x.mean(0)


def _repulsion(x: Tensor, part: Tensor, near: float) -> Tensor:
    """sum_j near^2 (x_i - x_j) / |x_i - x_j|^2 for some of the nodes."""
    strength = near**2 / torch.cdist(x[part], x).square().clamp(min=1e-4 * near**2)
    return x[part] * strength.sum(1, keepdim=True) - strength @ x


def _undirected(drawn: networkx.Graph) -> Graph:
    """The graph of a drawn network, its nodes numbered 0..n-1 in order and its edges in a fixed one."""
    import networkx

    plain: networkx.Graph = networkx.Graph()
    plain.add_nodes_from(range(drawn.number_of_nodes()))
    plain.add_edges_from(sorted(tuple(sorted(edge)) for edge in drawn.edges()))
    return from_networkx(plain)[0]


def _whole(**given: int) -> None:
    for name, value in given.items():
        low = 0 if name == "seed" else 1
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise InputError(f"{name} = {value!r}, expected a whole number >= {low}")


def _probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise InputError(f"{name} = {value!r}, expected a probability between 0 and 1")
