"""GRAFF: the descent of an energy whose channels attract along some directions and repel along others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from graphpde.core.graph import Graph
from graphpde.core.linear_operator import LinearOperator, Sparse
from graphpde.errors import InputError
from graphpde.graph_diffusion.classifier import Classifier, Known
from graphpde.graph_diffusion.models import MODELS
from graphpde.ops.term import LinearTerm, Mass, Term

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

SHAPES = ("symmetric", "diagonal", "diagonally_dominant")


class ChannelMixing(LinearOperator):
    """x -> A x W - x Omega, A on the nodes, W and Omega [c, c] on the channels."""

    coupled = True  # type: ignore[assignment]

    def __init__(self, a: Sparse, w: Tensor, omega: Tensor, *, symmetric: bool = False):
        self.a, self.w, self.omega, self.n, self.symmetric = a, w, omega, a.n, symmetric

    def matvec(self, x: Tensor) -> Tensor:
        return self.a.matvec(x @ self.w.to(x.dtype)) - x @ self.omega.to(x.dtype)

    def transpose(self) -> ChannelMixing:
        if self.symmetric:
            return self
        return ChannelMixing(self.a.transpose(), self.w.mT, self.omega.mT)

    def to_matrix(self, channels: int) -> csr_matrix:
        from scipy.sparse import identity, kron

        w, omega = (x.detach().to("cpu", torch.float64).numpy().T for x in (self.w, self.omega))
        return (kron(self.a.to_scipy(), w) - kron(identity(self.n), omega)).tocsr()

    def tensors(self) -> tuple[Tensor, ...]:
        return (*self.a.tensors(), self.w, self.omega)

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> ChannelMixing:
        w, omega = (x.to(device=device, dtype=dtype) for x in (self.w, self.omega))
        return ChannelMixing(self.a.to(device, dtype), w, omega, symmetric=self.symmetric)

    @property
    def channels(self) -> int:
        return len(self.w)


class EnergyDescent(LinearTerm):
    r"""u' = -grad E(u), E = 1/2 \sum_i u_i . Omega u_i - 1/2 \sum_ij a_ij u_i . W u_j + \sum_i u_i . s_i.

    That is u' = A u W - u Omega - s; a rate, whatever the measure of the nodes. Along eigenvectors of W with positive
    values neighbours attract each other, along those with negative ones they repel.

    Args:
        graph: symmetric, with symmetric weights a.
        w, omega: symmetric [c, c]. source: s [n, c].

    Raises:
        InputError: a directed graph: its right-hand side is the descent of no energy.

    Reference: Di Giovanni et al. 2022, "Graph Neural Networks as Gradient Flows".
    """

    def __init__(self, graph: Graph, w: Tensor, omega: Tensor, source: Tensor):
        super().__init__()
        if not graph.edges.is_symmetric:
            raise InputError("the descent of an energy needs every edge in both directions; add the reverse edges")
        self.domain, self.source = graph, source
        a = Sparse(graph.edges, graph.weight, graph.weight.new_zeros(graph.n), symmetric=True)
        self._operator = ChannelMixing(a, w, omega, symmetric=True)

    @property
    def mass(self) -> Mass:
        return None

    @property
    def operator(self) -> LinearOperator:
        return self._operator

    def load(self, t: Tensor, like: Tensor) -> Tensor:
        return -self.source

    @property
    def autonomous(self) -> bool:
        return True

    def energy(self, u: Tensor) -> Tensor:
        """E(u), u [*, n, c] -> [*]."""
        return (u * (self.source - self._operator.matvec(u) / 2)).sum((-2, -1))

    def tensors(self) -> tuple[Tensor, ...]:
        return (*self._operator.tensors(), self.source)


@MODELS.add("graff")
class Graff(Classifier):
    """u' = A u W - u Omega - u(0) V, A = D^-1/2 A D^-1/2 without self-loops, W and Omega symmetric by construction.

    Linear, yet not diffusion: W decides which combinations of channels are smoothed and which sharpened. Where Omega
    exceeds |W| everything decays and implicit steppers take steps of any size.

    Args:
        w: "symmetric" (B + B^T) / 2; "diagonal"; "diagonally_dominant": symmetric B without diagonal, and
            q_k sum_l |B_kl| + r_k on it, which lets signs of eigenvalues be learned one by one.
        source: whether there is the term u(0) V; V [c, c], 0 at the start.

    Raises:
        InputError: another kind of W; a directed graph.

    Reference: Di Giovanni et al. 2022, "Graph Neural Networks as Gradient Flows". Omega is diagonal as in their
    experiments; it and the diagonal of W start at 1, near diffusion, where they draw from -1 .. 1. Their program has
    beta u(0) for the source, here is the formula.
    """

    loops, normalisation = 0.0, "symmetric"

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        classes: int,
        *,
        w: str = "diagonally_dominant",
        source: bool = True,
        **evolution: Any,
    ):
        super().__init__(in_channels, hidden, classes, **evolution)
        if w not in SHAPES:
            raise InputError(f"w='{w}', expected one of: {', '.join(SHAPES)}")
        self.kind, self.source = w, source
        self.between = nn.Parameter(nn.init.xavier_uniform_(torch.empty(hidden, hidden)), requires_grad=w != "diagonal")
        self.spread = nn.Parameter(torch.zeros(hidden), requires_grad=w == "diagonally_dominant")
        self.offset = nn.Parameter(torch.ones(hidden), requires_grad=w != "symmetric")
        self.omega = nn.Parameter(torch.ones(hidden))
        self.back = nn.Parameter(torch.zeros(hidden, hidden), requires_grad=source)

    def channel_weight(self) -> Tensor:
        """W [c, c], symmetric."""
        if self.kind == "diagonal":
            return torch.diag(self.offset)
        both = (self.between + self.between.mT) / 2
        if self.kind == "symmetric":
            return both
        off = both - torch.diag(both.diagonal())
        return off + torch.diag(self.spread * off.abs().sum(1) + self.offset)

    def term(self, graph: Graph, u0: Tensor, known: Known | None = None) -> Term:
        return EnergyDescent(graph, self.channel_weight(), torch.diag(self.omega), u0 @ self.back)
