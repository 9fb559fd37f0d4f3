"""The graph attention network."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from graphpde.core.graph import Graph
from graphpde.errors import InputError
from graphpde.graph_diffusion.classifier import Dropout
from graphpde.graph_diffusion.layered import Layered, affine, probability
from graphpde.graph_diffusion.models import MODELS
from graphpde.nets.features import Features, drop, dropout

SLOPE = 0.2
_DROPOUT = Dropout(0.6, 0.6)


class AttentionLayer(nn.Module):
    """y_i = sum_j a_ij W u_j + b, a_ij = softmax_j leaky(<p, W u_j> + <q, W u_i>), for each head.

    The scores are a sum of a number at each end, so that no [e, c] tensor is built.

    Args:
        heads: h. each: channels of a head. joined: heads side by side; otherwise their mean.
        dropout: of the attention.

    Reference: Velickovic et al. 2018, eqs. (3), (5) and (6).
    """

    def __init__(self, channels: int, each: int, *, heads: int, joined: bool = True, dropout: float = 0.0):
        super().__init__()
        self.heads, self.joined, self.dropout = heads, joined, dropout
        self.map = affine(channels, heads * each, bias=False)
        self.source, self.target = (nn.Parameter(torch.empty(heads, each)) for _ in range(2))
        for ends in (self.source, self.target):
            nn.init.xavier_uniform_(ends)
        self.bias = nn.Parameter(torch.zeros(heads * each if joined else each))

    def forward(self, graph: Graph, u: Features) -> Tensor:
        edges, v = graph.edges, self.map(u)
        parted = v.unflatten(-1, (self.heads, -1))
        source, target = ((parted * ends).sum(-1) for ends in (self.source, self.target))
        scores = nn.functional.leaky_relu(edges.gather(source) + edges.gather_dst(target), SLOPE)
        attention = dropout(edges.softmax(scores), self.dropout, self.training)
        y = edges.propagate(v, weight=attention)
        return (y if self.joined else y.unflatten(-1, (self.heads, -1)).mean(-2)) + self.bias


@MODELS.add("gat")
class Gat(Layered):
    """u_l = elu(heads of sum_j a_ij(u_{l-1}) W_l u_{l-1, j} + b_l), the last without elu; u_0 = x.

    Weights of edges are not looked at; every node sees itself.

    Args:
        hidden: channels of all heads together, 64 for the 8 heads of 8 of the paper. layers: how many.
        heads: of all layers but the last; out_heads: of the last one, whose mean the logits are.
        attention_dropout: of the attention.

    Raises:
        InputError: heads that do not divide ``hidden``.

    Reference: Velickovic et al. 2018, section 3.3 for the defaults.
    """

    normalisation = "none"

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        classes: int,
        *,
        layers: int = 2,
        dropout: Dropout = _DROPOUT,
        heads: int = 8,
        out_heads: int = 1,
        attention_dropout: float = 0.6,
    ):
        super().__init__(in_channels, hidden, classes, layers=layers, dropout=dropout)
        if min(heads, out_heads) < 1 or hidden % heads:
            raise InputError(
                f"got {heads} heads of {hidden} channels and {out_heads} at the end, expected a number of heads that "
                "divides the channels"
            )
        p = probability(attention_dropout, "attention_dropout")
        sizes = [in_channels, *[hidden] * (layers - 1)]
        self.attentions = nn.ModuleList(
            [AttentionLayer(c, hidden // heads, heads=heads, dropout=p) for c in sizes[:-1]]
            + [AttentionLayer(sizes[-1], classes, heads=out_heads, joined=False, dropout=p)]
        )

    def states(self, graph: Graph, x: Features) -> Iterator[Tensor]:
        u = drop(x, self.dropout.inputs, self.training)
        for layer in self.attentions[:-1]:
            y = nn.functional.elu(layer(graph, u))
            yield y
            u = drop(y, self.dropout.hidden, self.training)
        yield self.attentions[-1](graph, u)
