"""Diffusion with weights that need not be symmetric, such as attention, and a rate that is held."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphpde.core.bridges import as_graph
from graphpde.core.graph import Graph
from graphpde.core.linear_operator import LinearOperator, Sparse
from graphpde.errors import InputError, ShapeError
from graphpde.ops.term import LinearTerm, Mass
from graphpde.typing import Scalar


class WeightedDiffusion(LinearTerm):
    r"""u_i' = s (\sum_j w_ij u_j - d_i u_i), the sum over edges j -> i; a rate, whatever the measure of the nodes.

    Where :class:`~graphpde.ops.diffusion.Diffusion` is a flux between two nodes and needs symmetric weights, here each
    node is drawn towards a weighted mean of its neighbours.

    Args:
        domain: Graph, torch-geometric Data or networkx graph; edges may go one way only.
        weight: w [e] in own order. Default: the weights of the graph.
        decay: d, a number or [n]; None = the row sums of w, so that constants are at rest.
        speed: s, a number, or a tensor (0-d or one value per channel [c]) that may be learned.

    Raises:
        ShapeError: not one weight per edge. InputError: a weight that is no tensor.

    Reference: Chamberlain et al. 2021 (GRAND), eq. (4).
    """

    def __init__(
        self, domain: Any, weight: Tensor | None = None, *, decay: float | Tensor | None = None, speed: Scalar = 1.0
    ):
        super().__init__()
        self.domain = graph = as_graph(domain)
        weight = graph.weight if weight is None else weight
        if not isinstance(weight, Tensor):
            raise InputError(f"weight is a {type(weight).__name__}, expected a tensor with one value per edge")
        if weight.shape != (graph.edges.n_edges,):
            raise ShapeError(f"weight has shape {list(weight.shape)}, expected one per edge: [{graph.edges.n_edges}]")
        self._read = tuple(x for x in (weight, decay, speed) if isinstance(x, Tensor))
        speed = speed.reshape(()) if isinstance(speed, Tensor) and speed.numel() == 1 else speed
        self._operator = _operator(graph, weight, decay, speed)

    @property
    def mass(self) -> Mass:
        return None

    @property
    def operator(self) -> LinearOperator:
        return self._operator

    def tensors(self) -> tuple[Tensor, ...]:
        return self._read


class HeldRate(LinearTerm):
    """u' = b whatever u is, b [n, c] or [*, n, c], which may be learned."""

    def __init__(self, rate: Tensor):
        super().__init__()
        self.held = rate

    @property
    def label(self) -> str:
        return "HeldRate"

    def load(self, t: Tensor, like: Tensor) -> Tensor:
        return self.held

    @property
    def autonomous(self) -> bool:
        return True

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.held,)


def _operator(graph: Graph, weight: Tensor, decay: float | Tensor | None, speed: Scalar) -> LinearOperator:
    """s (w x - d x).

    Where every node has a loop, d is taken off its weight: that spares a diagonal and its gradient.
    """
    if decay is None:
        return Sparse.laplacian(graph.edges, weight) * speed
    edges, decay = graph.edges, torch.as_tensor(decay).to(weight)
    if not _has_a_loop_each(graph):
        return Sparse(edges, weight, -decay.expand(graph.n)) * speed
    weight = weight - torch.zeros_like(weight).index_copy(0, edges.loops, decay.expand(graph.n))
    nothing = torch.zeros(graph.n, dtype=weight.dtype, device=weight.device)
    if isinstance(speed, Tensor) and speed.dim():
        return Sparse(edges, weight, nothing) * speed
    return Sparse(edges, weight * speed, nothing)


def _has_a_loop_each(graph: Graph) -> bool:
    found = graph.derived.get("a loop each")
    if found is None:
        at = graph.edges.pairs()[1][graph.edges.loops]
        found = graph.derived["a loop each"] = torch.equal(at, torch.arange(graph.n, device=at.device))
    return found
