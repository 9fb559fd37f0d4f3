"""Undirected edges with signs: one flux for both ends, so that what leaves one node arrives at the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphpde.core.cached import cached
from graphpde.core.ordering import node_numbers
from graphpde.core.relation import Message, Relation
from graphpde.errors import GraphError, ShapeError


@dataclass(frozen=True, eq=False)
class Incidence:
    """The signed incidence D [E, n] of a graph: -1 at the tail of each undirected edge, +1 at its head, tail < head.

    Which end is called the head is a matter of numbering only. A flux is worked out once for each undirected edge, so
    sum_i (D^T f)_i = 0 but for the rounding of the additions, whatever the flux.

    Build with :meth:`of` or :meth:`of_pairs`, or take ``graph.incidence``.

    Attributes:
        relation: nodes -> undirected edges, two entries each: the tail, then the head.
        sign: -1 or +1 for each entry [2E].
        edge: the directed own edge, tail -> head, that each undirected one was taken from [E]; a symmetric weight w [e]
            is w[edge] on the undirected edges.
    """

    relation: Relation
    sign: Tensor
    edge: Tensor

    @classmethod
    def of(cls, relation: Relation, dtype: torch.dtype = torch.float64) -> Incidence:
        """The undirected edges of a symmetric relation, in the own order of those with tail < head.

        k parallel edges i -> j with their k partners give k undirected edges. A self-loop gives none: what leaves a
        node for itself stays.

        Args:
            dtype: type of the signs; fields of another type have them converted in every call.

        Raises:
            GraphError: two node sets, or an edge without its partner in the other direction (the first is named).
        """
        if relation.n_src != relation.n_dst:
            raise GraphError(
                f"an undirected form needs one node set, got a relation from {relation.n_src} to {relation.n_dst} nodes"
            )
        if not relation.is_symmetric:
            raise GraphError(
                f"an undirected form needs every edge in both directions; {_lonely(relation)}: add the reverse edges"
            )
        src, dst = relation.pairs()
        edge = (src < dst).nonzero()[:, 0]
        return cls._between(torch.stack([src[edge], dst[edge]], 1).flatten(), edge, relation.n_dst, dtype)

    @classmethod
    def of_pairs(cls, tail: Tensor, head: Tensor, n: int, dtype: torch.dtype = torch.float64) -> Incidence:
        """An undirected edge for each pair, in the given order and direction.

        Args:
            tail, head: node numbers [E]. n: number of nodes. dtype: type of the signs.

        Raises:
            GraphError: numbers out of range, or an edge from a node to itself. ShapeError: different lengths.
        """
        tail, head = node_numbers(tail, "tail", n), node_numbers(head, "head", n)
        if tail.shape != head.shape:
            raise ShapeError(f"tail has {tail.numel()} entries and head {head.numel()}, expected equal lengths")
        if bool((tail == head).any()):
            k = int((tail == head).nonzero()[0, 0])
            raise GraphError(f"pair {k} joins node {int(tail[k])} to itself; leave it out")
        each = torch.arange(len(tail), device=tail.device)
        return cls._between(torch.stack([tail, head], 1).flatten(), each, n, dtype)

    @classmethod
    def _between(cls, ends: Tensor, edge: Tensor, n: int, dtype: torch.dtype) -> Incidence:
        """From the tail and the head of each edge, one after the other."""
        count = len(edge)
        edges = torch.arange(count, device=ends.device).repeat_interleave(2)
        sign = torch.tensor([-1.0, 1.0], dtype=dtype, device=ends.device).repeat(count)
        return cls(Relation.from_edges(ends, edges, n, count), sign, edge)

    @property
    def n(self) -> int:
        """Number of nodes."""
        return self.relation.n_src

    @property
    def n_edges(self) -> int:
        """Number of undirected edges E."""
        return self.relation.n_dst

    def difference(self, u: Tensor) -> Tensor:
        """D u: u_head - u_tail on each undirected edge, [*, n, c] -> [*, E, c]."""
        return self.relation.propagate(u, weight=self.sign)

    def divergence(self, f: Tensor) -> Tensor:
        """D^T f: the net flow into each node, +f at the head and -f at the tail, [*, E, c] -> [*, n, c].

        The adjoint of :meth:`difference`: the sum of f (D u) over edges is the sum of u (D^T f) over nodes. Counted as
        inflow, so that u' = divergence(f) for a flow f from tail to head (the outward divergence of calculus is its
        negative).

        Raises:
            ShapeError: not one flux for each undirected edge.
        """
        if f.dim() < 2 or f.shape[-2] != self.n_edges:
            raise ShapeError(
                f"the flux has shape {list(f.shape)}, expected one row per undirected edge: [*, {self.n_edges}, c]"
            )
        inward, sign = self._inward
        return inward.propagate(f, weight=sign)

    def exchange(self, u: Tensor, flux: Message, edge: Any = None) -> Tensor:
        """What the nodes exchange along their edges: divergence(flux(u_tail, u_head, edge)), [*, n, c] -> [*, n, c'].

        The flux from tail to head is worked out once for each undirected edge and taken from one end as it is given to
        the other: the sum over all nodes is 0 but for the rounding of the additions.

        Args:
            flux: ``flux(u_tail [*, E, c], u_head [*, E, c], edge) -> [*, E, c']``, pointwise in edges. One that changes
                its sign when the ends change places, like k (u_tail - u_head), does not depend on the numbering.
            edge: handed to ``flux``, one row per undirected edge; w[incidence.edge] of directed values w.

        Raises:
            ShapeError: sizes that do not fit.
        """
        tail, head = self.relation.gather(u).unflatten(-2, (self.n_edges, 2)).unbind(-2)
        return self.divergence(flux(tail, head, edge))

    def prepare(self) -> Incidence:
        """Build every plan now (before compilation or timing) and return self."""
        self.relation.prepare()
        self._inward[0].prepare()
        return self

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Incidence:
        """The same incidence elsewhere, its signs in another type; indices keep theirs."""
        return Incidence(self.relation.to(device), self.sign.to(device=device, dtype=dtype), self.edge.to(device))

    @cached
    def _inward(self) -> tuple[Relation, Tensor]:
        """Undirected edges -> nodes, and the sign of each entry."""
        back = self.relation.transpose()
        return back, back.own(self.sign)


def _lonely(relation: Relation) -> str:
    """The first own edge i -> j that stands more often than j -> i."""
    src, dst = relation.pairs()
    n = max(relation.n_src, 1)
    pairs, which, count = torch.unique(src * n + dst, return_inverse=True, return_counts=True)
    back = pairs % n * n + pairs // n
    found = torch.searchsorted(pairs, back).clamp(max=len(pairs) - 1)
    partners = torch.where(pairs[found] == back, count[found], 0)
    k = which[int((count > partners)[which].nonzero()[0, 0])]
    i, j, here, there = int(pairs[k] // n), int(pairs[k] % n), int(count[k]), int(partners[k])
    if there == 0:
        return f"edge {i} -> {j} has no partner {j} -> {i}"
    return f"edge {i} -> {j} stands {here} times and {j} -> {i} {there} times"
