"""A classifier of nodes: encode, evolve, decode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from graphpde.core.bridges import as_graph
from graphpde.core.graph import Graph
from graphpde.dynamics.checkpointed import Checkpoints
from graphpde.dynamics.control import Adaptive
from graphpde.dynamics.evolve import evolve
from graphpde.dynamics.stepper import Stepper
from graphpde.dynamics.trajectory import Trajectory
from graphpde.errors import InputError, ShapeError
from graphpde.nets.features import Features, drop, dropout
from graphpde.nets.linear import Linear, glorot
from graphpde.ops.term import Term
from graphpde.typing import State


@dataclass(frozen=True)
class Integration:
    """How u' = F is carried from time 0 to T: the arguments of :func:`~graphpde.dynamics.evolve`.

    Attributes:
        stepper: a stepper or its name. dt: equal steps of at most this; None = chosen by the tolerances.
        rtol, atol: of one step, where dt is None. grad: how
            gradients go through the steps, as there.
    """

    stepper: Stepper | str = "dopri5"
    dt: float | None = None
    rtol: float = 1e-3
    atol: float = 1e-4
    grad: str | Checkpoints = "auto"

    def __call__(self, term: Any, u0: State, times: Sequence[float]) -> Trajectory:
        """The states at ``times``."""
        control = Adaptive(rtol=self.rtol, atol=self.atol) if self.dt is None else None
        return evolve(
            term, u0, times, stepper=self.stepper, dt=self.dt, control=control, grad=self.grad, allow_unstable=True
        )


class Dropout(NamedTuple):
    """Probabilities with which numbers are set to zero while learning: of the input features, and before decoding."""

    inputs: float = 0.5
    hidden: float = 0.0


_DROPOUT, _INTEGRATION = Dropout(), Integration()


class Known(NamedTuple):
    """Labels that a model may see.

    Attributes:
        mask: nodes whose label is given, bool [n]. labels: int64 [n]; only those under the mask are read.
    """

    mask: Tensor
    labels: Tensor


class Classifier(nn.Module):
    """logits = decode(u(T)), u' = F(t, u), u(0) = encode(x).

    A subclass says what moves: :meth:`term` on a graph, and :meth:`prepare` which graph it moves on. It holds
    parameters only, so that it runs on any graph with the same features.

    Args:
        in_channels: features f of a node. hidden: channels c of the state. classes: k.
        time: T, in units in which an isolated mode of a normalised Laplacian decays with rate up to 2.
        dropout: see :class:`Dropout`. integration: see :class:`Integration`.
        labels: whether what is known of labels goes into u(0), as a vector learned for each class.

    Attributes:
        reads: what of :class:`Known` the model looks at: "nothing", "places" or "labels".

    Raises:
        InputError: sizes that are not positive, a time that is not.
    """

    reads = "nothing"

    loops: float = 1.0
    normalisation: str = "incoming"

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        classes: int,
        *,
        time: float = 4.0,
        dropout: Dropout = _DROPOUT,
        integration: Integration = _INTEGRATION,
        labels: bool = False,
    ):
        super().__init__()
        if min(in_channels, hidden, classes) < 1:
            raise InputError(f"got {in_channels} features, {hidden} channels, {classes} classes; expected at least one")
        if not 0 < time < float("inf"):
            raise InputError(f"time = {time:g}, expected a finite time > 0")
        self.time, self.dropout, self.integration = float(time), Dropout(*dropout), integration
        self.encoder = Linear(in_channels, hidden)
        self.decoder = glorot(nn.Linear(hidden, classes))
        self.label = nn.Embedding(classes, hidden) if labels else None
        if labels:
            self.reads = "labels"
        self.spent: Mapping[str, Any] = {}

    @property
    def classes(self) -> int:
        return self.decoder.out_features

    def prepare(self, graph: Any) -> Graph:
        """The graph that the state moves on, made once from the one given."""
        from graphpde.core.normalise import normalised

        return normalised(as_graph(graph), self.normalisation, loops=self.loops, dtype=self.encoder.weight.dtype)

    def encode(self, x: Features, known: Known | None = None) -> Tensor:
        """u(0) [n, c].

        Raises:
            InputError: a known label that is none of the classes.
        """
        u = self.encoder(drop(x, self.dropout.inputs, self.training))
        if self.label is None or known is None:
            return u
        mask, labels = known.mask[:, None], known.labels.clamp(min=0).masked_fill(~known.mask, 0)
        if bool((labels >= self.classes).any()):
            raise InputError(f"a known label is {int(labels.max())}, expected classes 0 to {self.classes - 1}")
        return u + torch.where(mask, self.label(labels), torch.zeros_like(u))

    def term(self, graph: Graph, u0: Tensor, known: Known | None = None) -> Term:
        """F on a prepared graph, for a state that starts from u0 [n, c]."""
        raise NotImplementedError(f"{type(self).__name__} does not define term(graph, u0, known)")

    def begin(self, u0: Tensor) -> State:
        """The whole state at time 0, where it is more than u."""
        return u0

    def integrate(self, term: Term, state: State, times: Sequence[float]) -> Trajectory:
        """The states at ``times`` from the one at the first of them; piece by piece where F jumps in time."""
        return self.integration(term, state, times)

    def end(self, state: State) -> Tensor:
        """What is decoded of the state [n, c]."""
        assert isinstance(state, Tensor)
        return state

    def decode(self, u: Tensor) -> Tensor:
        """Logits [n, k]."""
        return self.decoder(dropout(torch.relu(u), self.dropout.hidden, self.training))

    def trajectory(
        self, graph: Any, x: Features, times: Sequence[float] | None = None, known: Known | None = None
    ) -> Trajectory:
        """The state at ``times``, default 0 and T."""
        graph = self.prepare(graph)
        if x.shape[-2] != graph.n:
            raise ShapeError(f"x has {x.shape[-2]} rows, expected one for each of {graph.n} nodes")
        u0 = self.encode(x, known)
        return self.integrate(self.term(graph, u0, known), self.begin(u0), [0.0, self.time] if times is None else times)

    def forward(self, graph: Any, x: Features, known: Known | None = None) -> Tensor:
        path = self.trajectory(graph, x, known=known)
        self.spent = path.statistics
        return self.decode(self.end(_last(path.states)))


def _last(states: State) -> State:
    from graphpde.dynamics.state import tree_map

    return tree_map(lambda x: x[-1], states)
