"""What enters a cell space through each facet of its boundary, one by one, as the fluxes of a term have it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.core.relation import Relation
from graphpde.mesh.cell_space import CellSpace


class FacetFlow(NamedTuple):
    """Inflow through each boundary facet, a linear function of the averages u and of the given values g.

    A cell in a corner has facets in two sets, so that what it gains in all does not tell what came through which.

    Attributes:
        of_cells: cells -> boundary facets; weight: of u in its own order [e] or [e, c].
        of_given: boundary facets -> boundary facets; share: of g in its own order [e'] or [e', c].
    """

    of_cells: Relation
    weight: Tensor
    of_given: Relation
    share: Tensor

    def __call__(self, u: Tensor, given: Tensor | None) -> Tensor:
        """Inflows [*, b, c] for u [*, n, c] and g [b, 1 or c]; None = nothing is given."""
        flow = self.of_cells.to(u.device).propagate(u, weight=self.weight.to(u))
        if given is None:
            return flow
        given = given.to(u).expand(-1, u.shape[-1])
        return flow + self.of_given.to(u.device).propagate(given, weight=self.share.to(u))


Flow = Callable[[], FacetFlow]
"""Built when somebody asks: a run that measures no flux does not pay for it."""


def own_flow(space: CellSpace, lost: Tensor, load: Tensor) -> FacetFlow:
    """Inflows load g - lost u that read the one cell of each facet, [b] or [b, c] each."""
    b = torch.arange(len(space.boundary_facets))
    at = Relation.from_edges(space.sides.cell[space.boundary_sides], b, space.n, len(b))
    same = Relation.from_edges(b, b, len(b), len(b))
    return FacetFlow(at, at.own(-lost), same, same.own(load))


def with_reconstruction(space: CellSpace, plain: FacetFlow, value: Tensor) -> FacetFlow:
    """``plain`` and what the gradients of the cells add, ``value`` for each entry of the stencil's ``path`` [q]."""
    stencil = space.stencil
    gets, _ = stencil.facing
    pair, entry = stencil.path
    facet = row_of_side(space)[gets[pair]]
    mine = facet >= 0
    own, at = plain.of_cells.pairs()
    read = stencil.near.pairs()[0][entry[mine]]
    wide = Relation.from_edges(
        torch.cat([own, read]), torch.cat([at, facet[mine]]), space.n, len(space.boundary_facets), coalesce=True
    )
    return plain._replace(of_cells=wide, weight=wide.own(torch.cat([plain.weight, value[mine]])))


def with_given(space: CellSpace, plain: FacetFlow, value: Tensor) -> FacetFlow:
    """``plain`` and what the gradients read of given values, ``value`` for each entry of the stencil's ``given``."""
    stencil = space.stencil
    pair, facet = stencil.given
    row = row_of_side(space)[stencil.facing[0][pair]]
    mine = row >= 0
    src, dst = plain.of_given.pairs()
    wide = Relation.from_edges(
        torch.cat([src, facet[mine]]), torch.cat([dst, row[mine]]), plain.of_given.n_src, plain.of_given.n_dst,
        coalesce=True,
    )  # fmt: skip
    return plain._replace(of_given=wide, share=wide.own(torch.cat([plain.share, value[mine]])))


def row_of_side(space: CellSpace) -> Tensor:
    """The boundary facet of each side [s], -1 inside."""
    row = torch.full((len(space.sides.facet),), -1)
    row[space.boundary_sides] = torch.arange(len(space.boundary_sides))
    return row


def stacked(flows: list[FacetFlow]) -> FacetFlow:
    """One for several channels, which have the same stencil."""
    if len(flows) == 1:
        return flows[0]
    weight = torch.stack([flow.weight for flow in flows], -1)
    return flows[0]._replace(weight=weight, share=torch.stack([flow.share for flow in flows], -1))
