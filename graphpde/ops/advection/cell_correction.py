"""Limited linear reconstruction on cell averages."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphpde.core.relation import Relation
from graphpde.mesh.cell_space import CellSpace
from graphpde.ops.advection.cells import upwind_exchange
from graphpde.ops.advection.extrema import Bounds, neighbours, portion, widened
from graphpde.ops.advection.velocity import Velocity, side_flows
from graphpde.ops.term import Term
from graphpde.typing import Scalar


class CellCorrection(Term):
    """What limited linear reconstruction adds to the upwind fluxes between cell averages."""

    def __init__(self, space: CellSpace, velocity: Velocity, bounds: Bounds | None = None, conditions: Any = None):
        super().__init__()
        self.domain: CellSpace = space
        self.velocity, self.bounds, self.conditions = velocity, bounds, conditions
        where, kind = space.device, space.dtype
        (there, here), row, cell = space.ends, space.to_cells.edge_map, space.sides.cell
        # edges come sorted by destination, so their own order is that of the edges of the space
        self._arrive = Relation.from_edges(row[there], cell[here], len(cell), space.n).to(where)
        self._sides = space.to_cells.to(where)
        with torch.enable_grad():
            flow = self._flows()
        self._flow = None if any(q.requires_grad for q in flow) else flow
        assert space.pos is not None
        reach = space.sides.centre - space.pos.to("cpu", torch.float64)[cell]
        self._reach = space.to_cells.own(reach).to(where, kind)
        self._patch, self._slopes = space.patch.to(where), space.patch_slopes.to(where, kind)
        self._inner = torch.empty_like(space.inner_side).index_copy(0, row, space.inner_side).to(where)
        if bounds is not None:
            self._inside = (space.from_boundary.degree == 0).to(where)
            arm = self._sides.collect((self._reach.detach() ** 2).sum(1, keepdim=True), "max")[:, 0]
            self._size = 4 * arm  # across the cell

    @property
    def label(self) -> str:
        return "limited reconstruction"

    def with_boundary(self, conditions: Any, factor: Scalar = 1.0) -> Term:
        return CellCorrection(self.domain, self.velocity, self.bounds, conditions)

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        """F(t, u): differences at the facets, as far as they stay within the bounds, carried downstream."""
        carried, out, _ = self._flowing(u)
        step = self._limited(t, u)
        return self._arrive.propagate(step, weight=carried) - self._sides.collect(out[:, None] * step)

    def facet_inflow(self, t: Tensor, u: Tensor) -> Tensor:
        """What it adds to what enters through each boundary facet [*, b, c], less where things flow out."""
        out = self._flowing(u)[1]
        row = self.domain.to_cells.edge_map[self.domain.boundary_sides].to(u.device)
        return -out[row, None] * self._limited(t, u)[..., row, :]

    def _limited(self, t: Tensor, u: Tensor) -> Tensor:
        """Differences to the average at each side, in the order of ``to_cells`` [*, s, c]."""
        sides, (carried, out, entering) = self._sides, self._flowing(u)
        gradient = self._gradient(u)
        d, channels = gradient.shape[-2:]
        seen = sides.gather_dst(gradient.flatten(-2)).unflatten(-1, (d, channels))
        step = (seen * self._reach.to(u.dtype)[:, :, None]).sum(-2)
        least, most = self._bounds(t, u, gradient)
        above, below, inner = most - u, u - least, self._inner[:, None]
        kept = torch.minimum(torch.maximum(step, -sides.gather_dst(below)), sides.gather_dst(above))
        step = torch.where(inner, kept, step)  # what leaves through the boundary reaches no other cell
        # what a step of half the positivity bound leaves to a cell after all that may arrive
        up, down, here = torch.relu(step), torch.relu(-step), sides.gather_dst(u)
        out = out[:, None]
        gains, loses = sides.collect(out * down), sides.collect(out * up)
        arrived = self._arrive.collect(carried[:, None])
        free = 2 * sides.collect(out) - entering[:, None]
        highest = self._arrive.propagate(here + up, weight=carried) - arrived * u
        lowest = self._arrive.propagate(here - down, weight=carried) - arrived * u
        rise = portion(torch.relu(free * above - highest) + loses, gains)
        fall = portion(torch.relu(free * below + lowest) + gains, loses)
        return up * sides.gather_dst(fall) - down * sides.gather_dst(rise)

    def _gradient(self, u: Tensor) -> Tensor:
        """Least-squares gradients [*, n, d, c]."""
        d = self._slopes.shape[1]
        return self._slope(u.repeat(*[1] * (u.dim() - 1), d)).unflatten(-1, (d, u.shape[-1]))

    def _slope(self, many: Tensor) -> Tensor:
        """Component k of the gradient of field k of d times c ones [*, n, d c]."""
        slopes = self._slopes.to(many.dtype)
        of_self = self._patch.collect(slopes).repeat_interleave(many.shape[-1] // slopes.shape[1], 1)
        return self._patch.propagate(many, weight=slopes) - of_self * many

    def _bounds(self, t: Tensor, u: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        least, most = neighbours(self._patch, u)
        if self.conditions is not None:
            least, most = self._with_given(t, u, least, most)
        if self.bounds is None:
            return least, most
        bend = self._slope(gradient.flatten(-2)).unflatten(-1, gradient.shape[-2:]).sum(-2)
        return widened(least, most, self._patch, bend * self._size.to(u.dtype)[:, None], self._inside, self.bounds)

    def _with_given(self, t: Tensor, u: Tensor, least: Tensor, most: Tensor) -> tuple[Tensor, Tensor]:
        """The bounds with the values held at the boundary among the neighbours."""
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

    def _flowing(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        carried, out, entering = self._flows() if self._flow is None else self._flow
        return carried.to(like), out.to(like), entering.to(like)

    def _flows(self) -> tuple[Tensor, Tensor, Tensor]:
        """What arrives by each edge [e], leaves by each side in the order of ``to_cells`` [s], enters at the boundary
        [n]."""
        space = self.domain
        flow = side_flows(space, self.velocity)
        weight, leaving = upwind_exchange(space, flow)
        there, _ = space.ends
        give = Relation.from_edges(torch.arange(len(there)), there, len(there), len(flow))
        out = give.collect(give.own(weight)[:, None])[:, 0].index_copy(0, space.boundary_sides, leaving)
        entering = space.from_boundary.propagate(torch.relu(-flow[space.boundary_sides])[:, None])[:, 0]
        where, kind = space.device, space.dtype
        return weight.to(where, kind), space.to_cells.own(out).to(where, kind), entering.to(where, kind)

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.velocity,) if isinstance(self.velocity, Tensor) else ()
