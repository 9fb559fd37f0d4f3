"""Weights of edges learned from what stands at their ends."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from graphpde.core.relation import Relation
from graphpde.errors import InputError

KINDS = ("scaled_dot", "cosine", "distance")
OVER = ("incoming", "outgoing")


class EdgeAttention(nn.Module):
    """Attention a_ij of the edges j -> i from node values u, softmax of a similarity of K u_j and Q u_i.

    Args:
        channels: of u. heads: h; dim: of keys and queries altogether, a multiple of h.
        kind: "scaled_dot" <q_i, k_j> / sqrt(d); "cosine" of the angle between them; "distance" -|q_i - k_j|^2 / (2 d).
        over: "incoming": the weights of the edges into a node add to 1, so that a constant stays (right-stochastic);
            "outgoing": those of the edges out of it do, so that the sum over all nodes stays.

    Returns:
        [e, h] in own order.

    Raises:
        InputError: heads that do not divide dim, or an unknown kind.

    Reference: Vaswani et al. 2017, eq. (1); Chamberlain et al. 2021 (GRAND), eq. (8).
    """

    def __init__(self, channels: int, *, heads: int = 1, dim: int = 32, kind: str = "scaled_dot", over: str = OVER[0]):
        super().__init__()
        if heads < 1 or dim < heads or dim % heads:
            raise InputError(
                f"got {heads} heads of {dim} channels, expected a number of heads that divides the channels"
            )
        for given, known, what in ((kind, KINDS, "kind"), (over, OVER, "over")):
            if given not in known:
                raise InputError(f"{what}='{given}', expected one of: {', '.join(known)}")
        self.heads, self.dim, self.kind, self.over = heads, dim, kind, over
        self.query, self.key = nn.Linear(channels, dim), nn.Linear(channels, dim)
        for layer in (self.query, self.key):  # equal weights at the start: the random walk
            nn.init.constant_(layer.weight, 1e-5)

    def forward(self, edges: Relation, u: Tensor) -> Tensor:
        q, k = self.query(u), self.key(u)
        each = self.dim // self.heads
        if self.kind == "cosine":
            q, k = (nn.functional.normalize(x.unflatten(-1, (-1, each)), dim=-1, eps=1e-5).flatten(-2) for x in (q, k))
            scores = edges.dot(q, k, self.heads)
        elif self.kind == "distance":
            square = [x.unflatten(-1, (-1, each)).square().sum(-1) for x in (q, k)]
            apart = edges.gather_dst(square[0]) + edges.gather(square[1]) - 2 * edges.dot(q, k, self.heads)
            scores = -apart / (2 * each)
        else:
            scores = edges.dot(q, k, self.heads) / math.sqrt(each)
        if self.over == "incoming":
            return edges.softmax(scores)
        back = edges.transpose()  # whose given order is the own order here
        return back.given(back.softmax(back.own(scores)))


def mean_of_heads(weights: Tensor) -> Tensor:
    """[e, h] -> [e]."""
    return weights[:, 0] if weights.shape[1] == 1 else weights.mean(1)


def uniform(edges: Relation, dtype: torch.dtype) -> Tensor:
    """1 / (number of edges into the destination) on every edge [e]: attention that has learned nothing."""
    return edges.gather_dst(1.0 / edges.degree.clamp(min=1).to(dtype)[:, None])[:, 0]
