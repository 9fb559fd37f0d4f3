"""Mini-batches on large graphs: some nodes, and of what they depend on as much as is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from graphpde.core.bridges import as_graph
from graphpde.core.cached import cached
from graphpde.core.graph import Graph, numbers
from graphpde.core.normalise import KINDS, normalised
from graphpde.core.relation import Relation
from graphpde.errors import InputError, ShapeError
from graphpde.nets.features import Features, SparseFeatures


class Part(Graph):
    """A part of a normalised graph: its weights are normalised already, and moving or copying it keeps that.

    Args:
        normalisation, loops: what it was normalised by.
    """

    normalisation: str
    loops: float

    def __init__(self, edges: Relation, *, normalisation: str, loops: float, **rest: Any):
        super().__init__(edges, **rest)
        self.__dict__.update(normalisation=normalisation, loops=float(loops))

    @cached
    def derived(self) -> dict[Any, Any]:
        return _Carried(self)

    def _moved_to(self, device: torch.device, dtype: torch.dtype) -> Part:
        there = super()._moved_to(device, dtype)
        return Part(
            there.edges, normalisation=self.normalisation, loops=self.loops, pos=there.pos, weight=there.weight,
            measure=there._measure,
        )  # fmt: skip


class _Carried(dict[Any, Any]):
    """What can be derived from a part: its own weights in any type, and nothing that needs degrees it has not."""

    def __init__(self, part: Part):
        super().__init__()
        kind, loops = part.normalisation, part.loops
        for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
            self[kind, loops, dtype] = Graph(
                part.edges, pos=part.pos, weight=part.weight.to(dtype), measure=part._measure
            )
        self._told = kind, loops

    def get(self, key: Any, default: Any = None) -> Any:
        if key not in self and isinstance(key, tuple) and key[0] in KINDS and key[0] != "none":
            raise InputError(
                f"a model asks for the normalisation '{key[0]}' with loops {key[1]:g} of a part that was sampled with "
                f"'{self._told[0]}' and {self._told[1]:g}; give the sampler that model"
            )
        return super().get(key, default)


class Sampled(NamedTuple):
    """A part of a graph around some of its nodes, the seeds.

    Attributes:
        graph: on the nodes of the part. x: their features [k, f]. nodes: their numbers in the whole graph [k].
        seeds: where the seeds stand among them [s]; they come first, in the order asked for.
    """

    graph: Graph
    x: Features
    nodes: Tensor
    seeds: Tensor


class Normalising(Protocol):
    """A model that says how it normalises a graph, see :func:`~graphpde.core.normalise.normalised`."""

    normalisation: str
    loops: float


class NeighbourSampler:
    """Batches of seed nodes, each with a sample of the edges into them, of those into their neighbours, and so on.

    The weights of a part are those that the model gives the whole graph, and it takes them as they are: a GCN of as
    many layers as there are fanouts has at the seeds the logits of the whole graph, where all edges are taken. Where
    only k of d are, their weights are multiplied by d / k, so that a sum over neighbours has the right mean. Self-loops
    are always taken and not counted.

    For :func:`~graphpde.train.fit` this is a source of batches, :class:`Sampled` ones; the seeds of a pass come in
    random order, and everything random follows from the generator.

    Args:
        graph: whole. x: features of its nodes [n, f].
        fanouts: at most so many edges into each node, first those into the seeds; None takes all.
        seeds: nodes that the batches go through, numbers [s] or a mask [n]; None = all. batch_size: seeds in a batch.
        model: that is to see the batches, or its class; says how the graph is normalised.

    Raises:
        InputError: no fanouts or one below 1, a seed that occurs twice or none at all, batches of no seeds.
        ConditionError: seeds that are no nodes. ShapeError: x has not one row for each node.

    Reference: Hamilton et al. 2017, algorithm 2.
    """

    def __init__(
        self,
        graph: Any,
        x: Features,
        fanouts: Sequence[int | None],
        seeds: Any = None,
        batch_size: int = 512,
        *,
        model: Normalising,
    ):
        graph = as_graph(graph)
        if x.shape[-2] != graph.n:
            raise ShapeError(f"x has {x.shape[-2]} rows, expected one for each of {graph.n} nodes")
        asked = list(fanouts) if isinstance(fanouts, Iterable) else fanouts
        if not isinstance(asked, list) or not asked or not all(k is None or _whole(k) for k in asked):
            raise InputError(
                f"fanouts = {asked}, expected one for each layer, each a whole number >= 1 or None for all edges"
            )
        self.seeds = torch.arange(graph.n, device=graph.device) if seeds is None else _distinct(seeds, graph)
        if not len(self.seeds) or not _whole(batch_size):
            raise InputError(
                f"got {len(self.seeds)} seeds in batches of {batch_size}, expected whole numbers, at least one of each"
            )
        self.fanouts, self.batch_size, self.x = tuple(asked), batch_size, x
        self.normalisation, self.loops = model.normalisation, model.loops
        self.graph = normalised(graph, self.normalisation, loops=self.loops, dtype=x.dtype)

    def __len__(self) -> int:
        return -(-len(self.seeds) // self.batch_size)

    def drawn(self, rng: torch.Generator) -> Iterator[Sampled]:
        """One pass through the seeds in random order."""
        order = torch.randperm(len(self.seeds), generator=rng).to(self.seeds.device)
        return (self.sample(part, rng) for part in self.seeds[order].split(self.batch_size))

    def sample(self, seeds: Any, rng: torch.Generator | None = None) -> Sampled:
        """The part around some distinct nodes, numbers [s] or a mask [n]."""
        seeds = _distinct(seeds, self.graph)
        source, _ = self.graph.edges.pairs()
        place = torch.full((self.graph.n,), -1, device=source.device)  # of each node in the part
        place[seeds] = torch.arange(len(seeds), device=source.device)
        nodes, front, rows, edges, weights = [seeds], seeds, [], [], []
        for fanout in self.fanouts:
            row, edge, factor = _edges_into(self.graph.edges, front, fanout, rng)
            rows.append(place[front][row])
            edges.append(edge)
            weights.append((self.graph.weight[edge] * factor).to(self.graph.weight.dtype))
            reached = source[edge]
            front = reached[place[reached] < 0].unique()
            count = sum(map(len, nodes))
            place[front] = torch.arange(count, count + len(front), device=source.device)
            nodes.append(front)
        chosen = torch.cat(nodes)
        columns = place[source[torch.cat(edges)]]
        relation = Relation.from_edges(columns, torch.cat(rows), len(chosen), len(chosen))
        part = Part(
            relation,
            normalisation=self.normalisation,
            loops=self.loops,
            pos=None if self.graph.pos is None else self.graph.pos[chosen],
            weight=relation.own(torch.cat(weights)),
            measure=None if self.graph._measure is None else self.graph._measure[chosen],
        )
        x = self.x.select(chosen) if isinstance(self.x, SparseFeatures) else self.x[chosen]
        return Sampled(part, x, chosen, torch.arange(len(seeds), device=source.device))


def _whole(count: Any) -> bool:
    return isinstance(count, Integral) and int(count) >= 1


def _distinct(seeds: Any, graph: Graph) -> Tensor:
    """Numbers of seed nodes.

    Raises:
        InputError: some occur twice.
    """
    nodes = numbers(seeds, graph.n, "node").to(graph.device)
    if len(nodes.unique()) < len(nodes):
        raise InputError(f"{len(nodes) - len(nodes.unique())} seeds occur more than once; give each node once")
    return nodes


def _edges_into(
    edges: Relation, nodes: Tensor, fanout: int | None, rng: torch.Generator | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Edges into some nodes [k], drawn without replacement where there are more than ``fanout`` beside self-loops.

    Returns:
        (place of the destination among ``nodes``, own edge, number of edges that it stands for), each [e'].
    """
    count = edges.degree[nodes]
    row = torch.repeat_interleave(torch.arange(len(nodes), device=nodes.device), count)
    before = (count.cumsum(0) - count)[row]
    edge = edges.ptr[nodes][row] + torch.arange(len(row), device=nodes.device) - before
    factor = torch.ones(len(edge), dtype=torch.float64, device=nodes.device)
    if fanout is None:
        return row, edge, factor
    loop = edges.pairs()[0][edge] == nodes[row]
    loops = torch.bincount(row[loop], minlength=len(nodes))
    lot = torch.rand(len(edge), generator=rng, dtype=torch.float64).to(nodes.device)
    order = (row + torch.where(loop, 0.0, lot)).argsort()  # by rows, which stay where they were; in each by lot
    rank = torch.arange(len(row), device=nodes.device) - before - loops[row]
    taken = order[rank < fanout].sort().values  # own order again: sums come out bit for bit as in the whole graph
    row, loop, others = row[taken], loop[taken], (count - loops)[row[taken]]
    factor = torch.where(loop, 1.0, others.clamp(min=fanout).double() / fanout)
    return row, edge[taken], factor
