"""What couples the nodes of a model: the weights of its graph, or attention learned from the state."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.core.graph import Graph
from graphpde.errors import InputError
from graphpde.nets.attention import EdgeAttention, mean_of_heads
from graphpde.ops.term import Term

Build = Callable[[Tensor], Term]
"""The term for given weights [e] of the edges."""


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


class Coupling(nn.Module):
    """The matrix A of a model, one weight per edge of the prepared graph.

    Args:
        channels: of the state. attention: learned, the mean of its heads; None = the weights of the graph itself.

    Attributes:
        fresh: when A is worked out, see :class:`Attention`.
    """

    def __init__(self, channels: int, attention: Attention | None = None):
        super().__init__()
        self.fresh = "start" if attention is None else attention.fresh
        self.attention = None if attention is None else attention.on(channels)

    @property
    def normalisation(self) -> str:
        """How the graph is prepared: D^-1/2 (A + I) D^-1/2 where nothing is learned."""
        return "symmetric" if self.attention is None else "incoming"

    def weight(self, graph: Graph, u: Tensor) -> Tensor:
        """A [e] in own order, for a state u [n, c]."""
        return graph.weight if self.attention is None else mean_of_heads(self.attention(graph.edges, u))

    def term(self, graph: Graph, u0: Tensor, build: Build, reads: Sequence[Any] = ()) -> Term:
        """The term that ``build`` makes of A, with A as fresh as it should be.

        Args:
            reads: tensors that the term reads, besides A. What is no tensor is passed over.
        """
        if self.fresh == "start":
            return build(self.weight(graph, u0))
        return StateWeighted(graph, self, build, tuple(x for x in reads if isinstance(x, Tensor)))


class StateWeighted(Term):
    """A term whose weights of edges depend on the state: at every evaluation, or held over each step.

    Args:
        graph: prepared. coupling: gives the weights. build: the term for given weights; a rate.
        reads: tensors that ``build`` reads.
    """

    def __init__(self, graph: Graph, coupling: Coupling, build: Build, reads: tuple[Tensor, ...] = ()):
        super().__init__()
        self.domain, self.coupling, self.build, self.reads = graph, coupling, build, reads

    @property
    def mass(self) -> None:  # type: ignore[override]
        return None

    def frozen(self, u: Tensor) -> Term:
        """The term with the weights that u gives."""
        assert self.domain is not None
        return self.build(self.coupling.weight(self.domain, u))

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return self.frozen(u)(t, u)

    def at(self, t: Tensor, u: Tensor) -> Term:
        return self.frozen(u) if self.coupling.fresh == "step" else self

    def tensors(self) -> tuple[Tensor, ...]:
        return (*self.parameters(), *self.reads)


def positive(start: float, channels: int | None = None, *, name: str) -> nn.Parameter:
    """The logarithm of a number > 0 that is learned, or of one per channel.

    Raises:
        InputError: it is not positive.
    """
    if not 0 < start < math.inf:
        raise InputError(f"{name} = {start:g}, expected a finite number > 0")
    return nn.Parameter(torch.full(() if channels is None else (channels,), math.log(start)))
