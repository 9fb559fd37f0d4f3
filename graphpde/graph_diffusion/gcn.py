"""The graph convolutional network."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from graphpde.core.graph import Graph
from graphpde.errors import InputError
from graphpde.graph_diffusion.classifier import Dropout
from graphpde.graph_diffusion.layered import Layered, affine
from graphpde.graph_diffusion.models import MODELS
from graphpde.nets.features import Features, drop
from graphpde.nets.linear import Linear

RESIDUALS = ("none", "identity", "linear")
MIDDLES = ("learned", "random", "identity")
NORMS = {"none": nn.Identity, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
_DROPOUT = Dropout(0.5, 0.5)


class GraphConvolution(nn.Module):
    """y = A u W + b with the weights A of a prepared graph: one sparse product, with the fewer channels of the two.

    Reference: Kipf and Welling 2017, eq. (2).
    """

    def __init__(self, channels: int, to: int):
        super().__init__()
        self.map = affine(channels, to, bias=False)
        self.bias = nn.Parameter(torch.zeros(to))

    def forward(self, graph: Graph, u: Features) -> Tensor:
        weight = self.map.weight
        if isinstance(u, Tensor) and u.shape[-1] < weight.shape[0]:
            return nn.functional.linear(graph.edges.propagate(u, weight=graph.weight), weight, self.bias)
        return graph.edges.propagate(self.map(u), weight=graph.weight) + self.bias


@MODELS.add("gcn")
class Gcn(Layered):
    """u_l = relu(A u_{l-1} W_l + b_l), A = D^-1/2 (W + I) D^-1/2, the last without relu; u_0 = x.

    The options are what the literature puts beside a deep GCN in order to tell what makes it fail. Weights that do not
    learn leave the diffusion alone, without the loss having to get through many layers of weights.

    Args:
        layers: convolutions.
        residual: what is added to a layer's output: "none"; "identity" its input, where it has as many channels;
            "linear" a learned map of its input, everywhere but in the last layer.
        middle: weights of all layers but the first and the last: "learned"; "random" as drawn; "identity".
        norm: after each convolution but the last: "none", "batch" or "layer".

    Raises:
        InputError: an unknown option.

    Reference: Kipf and Welling 2017, eqs. (2) and (9), and (14) for "identity"; Luo et al. 2024, "Classic GNNs are
    strong baselines", for "linear" and ``norm``.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        classes: int,
        *,
        layers: int = 2,
        dropout: Dropout = _DROPOUT,
        residual: str = "none",
        middle: str = "learned",
        norm: str = "none",
    ):
        super().__init__(in_channels, hidden, classes, layers=layers, dropout=dropout)
        for given, known, what in (
            (residual, RESIDUALS, "residual"),
            (middle, MIDDLES, "middle"),
            (norm, tuple(NORMS), "norm"),
        ):
            if given not in known:
                raise InputError(f"{what}='{given}', expected one of: {', '.join(known)}")
        sizes = [in_channels, *[hidden] * (layers - 1), classes]
        self.convolutions = nn.ModuleList(GraphConvolution(a, b) for a, b in itertools.pairwise(sizes))
        self.norms = nn.ModuleList(NORMS[norm](c) for c in sizes[1:-1])
        self.skips = nn.ModuleList(
            affine(a, b) if residual == "linear" else nn.Identity() for a, b in itertools.pairwise(sizes[:-1])
        )
        self.residual, self.middle = residual, middle
        if middle != "learned":
            self._freeze()

    def _freeze(self) -> None:
        for layer in self.convolutions[1:-1]:
            assert isinstance(layer, GraphConvolution)
            if self.middle == "identity":
                nn.init.eye_(layer.map.weight)
            layer.requires_grad_(False)

    def states(self, graph: Graph, x: Features) -> Iterator[Tensor]:
        u = drop(x, self.dropout.inputs, self.training)
        for layer, norm, skip in zip(self.convolutions, self.norms, self.skips):
            y = layer(graph, u)
            if isinstance(skip, Linear):
                y = y + skip(u)
            y = torch.relu(norm(y))
            if self.residual == "identity" and isinstance(u, Tensor) and u.shape[-1] == y.shape[-1]:
                y = y + u
            yield y
            u = drop(y, self.dropout.hidden, self.training)
        yield self.convolutions[-1](graph, u)
