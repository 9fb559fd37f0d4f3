"""Diffusive fluxes between cell averages: two points across each facet, corrected where the mesh is not orthogonal."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.core.linear_operator import Sparse
from graphpde.core.relation import Relation
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.cell_stencil import least_squares
from graphpde.ops.facet_flow import FacetFlow, own_flow, stacked, with_given, with_reconstruction
from graphpde.ops.finite_volume_conditions import CellFluxes, FacetConditions
from graphpde.typing import Scalar

_ORTHOGONAL = 1e-9  # correction vectors below this share of the facets are rounding: two points are exact


class _Side(NamedTuple):
    """What the flux through each side is made of, for one channel.

    With facet value u_f and gradient g of the cell, inflow = share (t (u_f - u) + b . g); at the boundary
    u_f = u + arm . g as well, which is where the given values enter with ``source``.

    Attributes:
        half: t = A n.Kn / d, the two-point part [s]. skew: b, what of A K n it leaves over [s, d].
        arm: from the centroid to the point of the facet where the value is known [s, d], 0 where none is.
        share: 1 inside and where values are held, a A / (t + a A) under an exchange a [s].
        source: factor of the given value or inflow in u_f [s], 0 inside. total: sum of t over the facet [s].
        lost, load: u and what is given in the two-point flux through the facets of the boundary [b]: there it is
            load given - lost u. Where t = 0 no value of the facet is told from that of the cell: A (g - a u).
    """

    half: Tensor
    skew: Tensor
    arm: Tensor
    share: Tensor
    source: Tensor
    total: Tensor
    lost: Tensor
    load: Tensor


def diffusive_fluxes(
    space: CellSpace, kappa: Tensor, conditions: FacetConditions | None, factor: Scalar, label: str
) -> CellFluxes:
    r"""Fluxes \int_f K grad u . n of cell averages, exact for functions linear on each side of each facet.

    The two-point part has the weights A / d of the distance d across the facet (over-relaxed, in the words of Jasak),
    harmonic in kappa. The rest, b . g with b tangential, reads gradients g of the two cells, which are least-squares
    fits to the harmonic points of the cell's own facets: points in the plane of the facet where the mean of the two
    averages by transmissibility is the value of every function that is linear in both cells with one flux between
    them. So materials and anisotropy cost no order, the stencil ends two facets away, what leaves one cell enters the
    other, and the whole is one linear operator that implicit steppers factor once. It is not symmetric; where all b
    vanish (boxes, equilateral triangles, one dimension) it is the symmetric two-point scheme.

    Args:
        space: where. kappa: [k|1], [k|1, c] or tensors [k|1, d, d], one entry a cell. conditions: at the boundary;
            None and wherever nothing is said: no flux.
        factor: of the term in its sum: flux conditions speak of factor * kappa. label: for messages.

    Reference: Agelas, Eymard and Herbin 2009, C. R. Acad. Sci. Paris 347 (harmonic points); Jasak 1996, PhD thesis,
    Imperial College, section 3.3 (over-relaxation).
    """
    kappa = kappa.to("cpu", torch.float64)
    tensor = kappa.dim() == 3
    if tensor:  # also of the gradient: a tensor that is being learned stays symmetric
        kappa = (kappa + kappa.mT) / 2
    exchange = None
    if conditions is not None and conditions.exchange is not None:
        exchange = _without_factor(conditions.exchange, factor)
    channels = max(1 if tensor or kappa.dim() == 1 else kappa.shape[1], 1 if exchange is None else exchange.shape[1])
    sides = []
    for c in range(channels):
        k = kappa if tensor or kappa.dim() == 1 else kappa[:, c if kappa.shape[1] > 1 else 0]
        a = None if exchange is None else exchange[:, c if exchange.shape[1] > 1 else 0]
        sides.append(_sides(space, k, conditions, a))
    size = max(float((s.skew.norm(dim=1) / space.sides.area).detach().max()) for s in sides)
    scale = max(float((s.half * space.sides.distance / space.sides.area).detach().max()) for s in sides)
    built = [_two_point(space, s) if size <= _ORTHOGONAL * scale else _corrected(space, s) for s in sides]
    relation, to_cells = built[0].relation, built[0].to_cells
    weight, diag, load = (_stacked([getattr(b, name) for b in built]) for name in ("weight", "diag", "load"))
    if conditions is not None:  # the given inflow is that of factor * kappa
        free = to_cells.gather((~conditions.held).to(load.dtype)[:, None])
        load = load.reshape(len(load), -1)
        load = torch.where(free > 0, _without_factor(load, factor), load)
        load = load[:, 0] if load.shape[1] == 1 else load
    symmetric = size <= _ORTHOGONAL * scale
    operator = Sparse(relation, weight, diag, symmetric=symmetric).to(space.device, space.dtype)
    flow = partial(_through_boundary, space, built, conditions, factor)
    weight = load.to(space.device, space.dtype)
    return CellFluxes(space, operator, to_cells.to(space.device), weight, conditions, label, flow)


def _through_boundary(
    space: CellSpace, built: list[_Built], conditions: FacetConditions | None, factor: Scalar
) -> FacetFlow:
    flow = stacked([b.flow for b in built])
    if conditions is None:
        return flow
    free = flow.of_given.gather((~conditions.held).to(flow.share.dtype)[:, None])
    share = flow.share.reshape(len(flow.share), -1)
    share = torch.where(free > 0, _without_factor(share, factor), share)
    return flow._replace(share=share[:, 0] if share.shape[1] == 1 else share)


class _Built(NamedTuple):
    """Off-diagonal entries [e] on ``relation``, the diagonal [n], the entries of given values [b'] -> cells, and what
    of it goes through each facet of the boundary."""

    relation: Relation
    weight: Tensor
    diag: Tensor
    to_cells: Relation
    load: Tensor
    flow: FacetFlow


def _sides(space: CellSpace, kappa: Tensor, conditions: FacetConditions | None, exchange: Tensor | None) -> _Side:
    sides = space.sides
    if kappa.dim() == 3:
        along = (kappa.expand(space.n, -1, -1)[sides.cell] @ sides.normal[..., None])[..., 0]
        if space.tangents is not None:
            along = (space.tangents[sides.cell] @ along[..., None])[..., 0]
    else:
        along = kappa.expand(space.n)[sides.cell, None] * sides.normal
    normal = (along * sides.normal).sum(1)
    half = sides.area * normal / sides.distance
    across = sides.area[:, None] * (along - normal[:, None] * sides.normal)
    assert space.pos is not None
    reach = sides.centre - space.pos.to("cpu", torch.float64)[sides.cell]
    foot = sides.distance[:, None] * sides.normal - reach  # where the normal through the centroid meets the facet
    total = space.to_facets.propagate(half[:, None])[sides.facet, 0]
    safe = torch.where(total > 0, total, 1.0)
    point = space.to_facets.propagate(half[:, None] * foot + across)[sides.facet] / safe[:, None]
    inner = space.inner_side[:, None]
    point = torch.where(inner & (total > 0)[:, None], point, 0.0)
    skew = across - half[:, None] * (point - foot)
    edge = space.boundary_sides
    extra = sides.area[edge] * exchange if exchange is not None else torch.zeros(len(edge), dtype=torch.float64)
    held = torch.zeros_like(extra, dtype=torch.bool) if conditions is None else conditions.held
    area, at_edge = sides.area[edge], half[edge]
    both = at_edge + extra
    yield_ = torch.where(held | ~(both > 0), 0.0, 1 / torch.where(both > 0, both, 1.0))
    share = torch.ones_like(half).index_copy(0, edge, torch.where(held, 1.0, extra * yield_))
    source = torch.zeros_like(half).index_copy(0, edge, torch.where(held, 1.0, area * yield_))
    give = torch.zeros_like(half).index_copy(0, edge, yield_)
    blind = ~held & ~(at_edge > 0)
    lost = torch.where(blind, extra, at_edge * share[edge])
    load = torch.where(blind, area, at_edge * source[edge])
    known = torch.ones_like(half).index_copy(0, edge, (~blind).to(half.dtype))
    arm = known[:, None] * (reach + point + give[:, None] * skew)
    return _Side(half, skew, arm, share, source, total, lost, load)


def _without_factor(given: Tensor, factor: Scalar) -> Tensor:
    """What becomes ``given`` [k, 1 or c] once multiplied by the factor; 0 in channels that it removes."""
    by_channel = torch.as_tensor(factor, dtype=given.dtype, device=given.device).reshape(1, -1)
    acts = by_channel != 0
    return torch.where(acts, given / torch.where(acts, by_channel, 1.0), 0.0)


def _two_point(space: CellSpace, side: _Side) -> _Built:
    weight = space.transmissibility(side.half)
    to_cells = space.from_boundary
    diag = -space.home.collect(weight[:, None])[:, 0] - to_cells.propagate(side.lost[:, None])[:, 0]
    flow = own_flow(space, side.lost, side.load)
    return _Built(space.home, weight, diag, to_cells, to_cells.own(side.load), flow)


def _corrected(space: CellSpace, side: _Side) -> _Built:
    plain = _two_point(space, side)
    stencil, inner = space.stencil, space.inner_side
    slope = _slopes(space, side)
    mean = side.half / torch.where(side.total > 0, side.total, 1.0)
    reading, read = stencil.pairs
    gradient = stencil.near.own(torch.cat([mean[read, None] * slope[reading], -side.share[:, None] * slope]))
    gets, gives = stencil.facing
    part = torch.where(gets == gives, 1 - mean[gets], -mean[gets])
    carried = torch.where(inner[gets], part, side.share[gets])[:, None] * side.skew[gives]
    pair, entry = stencil.path
    value = (carried[pair] * gradient[entry]).sum(1)
    off, edge = stencil.off, space.boundary_sides
    diag = plain.diag + stencil.back.collect(stencil.back.own(value[~off])[:, None])[:, 0]
    weight = stencil.wide.own(torch.cat([value[off], plain.weight]))
    flow = with_reconstruction(space, plain.flow, value)
    pair, entry = stencil.given
    value = (carried[pair] * slope[edge[entry]]).sum(1) * side.source[edge[entry]]
    to_cells = stencil.from_boundary
    load = to_cells.own(torch.cat([side.load, value]))
    return _Built(stencil.wide, weight, diag, to_cells, load, with_given(space, flow, value))


def _slopes(space: CellSpace, side: _Side) -> Tensor:
    """Least-squares gradients from the values at the ends of the arms: s in g = sum s (u_f - u) [s, d]."""
    own = space.to_cells
    return least_squares(own, own.own(side.arm))[own.edge_map]


def _stacked(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.stack(parts, -1)
