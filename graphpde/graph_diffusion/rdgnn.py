"""RDGNN: diffusion on a graph with a learned reaction."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from graphpde.core.graph import Graph
from graphpde.graph_diffusion.classifier import Classifier, Known
from graphpde.graph_diffusion.coupling import Attention, Coupling, positive
from graphpde.graph_diffusion.models import MODELS
from graphpde.nets.mlp import Mlp
from graphpde.ops.reaction import Reaction
from graphpde.ops.term import Term
from graphpde.ops.weighted_diffusion import WeightedDiffusion


class TowardsNetwork(nn.Module):
    """R(u) = net([u, u0]) - alpha u at each node: growth that a network chooses, with decay that bounds it.

    Args:
        net: [*, n, 2 c] -> [*, n, c]. u0: [n, c]. alpha: > 0, one per channel.
    """

    u0: Tensor
    alpha: Tensor

    def __init__(self, net: nn.Module, u0: Tensor, alpha: Tensor):
        super().__init__()
        self.net = net
        self.register_buffer("u0", u0)
        self.register_buffer("alpha", alpha)

    def forward(self, u: Tensor) -> Tensor:
        return self.net(torch.cat([u, self.u0.expand_as(u)], -1)) - self.alpha * u


@MODELS.add("rdgnn")
class Rdgnn(Classifier):
    """u' = -eps_d L u + eps_r R(u, u(0)), R = MLP([u, u(0)]) - alpha u, L = I - A.

    L is the Laplacian and nothing else: weights between channels stand in the reaction only, so that every channel
    diffuses with a speed eps_d > 0 of its own. eps_d, eps_r and alpha are learned as exponentials, one number each for
    every channel. The network starts at 0, the model as damped diffusion.

    Args:
        diffusion, reaction, decay: eps_d, eps_r and alpha at the start.
        attention: A; None = D^-1/2 (A + I) D^-1/2.

    Reference: Eliasof, Haber and Treister 2024, "Graph Neural Reaction Diffusion Models", whose reactions this one
    stands for; theirs mixes channels in the diffusion as well.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        classes: int,
        *,
        diffusion: float = 0.5,
        reaction: float = 0.1,
        decay: float = 1.0,
        attention: Attention | None = None,
        **evolution: Any,
    ):
        super().__init__(in_channels, hidden, classes, **evolution)
        self.coupling = Coupling(hidden, attention)
        self.normalisation = self.coupling.normalisation
        self.net = Mlp(2 * hidden, hidden, hidden, activation=nn.functional.gelu)
        for p in self.net.maps[-1].parameters():
            nn.init.zeros_(p)
        self.diffusion = positive(diffusion, hidden, name="diffusion")
        self.reaction, self.decay = positive(reaction, hidden, name="reaction"), positive(decay, hidden, name="decay")

    def term(self, graph: Graph, u0: Tensor, known: Known | None = None) -> Term:
        eps_d, eps_r = self.diffusion.exp(), self.reaction.exp()
        towards = TowardsNetwork(self.net, u0, self.decay.exp())

        def build(weight: Tensor) -> Term:
            return WeightedDiffusion(graph, weight, decay=1.0, speed=eps_d) + eps_r * Reaction(towards)

        return self.coupling.term(graph, u0, build, (eps_d, eps_r, u0, towards.alpha, *self.net.parameters()))
