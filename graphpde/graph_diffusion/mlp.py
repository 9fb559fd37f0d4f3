"""The multilayer perceptron, which sees no edges: what a graph has to be better than."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.core.bridges import as_graph
from graphpde.core.graph import Graph
from graphpde.graph_diffusion.classifier import Dropout
from graphpde.graph_diffusion.layered import Layered, affine
from graphpde.graph_diffusion.models import MODELS
from graphpde.nets.features import Features, drop

_DROPOUT = Dropout(0.5, 0.5)


@MODELS.add("mlp")
class MlpClassifier(Layered):
    """u_0 = x, u_l = relu(u_{l-1} W_l + b_l), the last without relu: every node by itself.

    Args:
        layers: affine maps.
    """

    def __init__(self, in_channels: int, hidden: int, classes: int, *, layers: int = 2, dropout: Dropout = _DROPOUT):
        super().__init__(in_channels, hidden, classes, layers=layers, dropout=dropout)
        sizes = [in_channels, *[hidden] * (layers - 1), classes]
        self.maps = nn.ModuleList(affine(a, b) for a, b in itertools.pairwise(sizes))

    def prepare(self, graph: Any) -> Graph:
        return as_graph(graph)

    def states(self, graph: Graph, x: Features) -> Iterator[Tensor]:
        u = self.maps[0](drop(x, self.dropout.inputs, self.training))
        for layer in self.maps[1:]:
            u = torch.relu(u)
            yield u
            u = layer(drop(u, self.dropout.hidden, self.training))
        yield u
