"""Predict, then propagate with personalised PageRank."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.errors import InputError
from graphpde.graph_diffusion.classifier import Dropout
from graphpde.graph_diffusion.layered import Layered, affine, probability
from graphpde.graph_diffusion.models import MODELS
from graphpde.nets.features import Features, drop, dropout

_DROPOUT = Dropout(0.5, 0.5)


@MODELS.add("appnp")
class Appnp(Layered):
    """u_k = (1 - a) A u_{k-1} + a u_0, u_0 = relu(x W + b) V + c, A = D^-1/2 (W + I) D^-1/2.

    These are forward Euler steps of length 1 of the diffusion with source u' = (1 - a)(A - I) u + a (u_0 - u), whose
    rest state is the PageRank of u_0.

    Args:
        alpha: a, the chance to return. steps: k. edge_dropout: of the entries of A, drawn for each step.

    Raises:
        InputError: alpha outside of (0, 1], steps < 0.

    Reference: Gasteiger et al. 2019, eqs. (4) and (5).
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        classes: int,
        *,
        alpha: float = 0.1,
        steps: int = 10,
        dropout: Dropout = _DROPOUT,
        edge_dropout: float = 0.5,
    ):
        super().__init__(in_channels, hidden, classes, layers=2, dropout=dropout)
        if not 0 < alpha <= 1 or steps < 0:
            raise InputError(f"got alpha = {alpha:g} and {steps} steps, expected alpha in (0, 1] and steps >= 0")
        self.alpha, self.steps = float(alpha), steps
        self.edge_dropout = probability(edge_dropout, "edge_dropout")
        self.encoder, self.decoder = affine(in_channels, hidden), affine(hidden, classes)

    def states(self, graph: Graph, x: Features) -> Iterator[Tensor]:
        u = torch.relu(self.encoder(drop(x, self.dropout.inputs, self.training)))
        yield u
        u = start = self.decoder(drop(u, self.dropout.hidden, self.training))
        yield u
        for _ in range(self.steps):
            weight = dropout(graph.weight, self.edge_dropout, self.training)
            u = torch.lerp(graph.edges.propagate(u, weight=weight), start, self.alpha)
            yield u
