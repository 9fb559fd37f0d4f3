"""Relations from positions: nearest neighbours, neighbours within a radius, everybody with everybody.

Edges run from the neighbour (source) to the point (destination). Positions are read, never differentiated: a relation
holds indices only.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.core.ordering import node_count
from graphpde.core.relation import Relation
from graphpde.errors import GraphError, InputError
from graphpde.typing import check_shape

_ENTRIES = 1 << 24  # of a block of the distance table where there is no tree: 128 MB in float64


class _Clouds(NamedTuple):
    """Checked points: sources [n, d], destinations [q, d], their graph numbers, and whether both are one set."""

    points: Tensor
    queries: Tensor
    batch: Tensor
    query_batch: Tensor
    same: bool

    def apart(self, distance: float) -> tuple[Tensor, Tensor]:
        """Points and queries with one more coordinate that puts different graphs ``distance`` apart."""
        numbers = torch.cat([self.batch, self.query_batch])
        if not bool((numbers[1:] != numbers[:-1]).any()):
            return self.points, self.queries
        heights = numbers.to(torch.float64)[:, None] * distance
        points, queries = heights.split([len(self.points), len(self.queries)])
        return torch.cat([self.points, points], 1), torch.cat([self.queries, queries], 1)


def knn(
    pos: Tensor,
    k: int,
    *,
    queries: Tensor | None = None,
    loop: bool = False,
    batch: Tensor | None = None,
    query_batch: Tensor | None = None,
) -> Relation:
    """Edges from the k nearest points to each point (or to each query).

    Args:
        pos: points [n, d].
        k: neighbours of each; equal distances are decided arbitrarily but repeatably.
        queries: destinations [q, d] other than the points themselves.
        loop: whether a point is the first of its own k neighbours; coincident points are neighbours in any case.
        batch: graph number of each point [n]; no edge joins two graphs. query_batch: the same for queries [q].

    Raises:
        GraphError: fewer than k points to choose from. InputError: positions that are not finite, k < 1.
    """
    clouds = _clouds(pos, queries, batch, query_batch, loop)
    others = _whole(k, "k") - loop
    _require_enough(clouds, others)
    dst = torch.arange(len(clouds.queries), device=pos.device)
    if others and len(dst):
        box = torch.cat([clouds.points, clouds.queries])
        diagonal = float((box.amax(0) - box.amin(0)).norm())
        points, targets = clouds.apart(2 * diagonal + 1)
        near = _nearest(points, targets, others, clouds.same)
    else:
        near = dst.new_empty(len(dst), 0)
    if loop:
        near = torch.cat([dst[:, None], near], 1)
    return Relation.from_edges(near.reshape(-1), dst.repeat_interleave(near.shape[1]), len(clouds.points), len(dst))


def radius(
    pos: Tensor,
    r: float,
    *,
    queries: Tensor | None = None,
    loop: bool = False,
    max_neighbors: int | None = None,
    batch: Tensor | None = None,
    query_batch: Tensor | None = None,
) -> Relation:
    """Edges from all points at distance <= r to each point (or to each query).

    Among the points themselves the relation is symmetric, edge by edge.

    Args:
        pos: points [n, d]. r: radius > 0 in the units of the positions.
        queries: destinations [q, d] other than the points themselves.
        loop: whether a point is a neighbour of itself.
        max_neighbors: refuse, before the edges are built, when some point has more; nothing is ever left out.
        batch: graph number of each point [n]; no edge joins two graphs. query_batch: the same for queries [q].

    Raises:
        GraphError: more than ``max_neighbors``. InputError: positions that are not finite, r <= 0.
    """
    clouds = _clouds(pos, queries, batch, query_batch, loop)
    if not 0 < float(r) < math.inf:
        raise InputError(f"r = {r}, expected a finite radius > 0")
    points, targets = clouds.apart(2 * float(r))
    own = clouds.same and not loop  # every point finds itself
    if max_neighbors is not None:
        count = _count_within(points, targets, float(r)) - int(own)
        if bool((count > _whole(max_neighbors, "max_neighbors")).any()):
            worst = int(count.argmax())
            raise GraphError(
                f"point {worst} has {int(count[worst])} neighbours within r = {r:g}, more than "
                f"max_neighbors = {max_neighbors}; take a smaller radius or allow more"
            )
    src, dst = _within(points, targets, float(r), clouds.same)
    if clouds.same and loop:
        each = torch.arange(len(points), device=src.device)
        src, dst = torch.cat([each, src]), torch.cat([each, dst])
    return Relation.from_edges(src, dst, len(points), len(targets))


def complete(n: int, *, loop: bool = False, batch: Tensor | None = None) -> Relation:
    """Edges between all pairs of n nodes, or of the nodes of each graph of a batch [n].

    Raises:
        GraphError: n is not a whole number >= 0. ShapeError: the batch has another length.
    """
    n = node_count(n, "n")
    batch = _graph_numbers(batch, n, "batch", torch.device("cpu"))
    members = torch.argsort(batch, stable=True)
    count = torch.bincount(batch) if n else batch
    start = count.cumsum(0) - count
    dst = torch.arange(n, device=batch.device).repeat_interleave(count[batch])
    first = count[batch].cumsum(0) - count[batch]  # edges before those of each destination
    within = torch.arange(len(dst), device=batch.device) - first[dst]
    src = members[start[batch[dst]] + within]
    kept = torch.ones_like(src, dtype=torch.bool) if loop else src != dst
    return Relation.from_edges(src[kept], dst[kept], n, n)


def _clouds(
    pos: Tensor, queries: Tensor | None, batch: Tensor | None, query_batch: Tensor | None, loop: bool
) -> _Clouds:
    points = positions(pos, "pos")
    same = queries is None
    if loop and not same:
        raise InputError("loop=True joins a point to itself, but the queries are other points; leave it out")
    targets = points if queries is None else positions(queries, "queries", d=points.shape[1])
    if queries is None and query_batch is not None:
        raise InputError("query_batch was given without queries; 'batch' speaks of the points")
    if queries is not None and (batch is None) != (query_batch is None):
        raise InputError("batch and query_batch go together when there are queries; give both or neither")
    numbers = _graph_numbers(batch, len(points), "batch", points.device)
    others = numbers if same else _graph_numbers(query_batch, len(targets), "query_batch", points.device)
    return _Clouds(points, targets, numbers, others, same)


def _graph_numbers(batch: Tensor | None, n: int, what: str, device: torch.device) -> Tensor:
    if batch is None:
        return torch.zeros(n, dtype=torch.int64, device=device)
    batch = check_shape(batch, "n", what, n=n)
    if batch.is_floating_point() or (n and int(batch.min()) < 0):
        raise GraphError(f"{what} holds {batch.dtype} down to {batch.min().item():g}, expected whole numbers >= 0")
    return batch.to(torch.int64)


def positions(x: Any, what: str, **sizes: int) -> Tensor:
    """Points [n, d] in double precision, without gradient.

    Raises:
        InputError: some are not finite. ShapeError: other sizes.
    """
    x = check_shape(x, "n d", what, **sizes).detach().to(torch.float64)
    wrong = (~torch.isfinite(x)).any(1).nonzero()
    if len(wrong):
        raise InputError(
            f"{what} is not finite at {len(wrong)} points, first at {int(wrong[0, 0])}; remove or repair them"
        )
    return x


def _whole(k: Any, what: str) -> int:
    try:
        number = operator.index(k)
    except TypeError:
        number = 0
    if number < 1:
        raise InputError(f"{what} = {k}, expected a whole number >= 1")
    return number


def _require_enough(clouds: _Clouds, k: int) -> None:
    asking = torch.unique(clouds.query_batch)
    if not len(asking):
        return
    there = torch.bincount(clouds.batch, minlength=int(asking[-1]) + 1)[asking] - int(clouds.same)
    if bool((there < k).any()):
        worst = int(there.argmin())
        where = f" in graph {int(asking[worst])} of the batch" if len(asking) > 1 else ""
        what = "other points" if clouds.same else "points"
        raise GraphError(
            f"{k} nearest {what} were asked for, but there are {int(there[worst])}{where}; take a smaller k"
        )


def has_tree(points: Tensor) -> bool:
    """Whether neighbours are found by a tree, which lives on the CPU."""
    return points.device.type == "cpu"


def _nearest(points: Tensor, queries: Tensor, k: int, same: bool) -> Tensor:
    """The k nearest points of each query [q, k], nearest first; without the query itself when both are one set."""
    wanted = k + same
    if has_tree(points):
        from scipy.spatial import cKDTree

        found = cKDTree(points.numpy()).query(queries.numpy(), k=[*range(1, wanted + 1)])[1]
        near = torch.from_numpy(found).to(torch.int64)
    else:
        near = torch.cat([table.topk(wanted, largest=False).indices for table in _tables(points, queries)])
    if not same:
        return near
    # among coincident points the query need not come first, nor at all: drop it where it stands, else the farthest
    others = near != torch.arange(len(near), device=near.device)[:, None]
    others[others.all(1), -1] = False
    return near[others].reshape(len(near), k)


def _within(points: Tensor, queries: Tensor, r: float, same: bool) -> tuple[Tensor, Tensor]:
    """(point, query) of all pairs at distance <= r; without the queries themselves when both are one set."""
    if has_tree(points):
        from scipy.spatial import cKDTree

        tree = cKDTree(points.numpy())
        if same:  # each pair is judged once: the relation is symmetric whatever the rounding
            pairs = torch.from_numpy(tree.query_pairs(r, output_type="ndarray")).to(torch.int64)
            return torch.cat([pairs[:, 0], pairs[:, 1]]), torch.cat([pairs[:, 1], pairs[:, 0]])
        table = cKDTree(queries.numpy()).sparse_distance_matrix(tree, r, output_type="ndarray")
        return tuple(torch.from_numpy(table[name].copy()).to(torch.int64) for name in ("j", "i"))  # type: ignore[return-value]
    found, before = [], 0
    for squares in _tables(points, queries):
        found.append((squares <= r * r).nonzero() + squares.new_tensor([before, 0], dtype=torch.int64))
        before += len(squares)
    dst, src = torch.cat(found).unbind(1)
    kept = src != dst if same else torch.ones_like(src, dtype=torch.bool)
    return src[kept], dst[kept]


def _count_within(points: Tensor, queries: Tensor, r: float) -> Tensor:
    """Number of points at distance <= r of each query [q]."""
    if has_tree(points):
        from scipy.spatial import cKDTree

        return torch.as_tensor(cKDTree(points.numpy()).query_ball_point(queries.numpy(), r, return_length=True))
    return torch.cat([(table <= r * r).sum(1) for table in _tables(points, queries)])


def _tables(points: Tensor, queries: Tensor) -> Iterator[Tensor]:
    """Squared distances [some queries, n] in blocks; differences, not the product form, which cancels."""
    step = max(_ENTRIES // max(points.numel(), 1), 1)
    for block in queries.split(step) if len(queries) else [queries]:
        yield (block[:, None] - points).square().sum(-1)
