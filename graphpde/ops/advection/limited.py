"""Limited advection: second order where the field is smooth, no new extrema where it is not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphpde.core.bridges import as_graph
from graphpde.core.relation import Relation
from graphpde.errors import InputError
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.space import Space
from graphpde.ops.advection.cells import upwind_exchange
from graphpde.ops.advection.schemes import SCHEMES
from graphpde.ops.advection.upwind import Advection, upwind_on_space
from graphpde.ops.advection.velocity import Velocity, side_flows
from graphpde.ops.term import Term
from graphpde.typing import Scalar


@SCHEMES.add("limited")
class LimitedAdvection(Term):
    r"""Transport u' + div(v u) = 0, of second order where u is smooth, without new extrema.

    Upwind advection plus as much of the fluxes that it is too diffusive by as the neighbours allow; a nonlinear term,
    whose pieces are the linear upwind part (implicit steppers precondition with it) and the limited rest. Use it with
    strong-stability-preserving steps (``heun``). Half the positivity bound of the upwind scheme is a step for regular
    cells; on random ones it overshot by 2 % (a square pulse), and an eighth did not (docs/verification.md).

    On a space, algebraic flux correction: f_ij = d_ij (u_i - u_j), d the diffusion of discrete upwinding, is limited by
    the symmetric min(R_i, R_j), R_i = min(1, Q_i / P_i) with P_i the sum of the fluxes of one sign at i and
    Q_i = gamma_i \sum_j d_ij (u_i^max - u_i); gamma_i makes the limiter leave linear functions alone.

    On a cell space, least-squares gradients over the cells that share a point (MUSCL) under the limiter of Barth and
    Jespersen: no value at the middle of a facet beyond those of these cells, or of the boundary.

    Args:
        domain: Space with P1 or Q1, or CellSpace. velocity: as for :class:`Advection`.

    Raises:
        ShapeError, InputError: as :class:`Advection`; a graph without geometry.

    Reference: Kuzmin and Turek 2002, J. Comput. Phys. 175; Barrenechea, John and Knobloch 2017, Math. Models Methods
    Appl. Sci. 27 (gamma); Barth and Jespersen 1989, AIAA paper 89-0366.
    """

    def __init__(self, domain: Any, velocity: Velocity):
        super().__init__()
        self.domain = as_graph(domain)
        if not isinstance(self.domain, Space | CellSpace):
            raise InputError(
                f"limited advection needs a Space or a CellSpace, got {self.domain!r}; on a graph take Advection"
            )
        self.velocity = velocity
        self._upwind: Term = Advection(self.domain, velocity)
        self._rest: Term = (
            CellCorrection(self.domain, velocity)
            if isinstance(self.domain, CellSpace)
            else EdgeCorrection(self.domain, velocity)
        )

    def pieces(self) -> tuple[Term, ...]:
        return self._upwind, self._rest

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return self._upwind(t, u) + self._rest(t, u)

    def tensors(self) -> tuple[Tensor, ...]:
        return self._upwind.tensors()


class EdgeCorrection(Term):
    """The limited fluxes that discrete upwinding is too diffusive by, edge by edge on a space."""

    def __init__(self, space: Space, velocity: Velocity, fixed: Tensor | None = None):
        super().__init__()
        self.domain: Space = space
        self.velocity, self._fixed = velocity, fixed
        with torch.enable_grad():
            diffusion = upwind_on_space(space, velocity)[1]
        self._diffusion = None if diffusion.requires_grad else diffusion
        self._reach = _reach(space)

    @property
    def label(self) -> str:
        return "limited antidiffusion"

    def with_fixed(self, fixed: Tensor) -> Term:
        return EdgeCorrection(self.domain, self.velocity, fixed)

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        edges = self.domain.edges
        d = upwind_on_space(self.domain, self.velocity)[1] if self._diffusion is None else self._diffusion
        d = d.to(u.dtype)[:, None]
        f = d * (edges.gather_dst(u) - edges.gather(u))
        least, most = _bounds(edges, u)
        room = self._reach.to(u.dtype)[:, None] * edges.collect(d)
        rise = _ratio(room * (most - u), edges.collect(torch.relu(f)))
        fall = _ratio(room * (u - least), edges.collect(torch.relu(-f)))
        if self._fixed is not None:  # what arrives there changes nothing, so it needs no limit
            rise, fall = (torch.where(self._fixed[:, None], 1.0, r) for r in (rise, fall))
        up = torch.minimum(edges.gather_dst(rise), edges.gather(fall))
        down = torch.minimum(edges.gather_dst(fall), edges.gather(rise))
        return edges.collect(torch.where(f > 0, up, down) * f)

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.velocity,) if isinstance(self.velocity, Tensor) else ()


class CellCorrection(Term):
    """What limited linear reconstruction adds to the upwind fluxes between cell averages."""

    def __init__(self, space: CellSpace, velocity: Velocity, conditions: Any = None):
        super().__init__()
        self.domain: CellSpace = space
        self.velocity, self.conditions = velocity, conditions
        with torch.enable_grad():
            weight = self._exchange()
        self._weight = None if weight.requires_grad else weight
        where, kind = space.device, space.dtype
        self._carry, self._sides = _carry(space).to(where), space.to_cells.to(where)
        assert space.pos is not None
        reach = space.sides.centre - space.pos.to("cpu", torch.float64)[space.sides.cell]
        self._reach = space.to_cells.own(reach).to(where, kind)
        self._patch, self._slopes = space.patch.to(where), space.patch_slopes.to(where, kind)

    @property
    def label(self) -> str:
        return "limited reconstruction"

    def with_boundary(self, conditions: Any, factor: Scalar = 1.0) -> Term:
        return CellCorrection(self.domain, self.velocity, conditions)

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        """F(t, u): differences at the facets, as far as they stay within the bounds, carried downstream."""
        weight = self._exchange() if self._weight is None else self._weight
        channels, d = u.shape[-1], self.domain.mesh.space_dim
        slopes = self._slopes.to(u.dtype)
        many = u.repeat(*[1] * (u.dim() - 1), d)
        total = self._patch.propagate(many, weight=slopes)
        of_self = self._patch.collect(slopes).repeat_interleave(channels, 1)
        gradient = (total - of_self * many).unflatten(-1, (d, channels))
        seen = self._sides.gather_dst(gradient.flatten(-2)).unflatten(-1, (d, channels))
        step = (seen * self._reach.to(u.dtype)[:, :, None]).sum(-2)
        least, most = self._bounds(t, u)
        above, below = self._sides.gather_dst(most - u), self._sides.gather_dst(u - least)
        room = torch.where(step > 0, above, below)
        share = self._sides.collect(_ratio(room, step.abs()), "min")
        return self._carry.propagate(self._sides.gather_dst(share) * step, weight=weight.to(u.dtype))

    def _bounds(self, t: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        least, most = _bounds(self._patch, u)
        if self.conditions is None:
            return least, most
        space, held = self.domain, self.conditions.held.to(u.device)
        down = space.from_boundary.to(u.device)
        given = self.conditions.given(t.to("cpu")).to(u)
        inside = down.transpose().propagate(u)
        value = torch.where(held[:, None], given, inside)
        at = (down.degree > 0)[:, None]
        lowest, highest = down.propagate(value, reduce="min"), down.propagate(value, reduce="max")
        return (
            torch.where(at, torch.minimum(least, lowest), least),
            torch.where(at, torch.maximum(most, highest), most),
        )

    def _exchange(self) -> Tensor:
        """What each side gives to the cells across and takes from its own, in the order of ``_carry``."""
        space = self.domain
        flow = side_flows(space, self.velocity)
        weight, leaving = upwind_exchange(space, flow)
        there, _ = space.ends
        give = Relation.from_edges(torch.arange(len(there)), there, len(there), len(flow))
        lost = give.collect(give.own(weight)[:, None])[:, 0].index_copy(0, space.boundary_sides, leaving)
        return _carry(space).own(torch.cat([weight, -lost])).to(space.device, space.dtype)

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.velocity,) if isinstance(self.velocity, Tensor) else ()


def _carry(space: CellSpace) -> Relation:
    """Sides, in the order of their cells -> cells: each to the cells across its facet, then to its own."""
    row = space.to_cells.edge_map
    there, here = space.ends
    cell = space.sides.cell
    return Relation.from_edges(torch.cat([row[there], row]), torch.cat([cell[here], cell]), len(cell), space.n)


def _reach(space: Space) -> Tensor:
    """gamma of each unknown [n]: the longest edge over the least height of the cells round it."""
    x = space.mesh.points.detach()
    dofs, size, steep = [], [], []
    for (kind, nodes, _), block in zip(space.mesh.corners(), space.blocks(1), strict=True):
        corners = x[nodes]
        longest = torch.cdist(corners, corners).amax((1, 2))
        dofs.append(space.dof_of_point.cpu()[nodes].reshape(-1))
        size.append(longest[:, None].expand(nodes.shape).reshape(-1))
        slope = torch.linalg.vector_norm(block.gradients.detach(), dim=-1).amax(1)
        # the reciprocal height; shape functions of a box are twice as steep at their corner as in the middle
        steep.append((slope if kind in ("line", "triangle", "tetra") else 2 * slope).reshape(-1))
    corner = torch.cat(dofs)
    at = Relation.from_edges(torch.arange(len(corner)), corner, len(corner), space.n)
    both = at.own(torch.stack([torch.cat(size), torch.cat(steep)], 1))
    return at.collect(both, "max").prod(1).to(space.device, space.dtype)


def _bounds(relation: Relation, u: Tensor) -> tuple[Tensor, Tensor]:
    """Least and largest value among each node and those it listens to."""
    alone = (relation.degree == 0)[:, None]
    least = torch.where(alone, u, torch.minimum(u, relation.propagate(u, reduce="min")))
    return least, torch.where(alone, u, torch.maximum(u, relation.propagate(u, reduce="max")))


def _ratio(room: Tensor, wanted: Tensor) -> Tensor:
    """min(1, room / wanted), 1 where nothing is wanted."""
    asked = wanted > room
    return torch.where(asked, room / torch.where(asked, wanted, 1.0), 1.0)
