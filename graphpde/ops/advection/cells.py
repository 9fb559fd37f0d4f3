"""Advective fluxes between cell averages."""

from __future__ import annotations

import torch
from torch import Tensor

from graphpde.core.linear_operator import LinearOperator, Sparse
from graphpde.core.relation import Relation
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.cell_stencil import least_squares
from graphpde.ops.facet_flow import FacetFlow, Flow, own_flow, with_reconstruction
from graphpde.ops.finite_volume_conditions import CellFluxes, FacetConditions


def upwind_exchange(space: CellSpace, flow: Tensor) -> tuple[Tensor, Tensor]:
    """What each edge carries from its source to its destination [e], and what leaves through the boundary [b].

    A cell gives away what flows out of it; where three and more cells meet in one facet, each that receives gets its
    share of the mixture.
    """
    arriving = torch.relu(-flow)
    total = space.to_facets.propagate(arriving[:, None])[space.sides.facet, 0]
    share = arriving / torch.where(total > 0, total, 1.0)
    there, here = space.ends
    return torch.relu(flow)[there] * share[here], torch.relu(flow[space.boundary_sides])


def upwind_on_cells(space: CellSpace, flow: Tensor) -> Sparse:
    """Each facet carries the average of the cell it flows out of."""
    weight, leaving = upwind_exchange(space, flow)
    back = space.home.transpose()
    given = back.collect(back.own(weight)[:, None]) + _at_boundary(space, leaving)
    return Sparse(space.home, weight, -given[:, 0]).to(space.device, space.dtype)


def centred_on_cells(space: CellSpace, flow: Tensor) -> Sparse:
    """Each facet carries the mean of what its cells say by linear reconstruction, at an outflow what its one cell says.

    The gradients are least-squares fits to the cells across the facets. Without them the scheme would keep the sum of
    squares where the flow has no divergence, but only be of first order where facets do not halve the way. A cell with
    fewer neighbours than dimensions lets its average out.
    """
    stencil = space.stencil
    carried, value = _reconstructed(space, flow)
    _, here = space.ends
    mean = -(flow / space.to_facets.degree[space.sides.facet])[here]
    lost = space.to_cells.propagate(carried[:, None])
    back = stencil.back.collect(stencil.back.own(value[~stencil.off])[:, None])
    weight = stencil.wide.own(torch.cat([value[stencil.off], mean]))
    return Sparse(stencil.wide, weight, (back - lost)[:, 0]).to(space.device, space.dtype)


def _reconstructed(space: CellSpace, flow: Tensor) -> tuple[Tensor, Tensor]:
    """What each side takes of the average of its cell [s], and of its gradient by entries of the stencil [q]."""
    stencil, n = space.stencil, space.n
    cell, inner = space.sides.cell, space.inner_side
    reach = _reach(space)
    reading, read = stencil.pairs
    arm = reach[reading] - reach[read]
    pairs = Relation.from_edges(torch.arange(len(arm)), cell[reading], len(arm), n)
    arm = torch.where((cell[reading] != cell[read])[:, None], arm, 0.0)
    slope = least_squares(pairs, pairs.own(arm))[pairs.edge_map]
    total = pairs.collect(pairs.own(slope))
    own = -(total / space.to_cells.degree[:, None])[cell]
    gradient = stencil.near.own(torch.cat([slope, own]))
    gets, gives = stencil.facing
    count = space.to_facets.degree[space.sides.facet]
    carried = torch.where(inner, flow / count, torch.relu(flow))
    # a slope told by one neighbour in the plane would make modes grow in the corners that things flow out of
    told = (space.to_cells.propagate(inner.to(flow.dtype)[:, None])[:, 0] >= space.mesh.dim)[cell]
    part = torch.where(inner | told, -carried, 0.0)[gets, None] * reach[gives]
    pair, entry = stencil.path
    return carried, (part[pair] * gradient[entry]).sum(1)


def upwind_through_facets(space: CellSpace, flow: Tensor) -> FacetFlow:
    """What upwind fluxes bring in through each boundary facet, given values counted as held ones."""
    out = flow[space.boundary_sides]
    return own_flow(space, torch.relu(out), torch.relu(-out))


def centred_through_facets(space: CellSpace, flow: Tensor) -> FacetFlow:
    """The same of centred fluxes, which carry what the linear reconstruction says at an outflow."""
    return with_reconstruction(space, upwind_through_facets(space, flow), _reconstructed(space, flow)[1])


def _reach(space: CellSpace) -> Tensor:
    """From the centroid of the cell to that of the facet, for each side [s, d]."""
    assert space.pos is not None
    return space.sides.centre - space.pos.to("cpu", torch.float64)[space.sides.cell]


def with_inflow(
    space: CellSpace, operator: LinearOperator, flow: Tensor, conditions: FacetConditions, label: str, through: Flow
) -> CellFluxes:
    """The fluxes with the values that are held at the boundary carried in; elsewhere nothing comes in."""
    arriving = torch.relu(-flow[space.boundary_sides]) * conditions.held
    to_cells = space.from_boundary
    weight = to_cells.own(arriving).to(space.device, space.dtype)

    def held() -> FacetFlow:
        every = through()
        return every._replace(share=every.share * conditions.held[every.of_given.pairs()[0]])

    return CellFluxes(space, operator, to_cells.to(space.device), weight, conditions, label, held)


def _at_boundary(space: CellSpace, values: Tensor) -> Tensor:
    return space.from_boundary.propagate(values[:, None])
