"""Structure without fields: a relation on one node set, with positions, weights, measure and named sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.core.linear_operator import LinearOperator
from graphpde.core.relation import Relation
from graphpde.errors import ConditionError, GraphError, InputError
from graphpde.registry import unknown
from graphpde.typing import check_shape

Where = str | int | Tensor | Callable[[Tensor], Tensor]
"""A place: a named set, node numbers [k], or a predicate on positions [n, d] -> bool [n]."""


class TagSet(NamedTuple):
    """A named set of entities.

    Attributes:
        dim: dimension of the entities: 0 points, 1 edges, ... up to the cells of the mesh.
        ids: their numbers in the mesh's own numbering of that dimension [k].
        nodes: the nodes they touch, sorted and unique [j].
    """

    dim: int
    ids: Tensor
    nodes: Tensor


class Incidence(NamedTuple):
    """The signed incidence of a graph.

    Attributes:
        relation: nodes -> undirected edges, two entries each. sign: +1 at the first node, -1 at the second, in own order.
        edge: the directed own edge that each undirected one was taken from [E].
    """

    relation: Relation
    sign: Tensor
    edge: Tensor


class Graph:
    """A frozen graph: who talks to whom, where the nodes are and how much they weigh. It holds no fields.

    Args:
        edges: relation from the nodes to themselves; every per-edge tensor is in its own order.
        pos: positions [n, d] or None.
        weight: edge weights [e]; None counts as 1.
        measure: node measure (lumped mass, volume, length) [n]; None counts as 1.
        batch: graph number of each node [n] for disjoint unions, non-decreasing.
        tags: name -> :class:`TagSet` with ids = nodes.

    Raises:
        GraphError: the relation does not map the nodes to themselves, or the batch decreases. ShapeError: wrong lengths.
    """

    edges: Relation
    pos: Tensor | None
    batch: Tensor | None
    tags: dict[str, TagSet]
    _weight: Tensor | None
    _measure: Tensor | None

    def __init__(
        self,
        edges: Relation,
        *,
        pos: Tensor | None = None,
        weight: Tensor | None = None,
        measure: Tensor | None = None,
        batch: Tensor | None = None,
        tags: Mapping[str, TagSet] | None = None,
    ):
        if edges.n_src != edges.n_dst:
            raise GraphError(f"a graph needs one node set, got a relation from {edges.n_src} to {edges.n_dst} nodes")
        n = edges.n_dst
        if pos is not None:
            pos = check_shape(pos, "n d", "pos", n=n)
        if weight is not None:
            weight = check_shape(weight, "e", "weight", e=edges.n_edges)
        if measure is not None:
            measure = check_shape(measure, "n", "measure", n=n)
        if batch is not None:
            batch = check_shape(batch, "n", "batch", n=n)
            if n and bool((batch[1:] < batch[:-1]).any()):
                raise GraphError("batch decreases; nodes of one graph must stand together (sort them first)")
        self.__dict__.update(edges=edges, pos=pos, _weight=weight, _measure=measure, batch=batch, tags=dict(tags or {}))

    def __setattr__(self, key: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen; build a new one instead of setting '{key}'")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n} nodes, {self.edges.n_edges} edges)"

    @property
    def n(self) -> int:
        """Number of nodes."""
        return self.edges.n_dst

    @cached_property
    def weight(self) -> Tensor:
        """Edge weights [e] in own order; ones when none were given."""
        if self._weight is not None:
            return self._weight
        return torch.ones(self.edges.n_edges, dtype=self.dtype, device=self.device)

    @cached_property
    def measure(self) -> Tensor:
        """Node measure [n]; ones when none was given."""
        if self._measure is not None:
            return self._measure
        return torch.ones(self.n, dtype=self.dtype, device=self.device)

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the geometry."""
        for x in (self._measure, self._weight, self.pos):
            if x is not None and x.is_floating_point():
                return x.dtype
        return torch.float64

    @property
    def device(self) -> torch.device:
        return self.edges.device

    @cached_property
    def ptr(self) -> Tensor:
        """Node offsets of the graphs in a disjoint union [g + 1]."""
        if self.batch is None:
            return torch.tensor([0, self.n], device=self.device)
        count = torch.bincount(self.batch)
        return torch.cat([count.new_zeros(1), count.cumsum(0)])

    def tag(self, name: str | int) -> TagSet:
        """The named set; an unknown name lists the known ones."""
        if str(name) in self.tags:
            return self.tags[str(name)]
        raise unknown("named set of the graph", str(name), self.tags)

    def nodes_of(self, where: Where) -> Tensor:
        """Nodes of a named set, of numbers, or where a predicate on positions [n, d] -> bool [n] holds.

        Raises:
            ConditionError: nothing is selected. UnknownName: no such set; lists the known ones.
        """
        if isinstance(where, str | int):
            nodes, what = self.tag(where).nodes, f"named set '{where}'"
        elif callable(where):
            if self.pos is None:
                raise ConditionError(
                    "a predicate needs node positions and this graph has none; give node numbers instead"
                )
            mask = torch.as_tensor(where(self.pos), device=self.pos.device)
            nodes, what = mask.reshape(-1).nonzero()[:, 0], "the predicate"
        else:
            nodes, what = torch.as_tensor(where).to(torch.int64).reshape(-1), "the node list"
        if nodes.numel() == 0:
            raise ConditionError(f"{what} holds no nodes; check the set or the predicate")
        if int(nodes.min()) < 0 or int(nodes.max()) >= self.n:
            raise ConditionError(f"{what} names node {int(nodes.max())}, expected 0..{self.n - 1}")
        return nodes

    @property
    def mass(self) -> Tensor | LinearOperator:
        """What multiplies u' on this domain: the measure [n]."""
        return self.measure

    @cached_property
    def incidence(self) -> Incidence:
        """Nodes -> undirected edges with signs, for fluxes that leave one node and enter the other.

        Raises:
            GraphError: some edge has no partner in the other direction.
        """
        if not self.edges.is_symmetric:
            raise GraphError("an undirected form needs every edge in both directions; this graph is directed")
        src, dst = self.edges.pairs()
        edge = (src < dst).nonzero()[:, 0]
        count = torch.arange(len(edge), device=self.device)
        relation = Relation.from_edges(torch.cat([src[edge], dst[edge]]), torch.cat([count, count]), self.n, len(edge))
        one = torch.ones(len(edge), dtype=self.dtype, device=self.device)
        return Incidence(relation, relation.own(torch.cat([one, -one])), edge)

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Graph:
        """The same graph elsewhere; indices keep their type."""

        def move(x: Tensor | None) -> Tensor | None:
            if x is None:
                return None
            return x.to(device=device, dtype=dtype if x.is_floating_point() else None)

        tags = {k: TagSet(t.dim, t.ids.to(device), t.nodes.to(device)) for k, t in self.tags.items()}
        return Graph(
            self.edges.to(device), pos=move(self.pos), weight=move(self._weight), measure=move(self._measure),
            batch=move(self.batch), tags=tags,
        )  # fmt: skip

    # reductions: the only global sums; a partitioned graph all-reduces here

    def inner(self, u: Tensor, v: Tensor) -> Tensor:
        """Inner product sum_i m_i u_i . v_i over nodes and channels, [*, n, c] -> [*]."""
        return (self._weighted(u) * v).sum((-2, -1))

    def integral(self, u: Tensor) -> Tensor:
        """Integral sum_i m_i u_i, [*, n, c] -> [*, c]."""
        return self._weighted(u).sum(-2)

    def norm(self, u: Tensor) -> Tensor:
        """The L2 norm sqrt(inner(u, u)), [*, n, c] -> [*]."""
        return self.inner(u, u).sqrt()

    def _weighted(self, u: Tensor) -> Tensor:
        check_shape(u, "* n c", "field", n=self.n)
        return self.measure.to(u.dtype)[:, None] * u

    # disjoint unions

    @staticmethod
    def union(graphs: Sequence[Graph]) -> Graph:
        """Disjoint union of graphs as one block-diagonal graph with ``batch`` set; tags get the suffix ``:k``.

        Raises:
            InputError: the list is empty or some graphs have positions (weights, measures) and others not.
        """
        return union(graphs)


def union(graphs: Sequence[Graph]) -> Graph:
    """See :meth:`Graph.union`; ``unbatch(graph)`` takes it apart again."""
    if not graphs:
        raise InputError("a union needs at least one graph, got none")
    offsets = [0]
    for g in graphs:
        offsets.append(offsets[-1] + g.n)
    pairs = [g.edges.pairs() for g in graphs]
    edges = Relation.from_edges(
        torch.cat([s + o for (s, _), o in zip(pairs, offsets)]),
        torch.cat([d + o for (_, d), o in zip(pairs, offsets)]),
        offsets[-1],
        offsets[-1],
    )  # each part is sorted by destination and so is the union: own order is the parts' own orders in turn

    def joined(name: str) -> Tensor | None:
        parts = [getattr(g, name) for g in graphs]
        present = [p for p in parts if p is not None]
        if not present:
            return None
        if len(present) < len(parts):
            raise InputError(f"{len(present)} of {len(parts)} graphs have '{name.strip('_')}', expected all or none")
        return torch.cat(present)

    batch = torch.cat([torch.full((g.n,), k, dtype=torch.int64, device=g.device) for k, g in enumerate(graphs)])
    tags = {
        f"{name}:{k}": TagSet(t.dim, t.ids + o if t.dim == 0 else t.ids, t.nodes + o)
        for k, (g, o) in enumerate(zip(graphs, offsets))
        for name, t in g.tags.items()
    }
    return Graph(edges, pos=joined("pos"), weight=joined("_weight"), measure=joined("_measure"), batch=batch, tags=tags)


def unbatch(graph: Graph) -> list[Graph]:
    """The graphs of a disjoint union, in order.

    Raises:
        GraphError: an edge joins two graphs of the batch.
    """
    ptr = graph.ptr.tolist()
    src, dst = graph.edges.pairs()
    cut = torch.bucketize(dst, graph.ptr[1:], right=True)
    if src.numel() and not bool((torch.bucketize(src, graph.ptr[1:], right=True) == cut).all()):
        raise GraphError("an edge joins two graphs of the batch; such a graph cannot be taken apart")
    out = []
    for k, (low, high) in enumerate(zip(ptr[:-1], ptr[1:])):
        mine = (cut == k).nonzero()[:, 0]
        tags = {}
        for name, t in graph.tags.items():
            base, _, number = name.rpartition(":")
            if base and number == str(k):
                tags[base] = TagSet(t.dim, t.ids - low if t.dim == 0 else t.ids, t.nodes - low)
        out.append(
            Graph(
                Relation.from_edges(src[mine] - low, dst[mine] - low, high - low, high - low),
                pos=None if graph.pos is None else graph.pos[low:high],
                weight=None if graph._weight is None else graph._weight[mine],
                measure=None if graph._measure is None else graph._measure[low:high],
                tags=tags,
            )
        )
    return out
