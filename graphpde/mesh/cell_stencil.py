"""What the gradients of cell averages read: least squares, and how their fluxes reach the cells across a facet."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.core.relation import Relation
from graphpde.mesh.cell_geometry import Sides, pairs_within, runs


class Stencil(NamedTuple):
    """How the gradient of each cell reads its neighbours, and how that reaches the cells across its facets.

    Attributes:
        near: cells -> cells that share a facet, and the cell itself: the given edges are ``pairs``, then one loop a
            side. pairs: (reading side, read side) on one facet [p].
        facing: (side that receives, side whose cell has the gradient) on one facet, a side with itself too [f].
        path: (pair of ``facing``, own edge of near) for each entry that this makes [q].
        off: entries of ``path`` that lead to another cell [q]. wide: cells -> cells: these entries, then the edges of
            the space. back: the other entries, cells -> cells.
        given: (pair of ``facing``, boundary facet) for each value at the boundary that a gradient reads [r].
        from_boundary: boundary facets -> cells: each facet to its cell, then ``given``.
    """

    near: Relation
    pairs: tuple[Tensor, Tensor]
    facing: tuple[Tensor, Tensor]
    path: tuple[Tensor, Tensor]
    off: Tensor
    wide: Relation
    back: Relation
    given: tuple[Tensor, Tensor]
    from_boundary: Relation


def stencil_of(sides: Sides, home: Relation, inner_side: Tensor, boundary_sides: Tensor) -> Stencil:
    """The stencil of a cell space from its sides and edges; ``inner_side`` [s] bool, ``boundary_sides`` [b]."""
    cell, n = sides.cell, home.n_dst
    one, two = pairs_within(sides.facet, int(sides.facet.max()) + 1)
    inner = inner_side[one]
    pairs = one[inner], two[inner]
    near = Relation.from_edges(
        torch.cat([cell[pairs[1]], cell]), torch.cat([cell[pairs[0]], cell]), n, n, coalesce=True
    )
    pair, entry = runs(near.ptr[cell[two]], near.degree[cell[two]])
    src, dst = near.pairs()[0][entry], cell[one[pair]]
    off = src != dst
    there, here = home.pairs()
    wide = Relation.from_edges(torch.cat([src[off], there]), torch.cat([dst[off], here]), n, n, coalesce=True)
    back = Relation.from_edges(src[~off], dst[~off], n, n)
    at = cell[boundary_sides]
    order, count = torch.argsort(at, stable=True), torch.bincount(at, minlength=n)
    reader, place = runs((count.cumsum(0) - count)[cell[two]], count[cell[two]])
    facet = order[place]
    from_boundary = Relation.from_edges(
        torch.cat([torch.arange(len(at)), facet]), torch.cat([at, cell[one[reader]]]), len(at), n, coalesce=True
    )
    return Stencil(near, pairs, (one, two), (pair, entry), off, wide, back, (reader, facet), from_boundary)


def least_squares(relation: Relation, arm: Tensor) -> Tensor:
    r"""Slopes s with grad u_i = \sum s (u at the end of the arm - u_i): inverse-distance weighted least squares.

    Args:
        relation: edges -> nodes, or any relation whose destinations own the arms. arm: displacements [e, d], own order.

    Exact for linear functions where the arms of a node span the space; else the shortest gradient that fits best. Arms
    of length zero do not count.
    """
    d = arm.shape[1]
    _, dst = relation.pairs()
    square = (arm * arm).sum(1, keepdim=True)
    scaled = arm / torch.where(square > 0, square, 1.0)
    normal = relation.collect((scaled[:, :, None] * arm[:, None]).flatten(1)).reshape(-1, d, d)
    return (_inverse(normal)[dst] @ scaled[..., None])[..., 0]


def _inverse(a: Tensor) -> Tensor:
    """Inverses of positive semi-definite matrices [n, d, d], where they are singular the pseudo-inverses."""
    size = torch.diagonal(a.detach(), dim1=1, dim2=2).mean(1)
    sound = torch.linalg.det(a.detach()) > 1e-9 * size ** a.shape[1]
    eye = torch.eye(a.shape[1], dtype=a.dtype)
    out = torch.linalg.inv(torch.where(sound[:, None, None], a, eye))
    rest = (~sound).nonzero()[:, 0]
    return out.index_copy(0, rest, torch.linalg.pinv(a[rest], rtol=1e-9, hermitian=True)) if len(rest) else out
