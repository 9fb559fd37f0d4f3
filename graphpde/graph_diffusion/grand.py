"""GRAND: diffusion with learned attention as diffusivity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.core.graph import Graph
from graphpde.errors import InputError
from graphpde.graph_diffusion.classifier import Classifier, Known
from graphpde.graph_diffusion.models import MODELS
from graphpde.nets.attention import EdgeAttention, mean_of_heads
from graphpde.ops.term import Term
from graphpde.ops.weighted_diffusion import HeldRate, WeightedDiffusion
from graphpde.typing import Scalar

FRESH = ("start", "step", "evaluation")


@dataclass(frozen=True)
class Attention:
    """Which attention a model learns: see :class:`~graphpde.nets.attention.EdgeAttention`.

    Attributes:
        fresh: when it is worked out: "start" from u(0), which makes the equation linear; "step" from the state at the
            start of each step; "evaluation" from every state, the nonlinear equation.
    """

    heads: int = 4
    dim: int = 32
    kind: str = "scaled_dot"
    over: str = "incoming"
    fresh: str = "start"

    def __post_init__(self) -> None:
        if self.fresh not in FRESH:
            raise InputError(f"fresh='{self.fresh}', expected one of: {', '.join(FRESH)}")

    def on(self, channels: int) -> EdgeAttention:
        """The module for a state of so many channels."""
        return EdgeAttention(channels, heads=self.heads, dim=self.dim, kind=self.kind, over=self.over)


_ATTENTION = Attention()


class AttentionDiffusion(Term):
    """u' = s (A(u) - I) u with A(u) worked out from the state: at every evaluation, or held over a step.

    Args:
        graph: prepared. attention: see :class:`EdgeAttention`. speed: s. lagged: whether A is that of the start of the
            step, so that implicit steppers solve linear systems.
    """

    def __init__(self, graph: Graph, attention: EdgeAttention, speed: Scalar = 1.0, *, lagged: bool = False):
        super().__init__()
        self.domain, self.attention, self.speed, self.lagged = graph, attention, speed, lagged

    @property
    def mass(self) -> None:  # type: ignore[override]
        return None

    def frozen(self, u: Tensor) -> WeightedDiffusion:
        """The linear term with the attention of u."""
        assert self.domain is not None
        weight = mean_of_heads(self.attention(self.domain.edges, u))
        return WeightedDiffusion(self.domain, weight, decay=1.0, speed=self.speed)

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return self.frozen(u)(t, u)

    def at(self, t: Tensor, u: Tensor) -> Term:
        return self.frozen(u) if self.lagged else self

    def tensors(self) -> tuple[Tensor, ...]:
        return (*self.parameters(), *((self.speed,) if isinstance(self.speed, Tensor) else ()))


@MODELS.add("grand")
class Grand(Classifier):
    """u' = alpha (A(u) - I) u + beta u(0), A the attention of the edges, the mean of its heads.

    With ``attention.fresh="start"`` this is GRAND-l, with "evaluation" GRAND-nl; on a graph with other edges
    (:func:`~graphpde.graph_diffusion.rewire.diffused`) GRAND-nl-rw. alpha = sigmoid(a), a and beta learned, 0 at the
    start.

    Args:
        source: whether there is the term beta u(0).

    Reference: Chamberlain et al. 2021, "GRAND: Graph Neural Diffusion", eqs. (4) and (8).
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        classes: int,
        *,
        attention: Attention = _ATTENTION,
        source: bool = True,
        **evolution: Any,
    ):
        super().__init__(in_channels, hidden, classes, **evolution)
        self.fresh, self.source = attention.fresh, source
        self.attention = attention.on(hidden)
        self.alpha, self.beta = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()), requires_grad=source)

    def term(self, graph: Graph, u0: Tensor, known: Known | None = None) -> Term:
        moving = AttentionDiffusion(graph, self.attention, torch.sigmoid(self.alpha), lagged=self.fresh == "step")
        diffusion: Term = moving.frozen(u0) if self.fresh == "start" else moving
        return diffusion + HeldRate(self.beta * u0) if self.source else diffusion
