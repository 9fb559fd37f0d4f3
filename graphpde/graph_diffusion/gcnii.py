"""Deep graph convolutions with initial residual and identity mapping."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from graphpde.core.graph import Graph
from graphpde.errors import InputError
from graphpde.graph_diffusion.classifier import Dropout
from graphpde.graph_diffusion.layered import Layered, affine
from graphpde.graph_diffusion.models import MODELS
from graphpde.nets.features import Features, drop, dropout

_DROPOUT = Dropout(0.6, 0.6)


@MODELS.add("gcnii")
class Gcnii(Layered):
    """u_l = relu(((1 - a) A u_{l-1} + a u_0)((1 - b_l) I + b_l W_l)), b_l = log(lambda / l + 1).

    u_0 = relu(x W + b), A = D^-1/2 (W + I) D^-1/2; the logits are an affine map of the last state. Without the relu
    and the W_l it is a diffusion with source.

    Args:
        layers: convolutions, beside the affine maps at both ends.
        alpha: a, share of u_0 in each layer. decay: lambda > 0; b_l tends to zero, so that deep layers hardly mix
            channels.

    Raises:
        InputError: alpha outside of [0, 1], or a decay that is not positive.

    Reference: Chen et al. 2020, eq. (5); the published recipe decays the weights of the convolutions 20 times as much
    as those of the ends.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        classes: int,
        *,
        layers: int = 64,
        dropout: Dropout = _DROPOUT,
        alpha: float = 0.1,
        decay: float = 0.5,
    ):
        super().__init__(in_channels, hidden, classes, layers=layers, dropout=dropout)
        if not 0 <= alpha <= 1 or not 0 < decay < math.inf:
            raise InputError(f"got alpha = {alpha:g} and decay = {decay:g}, expected alpha in [0, 1] and decay > 0")
        self.alpha, self.decay = float(alpha), float(decay)
        self.encoder, self.decoder = affine(in_channels, hidden), affine(hidden, classes)
        self.weights = nn.ParameterList(nn.init.xavier_uniform_(torch.empty(hidden, hidden)) for _ in range(layers))

    def states(self, graph: Graph, x: Features) -> Iterator[Tensor]:
        u = start = torch.relu(self.encoder(drop(x, self.dropout.inputs, self.training)))
        yield u
        for depth, weight in enumerate(self.weights, 1):
            share = math.log(self.decay / depth + 1)
            u = dropout(u, self.dropout.hidden, self.training)
            u = torch.lerp(graph.edges.propagate(u, weight=graph.weight), start, self.alpha)
            u = torch.relu(torch.addmm(u, u, weight, beta=1 - share, alpha=share))
            yield u
        yield self.decoder(drop(u, self.dropout.hidden, self.training))
