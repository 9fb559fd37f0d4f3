"""ACMP: particles that attract or repel their neighbours, in a double well."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.errors import InputError
from graphpde.graph_diffusion.classifier import Classifier, Known
from graphpde.graph_diffusion.coupling import Attention, Coupling, positive
from graphpde.graph_diffusion.models import MODELS
from graphpde.ops.reaction import Reaction
from graphpde.ops.term import Term
from graphpde.ops.weighted_diffusion import WeightedDiffusion


@MODELS.add("acmp")
class Acmp(Classifier):
    r"""u_i' = alpha \sum_j (a_ij - beta) (u_j - u_i) + delta u_i (1 - u_i^2).

    An edge with a_ij > beta attracts, one with a_ij < beta repels, so that neighbours may end in different phases; the
    double well with minima -1 and 1 keeps everything bounded, and its phases keep nodes apart for ever. A node with
    many repelling edges moves at a rate of beta times their number: prefer adaptive steps.

    Args:
        beta: the strength from which edges attract.
        alpha, delta: at the start; learned as exponentials, one for each channel.
        attention: a_ij; None = those of D^-1/2 (A + I) D^-1/2.

    Raises:
        InputError: beta that is negative, alpha or delta that is not positive.

    Reference: Wang et al. 2023, "ACMP: Allen-Cahn Message Passing with Attractive and Repulsive Forces for Graph Neural
    Networks". Its published program has \sum_j (a_ij - beta) u_j - u_i instead; here is the formula.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        classes: int,
        *,
        beta: float = 0.05,
        alpha: float = 1.0,
        delta: float = 1.0,
        attention: Attention | None = None,
        **evolution: Any,
    ):
        super().__init__(in_channels, hidden, classes, **evolution)
        if not 0 <= beta < float("inf"):
            raise InputError(f"beta = {beta:g}, expected a finite strength >= 0")
        self.beta, self.coupling = beta, Coupling(hidden, attention)
        self.normalisation = self.coupling.normalisation
        self.alpha, self.delta = positive(alpha, hidden, name="alpha"), positive(delta, hidden, name="delta")

    def term(self, graph: Graph, u0: Tensor, known: Known | None = None) -> Term:
        alpha, delta = self.alpha.exp(), self.delta.exp()

        def build(weight: Tensor) -> Term:
            return WeightedDiffusion(graph, weight - self.beta, speed=alpha) + delta * Reaction(double_well)

        return self.coupling.term(graph, u0, build, (alpha, delta))


def double_well(u: Tensor) -> Tensor:
    """-W'(u) of W = (1 - u^2)^2 / 4."""
    return u * (1 - u * u)
