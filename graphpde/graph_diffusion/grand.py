"""GRAND: diffusion with learned attention as diffusivity."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from graphpde.core.graph import Graph
from graphpde.graph_diffusion.classifier import Classifier, Known
from graphpde.graph_diffusion.coupling import Attention, Coupling
from graphpde.graph_diffusion.models import MODELS
from graphpde.ops.term import Term
from graphpde.ops.weighted_diffusion import HeldRate, WeightedDiffusion

_ATTENTION = Attention()


@MODELS.add("grand")
class Grand(Classifier):
    """u' = alpha (A(u) - I) u + beta u(0), A the attention of the edges, the mean of its heads.

    With ``attention.fresh="start"`` this is GRAND-l, with "evaluation" GRAND-nl; on a graph with other edges
    (:func:`~graphpde.graph_diffusion.rewire.diffused`) GRAND-nl-rw. alpha = sigmoid(a), a and beta learned, 0 at the
    start.

    Args:
        attention: see :class:`~graphpde.graph_diffusion.coupling.Attention`; None = A is D^-1/2 (W + I) D^-1/2.
        source: whether there is the term beta u(0).

    Reference: Chamberlain et al. 2021, "GRAND: Graph Neural Diffusion", eqs. (4) and (8).
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        classes: int,
        *,
        attention: Attention | None = _ATTENTION,
        source: bool = True,
        **evolution: Any,
    ):
        super().__init__(in_channels, hidden, classes, **evolution)
        self.coupling, self.source = Coupling(hidden, attention), source
        self.normalisation = self.coupling.normalisation
        self.alpha, self.beta = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()), requires_grad=source)

    def term(self, graph: Graph, u0: Tensor, known: Known | None = None) -> Term:
        speed = torch.sigmoid(self.alpha)
        held = self.beta * u0 if self.source else None

        def build(weight: Tensor) -> Term:
            diffusion = WeightedDiffusion(graph, weight, decay=1.0, speed=speed)
            return diffusion if held is None else diffusion + HeldRate(held)

        return self.coupling.term(graph, u0, build, (speed, held))
