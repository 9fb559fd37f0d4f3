"""What named sets and fields become when points are merged and cells dropped, replaced or cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.core.graph import TagSet
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.simplices import along_lowest


class Descent(NamedTuple):
    """Where the points and cells of a new mesh come from.

    Attributes:
        place: for each old point the old point in whose place it stands [n]. point: its new number, -1 for none [n].
        origin: the old cell of each new one [m']. twin: for each old cell the one on the same points that stays [m].
    """

    place: Tensor
    point: Tensor
    origin: Tensor
    twin: Tensor


def with_inheritance(old: Mesh, new: Mesh, descent: Descent) -> tuple[Mesh, list[str]]:
    """``new`` with the sets and fields of ``old``, and one sentence for each loss.

    A cell inherits the values of the cell that it came from, and the sets also of those that stood on the same points.
    A merged point has the value of the lowest-numbered one. Facets and edges are found again by their corners.
    """
    kept = torch.empty(new.n, dtype=torch.int64)
    stands = (descent.place == torch.arange(old.n)) & (descent.point >= 0)
    kept[descent.point[stands]] = stands.nonzero()[:, 0]
    point_data = {name: values[kept] for name, values in old.point_data.items()}
    cell_data = {name: values[descent.origin] for name, values in old.cell_data.items()}
    lost = list(_differing(old, descent))
    tags: dict[str, TagSet] = {}
    for name, tag in old.tags.items():
        ids, gone = _members(old, new, tag, descent)
        what = "points" if tag.dim == 0 else "cells" if tag.dim == old.dim else "facets"
        if old.dim == 3 and tag.dim == 1:
            what = "edges"
        if gone:
            lost.append(f"{gone} of {len(tag.ids)} {what} of the set '{name}' are gone")
        if len(ids) or not len(tag.ids):
            tags[name] = TagSet(0, ids, ids) if tag.dim == 0 else new.make_tag(tag.dim, ids)
        else:
            lost[-1] += ", and with them the set"
    return new.with_data(point_data, cell_data).with_tags(**tags), lost


def _differing(old: Mesh, descent: Descent) -> Iterator[str]:
    """Fields that had several values where there is one point now."""
    merged = (descent.place != torch.arange(old.n)).nonzero()[:, 0]
    for name, values in old.point_data.items():
        one, two = values[merged], values[descent.place[merged]]
        differ = (one != two) & ~((one != one) & (two != two))
        count = int(differ.reshape(len(merged), -1).any(1).sum()) if len(merged) else 0
        if count:
            yield (
                f"'{name}' differs at {count} of {len(merged)} merged points; the lowest-numbered point of each gave "
                f"its value"
            )


def _members(old: Mesh, new: Mesh, tag: TagSet, descent: Descent) -> tuple[Tensor, int]:
    """The entities of the new mesh in a set, and how many old ones have none."""
    if tag.dim == 0:
        ids = descent.point[tag.ids]
        return torch.unique(ids[ids >= 0]), int((ids < 0).sum())
    if tag.dim == old.dim:
        chosen = torch.zeros(old.n_cells, dtype=torch.bool)
        chosen[descent.twin[tag.ids]] = True
        alive = torch.zeros(old.n_cells, dtype=torch.bool)
        alive[descent.origin] = True
        return chosen[descent.origin].nonzero()[:, 0], int((~alive[descent.twin[tag.ids]]).sum())
    nodes = old.entities(tag.dim).nodes[tag.ids]
    corners = torch.where(nodes >= 0, descent.point[nodes.clamp(min=0)], -1)
    whole = ((corners < 0) == (nodes < 0)).all(1)
    corners = _distinct(corners)
    found = new.find(tag.dim, corners)
    found[~whole] = -1
    parts = [found]
    if corners.shape[1] == 4:
        cut = (whole & (found < 0) & (corners >= 0).all(1)).nonzero()[:, 0]
        halves = [new.find(tag.dim, half) for half in along_lowest(corners[cut])]
        found[cut] = torch.maximum(*halves)
        parts = [found, *halves]
    ids = torch.cat(parts)
    return torch.unique(ids[ids >= 0]), int((found < 0).sum())


def _distinct(corners: Tensor) -> Tensor:
    """Rows that name a point twice [k, w] with each point once, padded with -1; the others as they are."""
    ordered = corners.sort(1, descending=True).values
    again = torch.zeros_like(ordered, dtype=torch.bool)
    again[:, 1:] = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    once = ordered.masked_fill(again, -1).sort(1, descending=True).values
    return torch.where(again.any(1, keepdim=True), once, corners)
