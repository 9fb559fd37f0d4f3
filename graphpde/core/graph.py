"""Structure without fields: a relation on one node set, with positions, weights, measure and named sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from graphpde.core.cached import cached
from graphpde.core.incidence import Incidence
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


def selected(predicate: Callable[[Tensor], Any], points: Tensor) -> Tensor:
    """Where a predicate on points [n, d] holds, as bool [n].

    Raises:
        ConditionError: it returned another shape.
    """
    mask = torch.as_tensor(predicate(points), device=points.device)
    if tuple(mask.shape) != (len(points),):
        raise ConditionError(
            f"the predicate returned shape {list(mask.shape)}, expected one truth value a point: [{len(points)}]"
        )
    return mask != 0


def numbers(given: Any, count: int, what: str) -> Tensor:
    """Numbers [k] of nodes or facets from a list of them or a mask [count].

    Raises:
        ConditionError: not whole numbers, or one that is out of range.
    """
    ids = torch.as_tensor(given).reshape(-1)
    if ids.dtype == torch.bool:
        if len(ids) != count:
            raise ConditionError(f"a mask of {len(ids)} {what}s was given, expected {count}")
        return ids.nonzero()[:, 0]
    if ids.numel() and (ids.is_floating_point() or ids.is_complex()):
        raise ConditionError(f"the {what} list has type {ids.dtype}, expected whole numbers or a mask")
    ids = ids.to(torch.int64)
    wrong = (ids < 0) | (ids >= count)
    if bool(wrong.any()):
        raise ConditionError(f"the {what} list names {what} {int(ids[wrong][0])}, expected 0..{count - 1}")
    return ids


_LEFT_BEHIND = ("_elsewhere", "derived")  # weak references, and what can be made again


class Graph:
    """A frozen graph: who talks to whom, where the nodes are and how much they weigh. It holds no fields.

    Args:
        edges: relation from the nodes to themselves; every per-edge tensor is in its own order.
        pos: positions [n, d] or None.
        weight: edge weights [e]; None counts as 1.
        measure: node measure (lumped mass, volume, length) [n]; None counts as 1.
        batch: graph number of each node [n] for disjoint unions, non-decreasing.
        ptr: node offsets of the graphs [g + 1] instead of ``batch``, which cannot say that the last graphs are empty.
        tags: name -> :class:`TagSet` with ids = nodes.

    Raises:
        GraphError: the relation does not map the nodes to themselves, or ``batch`` or ``ptr`` do not count up.
        ShapeError: wrong lengths.
    """

    edges: Relation
    pos: Tensor | None
    batch: Tensor | None
    tags: dict[str, TagSet]
    _ptr: Tensor | None
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
        ptr: Tensor | None = None,
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
        batch, ptr = _checked_batch(batch, ptr, n)
        self.__dict__.update(
            edges=edges, pos=pos, _weight=weight, _measure=measure, batch=batch, _ptr=ptr, tags=dict(tags or {})
        )

    def __setattr__(self, key: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen; build a new one instead of setting '{key}'")

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key not in _LEFT_BEHIND}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n} nodes, {self.edges.n_edges} edges)"

    @property
    def n(self) -> int:
        """Number of nodes."""
        return self.edges.n_dst

    @cached
    def weight(self) -> Tensor:
        """Edge weights [e] in own order; ones when none were given."""
        if self._weight is not None:
            return self._weight
        return torch.ones(self.edges.n_edges, dtype=self.dtype, device=self.device)

    @cached
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

    @cached
    def ptr(self) -> Tensor:
        """Node offsets of the graphs in a disjoint union [g + 1]."""
        if self._ptr is not None:
            return self._ptr
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
        """Nodes of a named set, of numbers (or a mask [n]), or where a predicate on positions [n, d] -> bool [n] holds.

        Raises:
            ConditionError: nothing is selected, or a number is out of range. UnknownName: no such set.
        """
        if isinstance(where, str | int):
            nodes, what = self.tag(where).nodes, f"named set '{where}'"
        elif callable(where):
            if self.pos is None:
                raise ConditionError(
                    "a predicate needs node positions and this graph has none; give node numbers instead"
                )
            nodes, what = selected(where, self.pos).nonzero()[:, 0], "the predicate"
        else:
            nodes, what = numbers(where, self.n, "node").to(self.device), "the node list"
        if nodes.numel() == 0:
            raise ConditionError(f"{what} holds no nodes; check the set or the predicate")
        return nodes

    @property
    def mass(self) -> Tensor | LinearOperator:
        """What multiplies u' on this domain: the measure [n]."""
        return self.measure

    @cached
    def derived(self) -> dict[Any, Any]:
        """What was made from this graph and is wanted again, by a key of its maker; not copied with it."""
        return {}

    @cached
    def incidence(self) -> Incidence:
        """Nodes -> undirected edges with signs, for fluxes that leave one node and enter the other.

        Raises:
            GraphError: some edge has no partner in the other direction.
        """
        return Incidence.of(self.edges, self.dtype)

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Self:
        """The same graph elsewhere; indices keep their type. Asked twice it gives the same object, so that terms which
        share a domain still share it after each has moved."""
        here = (self.device, self.dtype)
        target = (self.device if device is None else torch.empty(0, device=device).device, dtype or self.dtype)
        if target == here:
            return self
        moved: Any = self._elsewhere.get(target)
        if moved is None:
            moved = self._elsewhere[target] = self._moved_to(*target)
        return moved

    @cached
    def _elsewhere(self) -> WeakValueDictionary[tuple[torch.device, torch.dtype], Any]:
        return WeakValueDictionary()

    def _moved_to(self, device: torch.device, dtype: torch.dtype) -> Graph:
        def move(x: Tensor | None) -> Tensor | None:
            if x is None:
                return None
            return x.to(device=device, dtype=dtype if x.is_floating_point() else None)

        tags = {k: TagSet(t.dim, t.ids.to(device), t.nodes.to(device)) for k, t in self.tags.items()}
        return Graph(
            self.edges.to(device), pos=move(self.pos), weight=move(self._weight), measure=move(self._measure),
            ptr=None if self.batch is None else move(self.ptr), tags=tags,
        )  # fmt: skip

    # reductions: the only global sums; a partitioned graph all-reduces here

    def inner(self, u: Tensor, v: Tensor) -> Tensor:
        """Inner product sum_i m_i u_i . v_i over nodes and channels, [*, n, c] -> [*]."""
        weighted = self._weighted(u)
        check_shape(v, "* n c", "field", n=self.n, c=u.shape[-1])
        return (weighted * v).sum((-2, -1))

    def integral(self, u: Tensor) -> Tensor:
        """Integral sum_i m_i u_i, [*, n, c] -> [*, c]."""
        return self._weighted(u).sum(-2)

    def norm(self, u: Tensor) -> Tensor:
        """The L2 norm sqrt(inner(u, u)), [*, n, c] -> [*]."""
        return self.inner(u, u).sqrt()

    def _weighted(self, u: Tensor) -> Tensor:
        check_shape(u, "* n c", "field", n=self.n)
        measure = self.measure.to(u.dtype) if u.is_floating_point() or u.is_complex() else self.measure
        return measure[:, None] * u

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

    ptr = torch.tensor(offsets, device=edges.device)
    tags = {
        f"{name}:{k}": TagSet(t.dim, t.ids + o if t.dim == 0 else t.ids, t.nodes + o)
        for k, (g, o) in enumerate(zip(graphs, offsets))
        for name, t in g.tags.items()
    }
    return Graph(edges, pos=joined("pos"), weight=joined("_weight"), measure=joined("_measure"), ptr=ptr, tags=tags)


def unbatch(graph: Graph) -> list[Graph]:
    """The graphs of a disjoint union, in order.

    Raises:
        GraphError: an edge joins two graphs of the batch.
    """
    if graph.batch is None:
        return [graph]
    nodes = graph.ptr.tolist()
    edges = graph.edges.ptr[graph.ptr].tolist()  # own order is sorted by destination: each graph is one run of edges
    src, dst = graph.edges.pairs()
    first, last = graph.ptr[graph.batch[dst]], graph.ptr[graph.batch[dst] + 1]
    if not bool(((first <= src) & (src < last)).all()):
        raise GraphError("an edge joins two graphs of the batch; such a graph cannot be taken apart")
    out = []
    for k in range(len(nodes) - 1):
        low, high = nodes[k : k + 2]
        mine, run = slice(low, high), slice(*edges[k : k + 2])
        tags = {}
        for name, t in graph.tags.items():
            base, _, number = name.rpartition(":")
            if base and number == str(k):
                tags[base] = TagSet(t.dim, t.ids - low if t.dim == 0 else t.ids, t.nodes - low)
        out.append(
            Graph(
                Relation.from_edges(src[run] - low, dst[run] - low, high - low, high - low),
                pos=None if graph.pos is None else graph.pos[mine],
                weight=None if graph._weight is None else graph._weight[run],
                measure=None if graph._measure is None else graph._measure[mine],
                tags=tags,
            )
        )
    return out


def _checked_batch(batch: Tensor | None, ptr: Tensor | None, n: int) -> tuple[Tensor | None, Tensor | None]:
    """(graph number of each node, offsets), each an integer tensor that counts up, or None."""
    if batch is not None:
        batch = check_shape(batch, "n", "batch", n=n)
        if batch.is_floating_point() or batch.dtype == torch.bool:
            raise GraphError(f"batch has type {batch.dtype}, expected whole numbers of graphs")
        if n and (int(batch[0]) < 0 or bool((batch[1:] < batch[:-1]).any())):
            raise GraphError("batch decreases or is negative; nodes of one graph must stand together (sort them first)")
        batch = batch.to(torch.int64)
    if ptr is None:
        return batch, None
    ptr = check_shape(ptr, "g", "ptr").to(torch.int64)
    if ptr.numel() == 0 or int(ptr[0]) != 0 or int(ptr[-1]) != n or bool((ptr.diff() < 0).any()):
        raise GraphError(f"ptr = {ptr.tolist()[:8]}, expected offsets that count up from 0 to {n} nodes")
    numbers = torch.arange(ptr.numel() - 1, device=ptr.device)
    spread = torch.repeat_interleave(numbers, ptr.diff(), output_size=n)
    if batch is not None and not torch.equal(batch, spread):
        raise GraphError("batch and ptr disagree; give one of them")
    return spread, ptr
