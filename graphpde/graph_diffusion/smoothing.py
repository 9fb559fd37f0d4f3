"""The Dirichlet energy of a state on a graph, and where averaging over neighbours for ever takes it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from graphpde.core.bridges import as_graph
from graphpde.core.components import components
from graphpde.core.graph import Graph
from graphpde.core.linear_operator import LinearOperator, Sparse
from graphpde.core.normalise import normalised
from graphpde.core.relation import Relation
from graphpde.errors import GraphError, InputError
from graphpde.typing import check_shape

KINDS = ("symmetric", "random_walk", "combinatorial")
_CHUNK = 1 << 16  # edges at a time, so that wide features need no tensor [e, f]


@dataclass(frozen=True, eq=False)
class Smoothing:
    r"""A Laplacian L >= 0 of a graph, and what heat u' = -L u comes to.

    "symmetric": L = I - D^-1/2 W D^-1/2, at rest on D^1/2 1. "random_walk": L = I - D^-1 W, at rest on constants and
    symmetric in the inner product with D. "combinatorial": L = D - W, at rest on constants. Each component of the graph
    has a rest state of its own. Where no edge ends, nothing moves.

    Attributes:
        graph: with the loops. kind: see above. degree: d_i = sum_j w_ij [n], float64.

    Raises:
        InputError: an unknown kind. GraphError: a directed graph, weights that are negative or not finite.
    """

    graph: Graph
    kind: str
    degree: Tensor

    @classmethod
    def of(cls, graph: Any, kind: str = "symmetric", loops: float = 1.0) -> Smoothing:
        """Of a graph as published; asked twice it is the same object.

        Args:
            loops: weight of a self-loop put at every node without one, 1 as in graph convolutions; it counts in the
                degrees only.
        """
        if kind not in KINDS:
            raise InputError(f"kind='{kind}', expected one of: {', '.join(KINDS)}")
        graph = as_graph(graph)
        key = ("smoothing", kind, float(loops))
        made = graph.derived.get(key)
        if made is None:
            full = normalised(graph, "none", loops=loops, dtype=torch.float64)
            _require_symmetric(full)
            degree = full.edges.collect(full.weight[:, None])[:, 0]
            made = graph.derived[key] = cls(full, kind, degree)
        return made

    @cached_property
    def root(self) -> Tensor:
        """sqrt(d_i) [n], 1 where no edge ends, and everywhere for "combinatorial"."""
        moving = (self.degree > 0) & (self.kind != "combinatorial")
        return torch.where(moving, self.degree, 1.0).sqrt()

    @cached_property
    def parts(self) -> Tensor:
        """The component of each node [n]."""
        return components(self.graph)

    def straight(self, u: Tensor) -> Tensor:
        """u [*, n, c] in coordinates in which L is a symmetric matrix, float64."""
        u = check_shape(u, "* n c", "u", n=self.graph.n).to(torch.float64)
        return u * self.root[:, None] if self.kind == "random_walk" else u

    def energy(self, u: Tensor, normalised: bool = True) -> Tensor:
        """See :func:`dirichlet_energy`."""
        v = self.straight(u)
        apart = self.graph.edges.propagate(
            v / self.root[:, None], _squares, edge=self.graph.weight, chunk_edges=_CHUNK
        )  # of every edge twice: once from each of its ends
        total = apart.sum((-2, -1)) / 2
        if not normalised:
            return total
        size = v.square().sum((-2, -1))
        return total / torch.where(size > 0, size, float("nan"))

    def limit(self, u: Tensor) -> Tensor:
        """Where heat takes u [*, n, c]: the projection on the rest states of all components."""
        n, part, phi = self.graph.n, self.parts, self.root[:, None]
        members = Relation.from_edges(torch.arange(n, device=part.device), part, n, int(part.max()) + 1 if n else 0)
        share = members.propagate(self.straight(u) * phi) / members.propagate(phi.square())
        v = members.transpose().propagate(share) * phi
        return v / phi if self.kind == "random_walk" else v

    def distance(self, u: Tensor) -> Tensor:
        """|u - limit| / |u| in [0, 1], [*, n, c] -> [*]; for "random_walk" in the norm with D."""
        v, rest = self.straight(u), self.straight(self.limit(u))
        size = v.square().sum((-2, -1))
        return ((v - rest).square().sum((-2, -1)) / torch.where(size > 0, size, float("nan"))).sqrt()

    @cached_property
    def operator(self) -> LinearOperator:
        """L in the coordinates of :meth:`straight`."""
        edges, weight = self.graph.edges, self.graph.weight
        if self.kind == "combinatorial":
            return Sparse(edges, -weight, self.degree, symmetric=True)
        scaled = weight / (edges.gather(self.root[:, None]) * edges.gather_dst(self.root[:, None]))[:, 0]
        return Sparse(edges, -scaled, (self.degree > 0).to(weight), symmetric=True)


def _squares(source: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    return weight[:, None] * (source - target).square()


def _require_symmetric(graph: Graph) -> None:
    edges, weight = graph.edges, graph.weight[:, None]
    back = edges.transpose()
    if edges.is_symmetric:
        probe = torch.rand(graph.n, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(weight)
        there, here = edges.propagate(probe, weight=weight[:, 0]), back.propagate(probe, weight=back.own(weight)[:, 0])
        if torch.allclose(there, here, rtol=1e-6):
            return
    raise GraphError(
        "the energy needs every edge in both directions with equal weights; this graph is directed: add the reverse "
        "edges, NodeData.undirected() does it"
    )


def dirichlet_energy(
    graph: Any, u: Tensor, kind: str = "symmetric", normalised: bool = True, *, loops: float = 1.0
) -> Tensor:
    r"""E(u) = 1/2 \sum_{ij} w_ij |u_i / \sqrt d_i - u_j / \sqrt d_j|^2 = <u, L u>, over |u|^2 if ``normalised``.

    The sum counts every edge in both directions. "random_walk" and "combinatorial" have |u_i - u_j|^2, and the first is
    divided by sum_i d_i |u_i|^2, so that it too is a quotient of Rayleigh between 0 and 2.

    Args:
        graph: undirected, as published. u: [*, n, c]. kind: see :class:`Smoothing`.
        loops: of each node in the degrees, see :meth:`Smoothing.of`; 0 for none.

    Returns:
        [*], float64; nan where u vanishes and there is nothing to divide by.

    Raises:
        ShapeError: not one row for each node. InputError, GraphError: see :class:`Smoothing`.
    """
    return Smoothing.of(graph, kind, loops).energy(u, normalised)
