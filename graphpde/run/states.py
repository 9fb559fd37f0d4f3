"""What stands at the nodes inside of a model, over time or from layer to layer."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from graphpde.core.graph import Graph
from graphpde.dynamics.state import tree_map
from graphpde.run.classify import Prepared
from graphpde.train.hooks import evaluating

_MOMENTS = 33


class States(NamedTuple):
    """States [n, c] at times, or after layers 1, 2, ..., where ``continuous`` is False."""

    times: list[float]
    states: list[Tensor]
    continuous: bool


def states_of(model: nn.Module, ready: Prepared, told: Any, *, ends_only: bool = False) -> States | None:
    """The states of a model in evaluation mode, without the logits; None for one that has none.

    Args:
        told: what it may know of labels. ends_only: only the first and the last.
    """
    with evaluating(model):
        if hasattr(model, "trajectory"):
            times = torch.linspace(0.0, float(model.time), 2 if ends_only else _MOMENTS, dtype=torch.float64).tolist()
            path = model.trajectory(ready.graph, ready.x, times, told)
            # what is decoded of a state may be a part of it
            states = [model.end(tree_map(lambda part, k=k: part[k], path.states)) for k in range(len(times))]
            return States(times, states, True)
        if hasattr(model, "states"):
            states = list(model.states(model.prepare(ready.graph), ready.x))[:-1]
            return States(list(range(1, len(states) + 1)), states, False) if states else None
    return None


def roughness(graph: Graph, u: Tensor) -> float:
    r"""sum_ij w_ij |u_i - u_j|^2 / (2 sum_i d_i |u_i|^2) in [0, 2]: how rough u [n, c] is, whatever its size.

    0 where neighbours agree: the quotient of Rayleigh of D - W with D. Every edge is in the graph in both directions;
    nan where u vanishes on all nodes that have edges.
    """
    u = u.to(torch.float64)
    weight = graph.weight.to(torch.float64)
    degree = graph.edges.collect(weight[:, None])[:, 0]
    norm = float((degree * u.square().sum(1)).sum())
    apart = (graph.edges.gather(u) - graph.edges.gather_dst(u)).square().sum(1)
    return float((weight * apart).sum()) / (2 * norm) if norm > 0 else float("nan")
