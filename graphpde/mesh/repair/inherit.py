"""What named sets and fields become when points are merged and cells dropped, replaced or cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.core.graph import TagSet
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.repair.simplices import along_lowest


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
        lost.extend(_enclosed(old, new, name, tag, descent))
        if len(ids) or not len(tag.ids):
            tags[name] = TagSet(0, ids, ids) if tag.dim == 0 else new.make_tag(tag.dim, ids)
        else:
            lost[-1] += ", and with them the set"  # nothing is left, so nothing was found enclosed
    return new.with_data(point_data, cell_data).with_tags(**tags), lost


def _differing(old: Mesh, descent: Descent) -> Iterator[str]:
    """Fields that had several values where there is one point or cell now."""
    for what, data, stays in (("point", old.point_data, descent.place), ("cell", old.cell_data, descent.twin)):
        gone = (stays != torch.arange(len(stays))).nonzero()[:, 0]
        for name, values in data.items() if len(gone) else ():
            one, two = values[gone], values[stays[gone]]
            differ = (one != two) & ~((one != one) & (two != two))
            count = int(differ.reshape(len(gone), -1).any(1).sum())
            if count:
                how = {"point": "merged points", "cell": "repeated cells"}[what]
                chosen = f"the lowest-numbered {what} of each gave its value"
                yield f"'{name}' differs at {count} of {len(gone)} {how}; {chosen}"


def _enclosed(old: Mesh, new: Mesh, name: str, tag: TagSet, descent: Descent) -> Iterator[str]:
    """Facets of a set that were on the boundary and lie between two cells now."""
    if tag.dim != old.dim - 1 or old.dim < 2:
        return
    outer = tag.ids[torch.isin(tag.ids, old.boundary_facets)]
    ids, _ = _members(old, new, TagSet(tag.dim, outer, tag.nodes), descent)
    inside = int((~torch.isin(ids, new.boundary_facets)).sum())
    if inside:
        yield f"{inside} facets of the set '{name}' lie between two joined cells now, no longer on the boundary"


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
