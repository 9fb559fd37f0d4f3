"""Node values at both ends of undirected edges, and back: for messages that differ from end to end."""

from __future__ import annotations

import torch
from torch import Tensor

from graphpde.core.incidence import Incidence


def ends(edges: Incidence, x: Tensor) -> tuple[Tensor, Tensor]:
    """Node values [*, n, c] at the tails and at the heads [*, E, c]."""
    tail, head = edges.relation.gather(x).unflatten(-2, (edges.n_edges, 2)).unbind(-2)
    return tail, head


def at_ends(edges: Incidence, tail: Tensor, head: Tensor) -> Tensor:
    """Sums at the nodes of what every edge brings to its two ends, [*, E, c] each -> [*, n, c]."""
    back = edges.relation.transpose()
    both = torch.stack([tail, head], -2).flatten(-3, -2)
    return back.collect(back.own(both.movedim(-2, 0)).movedim(0, -2))
