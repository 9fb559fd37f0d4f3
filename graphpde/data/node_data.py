"""A labelled graph: structure, features, labels and the splits that come with them, checked once and frozen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from graphpde.core.bridges import as_graph, from_pyg
from graphpde.core.cached import cached
from graphpde.core.graph import Graph, numbers
from graphpde.core.relation import Relation
from graphpde.data.features import as_features, as_tensor
from graphpde.data.homophily import edge_homophily
from graphpde.errors import InputError, ShapeError
from graphpde.nets.features import Features, SparseFeatures
from graphpde.train.metrics import METRICS
from graphpde.train.split import Split, class_numbers
from graphpde.typing import check_shape

MOST_CLASSES = 10**5  # a label beyond is no class but another number, and models have a column for each class


@dataclass(frozen=True, eq=False)
class NodeData:
    """A graph with features and labels on its nodes.

    Attributes:
        name: what it is called.
        graph: as published: directed where the source is, no self-loops added, none removed.
        x: features [n, f], dense or :class:`~graphpde.nets.SparseFeatures`, finite.
        y: labels [n], int64, 0 .. classes - 1, or -1 where unknown.
        splits: those that come with the data, perhaps none; ``graphpde.train.split`` makes others.
        class_names: one for each class, or none.
        source: where it comes from, one line.
        metric: the one that the source judges by, a name of ``graphpde.train.metrics.METRICS``.
        notes: what a reader had to say, sentences.

    Raises:
        ShapeError: sizes that do not fit. InputError: features that are not finite, labels out of range, masks that
            overlap or hold a node of unknown label.
    """

    name: str
    graph: Graph
    x: Features
    y: Tensor
    splits: tuple[Split, ...] = ()
    class_names: tuple[str, ...] = ()
    source: str = ""
    metric: str = "accuracy"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = self.graph.n
        if self.x.shape[:1] != (n,) or len(self.x.shape) != 2:
            raise ShapeError(f"x has shape {list(self.x.shape)}, expected [{n}, f]: one row for each node of the graph")
        _check_finite(self.x)
        object.__setattr__(self, "y", _labels(self.y, n, len(self.class_names)))
        METRICS[self.metric]
        if self.metric == "roc_auc" and self.classes > 2:
            raise InputError(f"ROC-AUC judges two classes and '{self.name}' has {self.classes}; take accuracy")
        object.__setattr__(self, "splits", tuple(Split(*split) for split in self.splits))
        for k, split in enumerate(self.splits):
            _check_split(split, self.y, k)

    def __repr__(self) -> str:
        n, f = self.x.shape
        return (
            f"NodeData('{self.name}', {n} nodes, {self.graph.edges.n_edges} edges, {f} features, {self.classes} "
            f"classes, {len(self.splits)} splits)"
        )

    @classmethod
    def of(cls, domain: Any, x: Any, y: Any, splits: Iterable[Any] = (), *, name: str = "graph") -> NodeData:
        """From what is at hand.

        Args:
            domain: a Graph, a torch-geometric ``Data``, a networkx graph, or edges [2, e] (source, target) as whole
                numbers, each listed in the directions that are meant.
            x: features [n, f], array, tensor or scipy matrix; kept as sparse where under a tenth is not zero.
            y: labels [n], whole numbers, -1 = unknown.
            splits: triples of masks [n] (train, val, test).
            name: what to call it.

        Raises:
            InputError: what is no array of numbers, splits that are no triples, and all that the class refuses.
        """
        x = as_features(x)
        if isinstance(domain, (Tensor, list)) or type(domain).__module__ == "numpy":
            edges = check_shape(as_tensor(domain, "edges", "[2, e]"), "k e", "edges", k=2)
            domain = Graph(Relation.from_edges(edges[0], edges[1], x.shape[0], x.shape[0]))
        parts = tuple(_triple(split, k) for k, split in enumerate(splits))
        return cls(name, as_graph(domain), x, as_tensor(y, "y", "whole numbers [n]"), parts)

    @classmethod
    def from_pyg(cls, data: Any, name: str = "graph", metric: str = "accuracy") -> NodeData:
        """From a torch-geometric ``Data`` with ``x`` and ``y``.

        ``train_mask``, ``val_mask`` and ``test_mask`` [n] or [n, k] become one or k splits; one of them [n] beside
        others [n, k] is the same in all k, such as the test nodes of WikiCS. Without a validation mask nobody chooses,
        without a test mask the other known nodes judge, without a training mask there is no split.

        Raises:
            InputError: no features or labels, masks of different width. ShapeError: masks of another length.
        """
        graph, fields = from_pyg(data)
        x, y = fields.get("x"), fields.get("y")
        if x is None or y is None:
            missing = "features x; without any, take x = torch.eye(n)" if x is None else "labels y"
            raise InputError(f"this Data has no {missing}")
        y = y[:, 0] if y.dim() == 2 and y.shape[1] == 1 else y
        return cls(name, graph, as_features(x), y, splits_of(fields, y), metric=metric)

    @property
    def n(self) -> int:
        """Number of nodes."""
        return self.graph.n

    @property
    def features(self) -> int:
        """Number of feature columns f."""
        return self.x.shape[1]

    @cached
    def classes(self) -> int:
        """Number of classes: of the names, or the largest label and one."""
        return len(self.class_names) or (int(self.y.max()) + 1 if len(self.y) else 0)

    @cached
    def warnings(self) -> tuple[str, ...]:
        """What is odd, sentences: what the reader noted, classes that nobody trains, parts that are empty."""
        faults: dict[str, list[int]] = {}
        for k, split in enumerate(self.splits):
            absent = sorted(set(range(self.classes)) - set(torch.unique(self.y[split.train]).tolist()))
            empty = [part for part, mask in zip(("train", "test"), (split.train, split.test)) if not bool(mask.any())]
            says = [f"no {part} nodes" for part in empty]
            if absent and "train" not in empty:
                more = f" and {len(absent) - 8} more" if len(absent) > 8 else ""
                says.append(f"no training node of class {', '.join(map(str, absent[:8]))}{more}")
            for fault in says:
                faults.setdefault(fault, []).append(k)
        found = list(self.notes)
        for fault, where in faults.items():
            named = f" ({', '.join(map(str, where))})" if len(where) < len(self.splits) else ""
            told = "every split" if len(self.splits) > 1 else "the split"
            told = f"{len(where)} of {len(self.splits)} splits{named}" if named else told
            found.append(f"{told} of '{self.name}': {fault}")
        return tuple(found)

    def homophily(self) -> float:
        """Share of edges whose ends have the same label; see :func:`graphpde.data.edge_homophily`."""
        return edge_homophily(self.graph, self.y)

    def undirected(self) -> NodeData:
        """Every edge in both directions and once; self-loops stay.

        Where the edges have weights, the weight of a pair is the mean of those given for it in either direction, so
        that a graph which is undirected already does not change.
        """
        edges = self.graph.edges
        src, dst = edges.pairs()
        other = src != dst
        both = Relation.from_edges(
            torch.cat([src, dst[other]]), torch.cat([dst, src[other]]), self.n, self.n, coalesce=True
        )
        weight = self.graph._weight
        if weight is not None:
            twice = torch.cat([weight, weight[other]])
            weight = both.own(twice) / both.own(torch.ones_like(twice))
        graph = self.graph
        return replace(self, graph=Graph(both, pos=graph.pos, weight=weight, measure=graph._measure, batch=graph.batch))

    def select(self, nodes: Tensor) -> NodeData:
        """The graph induced by some nodes [k] (numbers or a mask), in their order; classes keep their numbers.

        Raises:
            InputError: no node, one twice, one that is none, a mask of another length.
        """
        nodes = numbers(nodes, self.n, "node")
        if len(nodes) == 0 or len(torch.unique(nodes)) < len(nodes):
            raise InputError("a part of a graph needs at least one node and each of them once")
        number = torch.full((self.n,), -1, dtype=torch.int64, device=nodes.device)
        number[nodes] = torch.arange(len(nodes), device=nodes.device)
        src, dst = (number[end] for end in self.graph.edges.pairs())
        kept = (src >= 0) & (dst >= 0)
        edges = Relation.from_edges(src[kept], dst[kept], len(nodes), len(nodes))
        weight, measure, pos = self.graph._weight, self.graph._measure, self.graph.pos
        graph = Graph(
            edges,
            pos=None if pos is None else pos[nodes],
            weight=None if weight is None else edges.own(weight[kept]),
            measure=None if measure is None else measure[nodes],
        )
        return replace(
            self,
            graph=graph,
            x=self.x.select(nodes) if isinstance(self.x, SparseFeatures) else self.x[nodes],
            y=self.y[nodes],
            splits=tuple(split.select(nodes) for split in self.splits),
            class_names=self.class_names or tuple(map(str, range(self.classes))),
        )

    def to(self, device: Any) -> NodeData:
        """The same data on another device."""
        splits = tuple(split.to(device) for split in self.splits)
        return replace(self, graph=self.graph.to(device), x=self.x.to(device), y=self.y.to(device), splits=splits)


def _check_finite(x: Features) -> None:
    if isinstance(x, SparseFeatures):
        return  # they refuse others themselves
    finite = torch.isfinite(x).all(1)
    if not bool(finite.all()):
        bad = (~finite).nonzero()[:, 0]
        raise InputError(
            f"features of {len(bad)} nodes are not finite, first of node {int(bad[0])}; fill or remove them"
        )


def _labels(y: Tensor, n: int, named: int) -> Tensor:
    """Labels as int64 [n]."""
    y = check_shape(y, "n", "y", n=n)
    if y.dtype == torch.bool:
        raise InputError("y has type torch.bool, expected whole numbers of classes, -1 = unknown")
    y = class_numbers(y)
    wrong = (y < -1) | (y >= (named or MOST_CLASSES))
    if bool(wrong.any()):
        at = int(wrong.nonzero()[0, 0])
        most = f"{named - 1}, one for each class name" if named else "the number of classes - 1"
        most += "" if named or y[at] < 0 else f", of which there are at most {MOST_CLASSES}"
        raise InputError(f"node {at} has label {int(y[at])}, expected 0 to {most}, or -1 where it is unknown")
    if n and not bool((y >= 0).any()):
        raise InputError("no node has a known label (all are -1), so there is nothing to learn from")
    return y


def _check_split(split: Split, y: Tensor, k: int) -> None:
    for part, mask in zip(Split._fields, split):
        if tuple(mask.shape) != tuple(y.shape):
            raise ShapeError(
                f"the {part} mask of split {k} has shape {list(mask.shape)}, expected [{len(y)}]: a truth value a node"
            )
        if mask.dtype != torch.bool:
            raise InputError(f"the {part} mask of split {k} has type {mask.dtype}, expected truth values")
        unknown = int((mask & (y < 0)).sum())
        if unknown:
            raise InputError(f"the {part} mask of split {k} holds {unknown} nodes of unknown label; take them out")
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        shared = getattr(split, one) & getattr(split, other)
        if bool(shared.any()):
            raise InputError(
                f"split {k} has {int(shared.sum())} nodes in both {one} and {other}, first node "
                f"{int(shared.nonzero()[0, 0])}; the parts must not overlap"
            )


def _triple(split: Any, k: int) -> Split:
    masks = [_truth(mask) for mask in split]
    if len(masks) != 3 or any(mask.dim() != 1 for mask in masks):
        shapes = ", ".join(str(list(mask.shape)) for mask in masks[:4])
        raise InputError(
            f"split {k} has {len(masks)} parts of shapes {shapes}, expected three masks [n]; give a single split as "
            "[(train, val, test)]"
        )
    return Split(*masks)


def _truth(mask: Any) -> Tensor:
    """A mask as truth values; files and libraries also have it as whole numbers 0 and 1."""
    mask = as_tensor(mask, "a mask", "truth values [n]")
    if mask.dtype == torch.bool:
        return mask
    if mask.is_floating_point() or mask.is_complex() or not bool(((mask == 0) | (mask == 1)).all()):
        raise InputError(f"a mask has type {mask.dtype}, expected truth values, or whole numbers 0 and 1")
    return mask != 0


def splits_of(fields: dict[str, Any], y: Tensor) -> tuple[Split, ...]:
    """The splits in the fields ``train_mask``, ... [n] or [n, k]; see :meth:`NodeData.from_pyg`."""
    given = {part: fields[f"{part}_mask"] for part in Split._fields if fields.get(f"{part}_mask") is not None}
    if "train" not in given:
        return ()
    columns = {part: _truth(mask) for part, mask in given.items()}
    for part, mask in columns.items():
        if mask.dim() not in (1, 2) or len(mask) != len(y):
            raise ShapeError(f"{part}_mask has shape {list(mask.shape)}, expected [{len(y)}] or [{len(y)}, k]")
    columns = {part: mask[:, None] if mask.dim() == 1 else mask for part, mask in columns.items()}
    widths = {part: mask.shape[1] for part, mask in columns.items()}
    count = max(widths.values())
    if {*widths.values()} - {1, count}:
        told = ", ".join(f"{part} {width}" for part, width in widths.items())
        raise InputError(f"the masks hold different numbers of splits ({told}); expected [n] or [n, k] for all")
    splits = []
    for k in range(count):
        parts = {part: mask.expand(-1, count)[:, k] for part, mask in columns.items()}
        val = parts.get("val", torch.zeros_like(parts["train"]))
        test = parts.get("test", ~parts["train"] & ~val & (y >= 0))
        splits.append(Split(parts["train"], val, test))
    return tuple(splits)
