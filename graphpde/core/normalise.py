"""Graphs with self-loops and normalised weights, kept with the graph they were made from."""

from __future__ import annotations

import torch

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.errors import GraphError, InputError

KINDS = ("none", "incoming", "outgoing", "symmetric")


def normalised(graph: Graph, kind: str = "symmetric", *, loops: float = 0.0, dtype: torch.dtype | None = None) -> Graph:
    r"""The graph with weights w_ij of the edges j -> i divided by degrees d_i = \sum_j w_ij.

    Asked for the same thing twice it is the same object, so that a model pays for it once, unless the weights of the
    graph are being learned.

    Args:
        graph: edges with weights >= 0.
        kind: "incoming" w_ij / d_i (rows of the matrix add to 1), "outgoing" w_ij / d_j of a symmetric graph (columns
            do), "symmetric" w_ij / sqrt(d_i d_j), "none".
        loops: weight of a self-loop put at every node without one, before the degrees are taken; 0 adds none and takes
            none away.
        dtype: of the weights; default that of the graph.

    Raises:
        InputError: an unknown kind. GraphError: weights that are negative or not finite.

    Reference: Kipf and Welling 2017, eq. (2) ("symmetric", loops=1).
    """
    if kind not in KINDS:
        raise InputError(f"normalisation '{kind}', expected one of: {', '.join(KINDS)}")
    if not 0 <= loops < float("inf"):
        raise InputError(f"loops = {loops:g}, expected a finite weight >= 0")
    key = (kind, float(loops), dtype or graph.dtype)
    if graph.weight.requires_grad:  # what is being learned changes from call to call
        return _made(graph, *key)
    made = graph.derived.get(key)
    if made is None:
        with torch.inference_mode(False):  # what is kept must serve calls with gradients as well
            made = graph.derived[key] = _made(graph, *key)
    return made


def _made(graph: Graph, kind: str, loops: float, dtype: torch.dtype) -> Graph:
    weight = graph.weight
    bad = ~((weight >= 0) & torch.isfinite(weight))
    if bool(bad.any()):
        raise GraphError(
            f"{int(bad.sum())} edge weights are negative or not finite, so there are no degrees to divide by; "
            "give weights >= 0"
        )
    edges = graph.edges
    if loops:
        edges, weight = with_loops(edges, weight, loops)
    if kind in ("incoming", "symmetric", "outgoing"):
        columns = weight[:, None]
        incoming, outgoing = edges.collect(columns), edges.transpose().collect(edges.transpose().own(columns))
        one = torch.ones_like(columns)
        into = edges.gather_dst(torch.where(incoming == 0, 1.0, incoming))
        out = edges.gather(torch.where(outgoing == 0, 1.0, outgoing))
        into, out = {"incoming": (into, one), "outgoing": (one, out), "symmetric": (into.sqrt(), out.sqrt())}[kind]
        weight = (columns / (into * out))[:, 0]
    return Graph(
        edges, pos=graph.pos, weight=weight.to(dtype), measure=graph._measure,
        ptr=None if graph.batch is None else graph.ptr, tags=graph.tags,
    )  # fmt: skip


def with_loops(edges: Relation, weight: torch.Tensor, loops: float) -> tuple[Relation, torch.Tensor]:
    """The relation with a self-loop at every node that has none, and its weights in own order."""
    src, dst = edges.pairs()
    bare = torch.ones(edges.n_dst, dtype=torch.bool, device=edges.device)
    bare[src[edges.loops]] = False
    new = bare.nonzero()[:, 0]
    joined = Relation.from_edges(torch.cat([src, new]), torch.cat([dst, new]), edges.n_src, edges.n_dst)
    return joined, joined.own(torch.cat([weight, weight.new_full((len(new),), loops)]))
