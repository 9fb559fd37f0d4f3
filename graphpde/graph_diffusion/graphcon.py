"""GraphCON: nodes as damped oscillators that their neighbours drive."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from graphpde.core.graph import Graph
from graphpde.errors import InputError
from graphpde.graph_diffusion.classifier import Classifier, Known
from graphpde.graph_diffusion.coupling import Attention, Coupling
from graphpde.graph_diffusion.models import MODELS
from graphpde.nets.linear import glorot
from graphpde.ops.term import Term
from graphpde.typing import State


class Swing(NamedTuple):
    """Positions and velocities of the nodes, each [n, c]."""

    u: Tensor
    v: Tensor


class DrivenOscillators(Term):
    """u' = v, v' = relu(F(u)) - gamma u - alpha v with F(u) = A u W + b, on states :class:`Swing`.

    Args:
        graph: prepared. coupling: gives A. mixing: W and b. weight: A itself [e] where it does not depend on the state.
        gamma, alpha: stiffness and damping >= 0.
    """

    def __init__(
        self, graph: Graph, coupling: Coupling, mixing: nn.Module, weight: Tensor | None, gamma: float, alpha: float
    ):
        super().__init__()
        self.domain, self.coupling, self.mixing, self.weight = graph, coupling, mixing, weight
        self.gamma, self.alpha = gamma, alpha

    @property
    def mass(self) -> None:  # type: ignore[override]
        return None

    def forward(self, t: Tensor, state: Swing) -> Swing:  # type: ignore[override]
        assert self.domain is not None
        u, v = state
        weight = self.coupling.weight(self.domain, u) if self.weight is None else self.weight
        driven = torch.relu(self.mixing(self.domain.edges.propagate(u, weight=weight)))
        return Swing(v, driven - self.gamma * u - self.alpha * v)

    def tensors(self) -> tuple[Tensor, ...]:
        return (*self.parameters(), *(() if self.weight is None else (self.weight,)))


@MODELS.add("graphcon")
class GraphCon(Classifier):
    """u'' = relu(F(u)) - gamma u - alpha u', u(0) = u'(0) = encode(x); what is decoded is u.

    Oscillators do not settle to a common value as diffusion does. The state is a pair, so that steppers are explicit.

    Args:
        gamma, alpha: stiffness and damping, fixed.
        attention: of A in F(u) = A u W + b; None = D^-1/2 (A + I) D^-1/2, as in GraphCON-GCN.

    Raises:
        InputError: gamma or alpha negative, or attention held over a step.

    Reference: Rusch et al. 2022, "Graph-Coupled Oscillator Networks". Their step, v first and then u from it, is a
    semi-implicit Euler step of dt = 1; the published program adds a residual to F and dropout at every step.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        classes: int,
        *,
        gamma: float = 1.0,
        alpha: float = 1.0,
        attention: Attention | None = None,
        **evolution: Any,
    ):
        super().__init__(in_channels, hidden, classes, **evolution)
        if not (0 <= gamma < float("inf") and 0 <= alpha < float("inf")):
            raise InputError(f"gamma = {gamma:g} and alpha = {alpha:g}, expected finite numbers >= 0")
        if attention is not None and attention.fresh == "step":
            raise InputError(
                "attention held over a step needs a state of one tensor; take fresh='start' or 'evaluation'"
            )
        self.gamma, self.damping, self.coupling = gamma, alpha, Coupling(hidden, attention)
        self.normalisation = self.coupling.normalisation
        self.mixing = glorot(nn.Linear(hidden, hidden))

    def begin(self, u0: Tensor) -> Swing:
        return Swing(u0, u0)

    def end(self, state: State) -> Tensor:
        assert isinstance(state, Swing)
        return state.u

    def term(self, graph: Graph, u0: Tensor, known: Known | None = None) -> Term:
        weight = self.coupling.weight(graph, u0) if self.coupling.fresh == "start" else None
        return DrivenOscillators(graph, self.coupling, self.mixing, weight, self.gamma, self.damping)
