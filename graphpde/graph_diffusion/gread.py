"""GREAD: diffusion on a graph with one of several reactions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from graphpde.core.graph import Graph
from graphpde.core.linear_operator import LinearOperator, Sparse
from graphpde.graph_diffusion.classifier import Classifier, Known
from graphpde.graph_diffusion.coupling import Attention, Coupling
from graphpde.graph_diffusion.models import MODELS
from graphpde.ops.reaction import Reaction
from graphpde.ops.term import LinearTerm, Mass, Term
from graphpde.ops.weighted_diffusion import HeldRate, WeightedDiffusion
from graphpde.registry import unknown

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class Place(NamedTuple):
    """What a reaction may read besides u: the graph, the matrix A as weights [e], and u(0) [n, c]."""

    graph: Graph
    weight: Tensor
    u0: Tensor


class BlurredSharpening(LinearOperator):
    """A - A^2: the sharpening I - A of what A has blurred; large where neighbours differ but not at once."""

    def __init__(self, blur: Sparse):
        self.blur, self.n, self.symmetric = blur, blur.n, blur.symmetric

    def matvec(self, x: Tensor) -> Tensor:
        once = self.blur.matvec(x)
        return once - self.blur.matvec(once)

    def transpose(self) -> BlurredSharpening:
        return BlurredSharpening(self.blur.transpose())

    def to_scipy(self, channel: int = 0) -> csr_matrix:
        a = self.blur.to_scipy(channel)
        return (a - a @ a).tocsr()

    def tensors(self) -> tuple[Tensor, ...]:
        return self.blur.tensors()

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> BlurredSharpening:
        return BlurredSharpening(self.blur.to(device, dtype))


class Sharpening(LinearTerm):
    """u' = (A - A^2) u, A the weights [e] of the edges of a graph; a rate, whatever the measure of the nodes."""

    def __init__(self, graph: Graph, weight: Tensor):
        super().__init__()
        self.domain = graph
        self._operator = BlurredSharpening(Sparse(graph.edges, weight, weight.new_zeros(graph.n)))

    @property
    def mass(self) -> Mass:
        return None

    @property
    def operator(self) -> LinearOperator:
        return self._operator

    def tensors(self) -> tuple[Tensor, ...]:
        return self._operator.tensors()


def _fisher(u: Tensor) -> Tensor:
    return u * (1 - u)


def _allen_cahn(u: Tensor) -> Tensor:
    return u * (1 - u * u)


def _zeldovich(u: Tensor) -> Tensor:
    return u * u * (1 - u)


REACTION_TERMS: dict[str, Callable[[Place], Term]] = {
    "fisher": lambda at: Reaction(_fisher),
    "allen_cahn": lambda at: Reaction(_allen_cahn),
    "zeldovich": lambda at: Reaction(_zeldovich),
    "source": lambda at: HeldRate(at.u0),
    "blurring_sharpening": lambda at: Sharpening(at.graph, at.weight),
    "filter_bank": lambda at: -WeightedDiffusion(at.graph, at.weight, decay=1.0),
    "filter_bank_star": lambda at: -WeightedDiffusion(at.graph, at.weight, decay=2.0),
}
"""name -> r(u, A): u (1 - u), u (1 - u^2), u (u - u^2), u(0), (A - A^2) u, L u and L u + u with L = I - A."""


@MODELS.add("gread")
class Gread(Classifier):
    """u' = -alpha L u + beta r(u, A), L = I - A.

    alpha = sigmoid(a) and beta are learned, 0.5 and 0 at the start. The pointwise reactions grow without bound where u
    is far below 0 and beta large.

    Args:
        reaction: r by name, see ``REACTION_TERMS``: "fisher" (GREAD-F), "allen_cahn" (AC), "zeldovich" (Z), "source"
            (ST), "blurring_sharpening" (BS), "filter_bank" (FB), "filter_bank_star" (FB*).
        attention: A; None = D^-1/2 (A + I) D^-1/2.
        per_channel: whether alpha and beta are one number for each channel.

    Raises:
        UnknownName: no such reaction.

    Reference: Choi et al. 2023, "GREAD: Graph Neural Reaction-Diffusion Networks". FB is L u as in its formula; its
    published program adds u + A u there, and puts beta through a sigmoid too.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        classes: int,
        *,
        reaction: str = "blurring_sharpening",
        attention: Attention | None = None,
        per_channel: bool = False,
        **evolution: Any,
    ):
        super().__init__(in_channels, hidden, classes, **evolution)
        if reaction not in REACTION_TERMS:
            raise unknown("reaction term", reaction, REACTION_TERMS)
        self.reaction, self.coupling = reaction, Coupling(hidden, attention)
        self.normalisation = self.coupling.normalisation
        size = (hidden,) if per_channel else ()
        self.alpha, self.beta = nn.Parameter(torch.zeros(size)), nn.Parameter(torch.zeros(size))

    def term(self, graph: Graph, u0: Tensor, known: Known | None = None) -> Term:
        speed = torch.sigmoid(self.alpha)

        def build(weight: Tensor) -> Term:
            reaction = REACTION_TERMS[self.reaction](Place(graph, weight, u0))
            return WeightedDiffusion(graph, weight, decay=1.0, speed=speed) + reaction * self.beta

        return self.coupling.term(graph, u0, build, (speed, self.beta, u0))
