"""PDE-GCN: nonlinear diffusion and waves on a graph, with weights that change from layer to layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.core.graph import Graph
from graphpde.dynamics.trajectory import Trajectory
from graphpde.errors import InputError
from graphpde.graph_diffusion.classifier import Classifier, Known
from graphpde.graph_diffusion.models import MODELS
from graphpde.ops.term import Term
from graphpde.typing import State

KINDS = ("diffusion", "wave", "mixed")


class EdgeFluxes(Term):
    r"""F(u) = -G^T K^T tanh(K G u), and with it u' = F, u'' = F or alpha u'' + (1 - alpha) u' = F.

    (G u)_ij = sqrt(w_ij) (u_j - u_i) on undirected edges: with K = 1 and small differences F is the graph Laplacian.
    What leaves one node enters the other, so that without degrees in w the sum over all nodes stays; F is minus the
    gradient of \sum log cosh(K G u) over edges and channels.

    Args:
        graph: symmetric, with weights w.
        k: K [c, c], or one for each layer [layers, c, c] of length ``span`` in time; before and after them the nearest.
        kind: see :class:`PdeGcn`. alpha: of "mixed".
    """

    def __init__(self, graph: Graph, k: Tensor, span: float, kind: str, alpha: Tensor | None = None):
        super().__init__()
        self.domain, self.k, self.span, self.kind, self.alpha = graph, k, span, kind, alpha
        self.root = graph.weight[graph.incidence.edge].sqrt()[:, None]

    @property
    def mass(self) -> None:  # type: ignore[override]
        return None

    def layer(self, number: int) -> EdgeFluxes:
        """The term of one layer, the same at all times."""
        assert self.domain is not None
        return EdgeFluxes(self.domain, self.k[number], self.span, self.kind, self.alpha)

    def fluxes(self, t: Tensor, u: Tensor) -> Tensor:
        """F [*, n, c]."""
        assert self.domain is not None
        k = self.k
        if k.dim() == 3:
            k = k[min(max(int(float(t) / self.span), 0), len(k) - 1)]
        along = self.domain.incidence
        return -along.divergence(self.root * (torch.tanh((self.root * along.difference(u)) @ k.mT) @ k))

    def forward(self, t: Tensor, state: Tensor) -> Tensor:
        if self.kind == "diffusion":
            return self.fluxes(t, state)
        u, v = state.chunk(2, -1)
        rate = self.fluxes(t, u)
        if self.alpha is not None:
            rate = (rate - (1 - self.alpha) * v) / self.alpha
        return torch.cat([v, rate], -1)

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.k, self.root, *(() if self.alpha is None else (self.alpha,)))


@MODELS.add("pde_gcn")
class PdeGcn(Classifier):
    """Diffusion u' = F, waves u'' = F, or both: alpha u'' + (1 - alpha) u' = F, F(u) = -G^T K^T tanh(K G u).

    K [c, c] is constant over each of ``layers`` equal parts of [0, T] and starts as 1; alpha = sigmoid(a), a learned.
    Waves start at rest; their state is [n, 2 c], u and then u'. No step reaches over the end of a layer, so that every
    stepper keeps its order. "euler" with dt = T / layers gives the diffusive layers of the paper.

    Args:
        kind: "diffusion", "wave" or "mixed". layers: how many K.

    Raises:
        InputError: another kind, or no layer. GraphError: a directed graph.

    Reference: Eliasof, Haber and Treister 2021, "PDE-GCN: Novel Architectures for Graph Neural Networks Motivated by
    Partial Differential Equations". The paper leaves the nonlinearity open; an odd one does not depend on which end of
    an edge is called its head.
    """

    loops, normalisation = 0.0, "symmetric"

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        classes: int,
        *,
        kind: str = "diffusion",
        layers: int = 4,
        **evolution: Any,
    ):
        super().__init__(in_channels, hidden, classes, **evolution)
        if kind not in KINDS:
            raise InputError(f"kind='{kind}', expected one of: {', '.join(KINDS)}")
        if layers < 1:
            raise InputError(f"got {layers} layers, expected at least one")
        self.kind, self.layers = kind, layers
        self.k = nn.Parameter(torch.eye(hidden).repeat(layers, 1, 1))
        self.mixing = nn.Parameter(torch.zeros(()), requires_grad=kind == "mixed")

    def begin(self, u0: Tensor) -> Tensor:
        return u0 if self.kind == "diffusion" else torch.cat([u0, torch.zeros_like(u0)], -1)

    def end(self, state: State) -> Tensor:
        assert isinstance(state, Tensor)
        return state if self.kind == "diffusion" else state.chunk(2, -1)[0]

    def term(self, graph: Graph, u0: Tensor, known: Known | None = None) -> EdgeFluxes:
        alpha = torch.sigmoid(self.mixing) if self.kind == "mixed" else None
        return EdgeFluxes(graph, self.k, self.time / self.layers, self.kind, alpha)

    def integrate(self, term: Term, state: State, times: Sequence[float]) -> Trajectory:
        """Layer by layer."""
        assert isinstance(term, EdgeFluxes) and isinstance(state, Tensor)
        ends = [k * term.span for k in range(1, self.layers)]
        found, steps, work = [state], 0, Counter[str]()
        for number, (start, end) in enumerate(zip([float("-inf"), *ends], [*ends, float("inf")])):
            inside = [t for t in times if start < t < end]
            here = [max(start, times[0]), *inside, min(end, times[-1])]
            here = sorted(set(here)) if here[0] < here[-1] else []
            if not here:
                continue
            path = self.integration(term.layer(number), state, here)
            assert isinstance(path.states, Tensor)
            state = path.states[-1]
            found += [path.states[here.index(t)] for t in times[1:] if t in here[1:]]
            steps, work = steps + path.steps, work + Counter(_numbers(path.statistics))
        return Trajectory(torch.as_tensor(times, dtype=torch.float64), torch.stack(found), term.domain, steps, work)


def _numbers(statistics: Mapping[str, Any]) -> dict[str, int]:
    return {name: count for name, count in statistics.items() if isinstance(count, int)}
