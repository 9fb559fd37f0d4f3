"""GraphSAGE: a node beside the mean of its neighbours."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from graphpde.core.graph import Graph
from graphpde.graph_diffusion.classifier import Dropout
from graphpde.graph_diffusion.layered import Layered, affine
from graphpde.graph_diffusion.models import MODELS
from graphpde.nets.features import Features, drop

_DROPOUT = Dropout(0.5, 0.5)


class MeanConvolution(nn.Module):
    """y = u W + A u V + b with the weights A of a prepared graph, whose rows add to 1.

    Reference: Hamilton et al. 2017, algorithm 1 with the mean aggregator; W and V side by side are its matrix.
    """

    def __init__(self, channels: int, to: int):
        super().__init__()
        self.own, self.neighbours = affine(channels, to), affine(channels, to, bias=False)

    def forward(self, graph: Graph, u: Features) -> Tensor:
        weight = self.neighbours.weight
        if isinstance(u, Tensor) and u.shape[-1] < weight.shape[0]:
            return self.own(u) + self.neighbours(graph.edges.propagate(u, weight=graph.weight))
        return self.own(u) + graph.edges.propagate(self.neighbours(u), weight=graph.weight)


@MODELS.add("sage")
class Sage(Layered):
    """u_l = relu(u_{l-1} W_l + mean_{j -> i} u_{l-1} V_l + b_l), the last without relu; u_0 = x.

    A node without neighbours has the mean 0. Because a node's own values have a matrix of their own, this is the
    classic layer that heterophilous graphs harm least.

    Args:
        layers: convolutions. normalise: states of length 1 after each layer but the last, as in the algorithm.

    Reference: Hamilton et al. 2017, algorithm 1.
    """

    loops = 0.0
    normalisation = "incoming"

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        classes: int,
        *,
        layers: int = 2,
        dropout: Dropout = _DROPOUT,
        normalise: bool = False,
    ):
        super().__init__(in_channels, hidden, classes, layers=layers, dropout=dropout)
        sizes = [in_channels, *[hidden] * (layers - 1), classes]
        self.convolutions = nn.ModuleList(MeanConvolution(a, b) for a, b in itertools.pairwise(sizes))
        self.normalise = normalise

    def states(self, graph: Graph, x: Features) -> Iterator[Tensor]:
        u = drop(x, self.dropout.inputs, self.training)
        for layer in self.convolutions[:-1]:
            y = torch.relu(layer(graph, u))
            if self.normalise:
                y = nn.functional.normalize(y, dim=-1)
            yield y
            u = drop(y, self.dropout.hidden, self.training)
        yield self.convolutions[-1](graph, u)
