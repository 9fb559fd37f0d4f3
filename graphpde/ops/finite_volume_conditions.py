"""Conditions on cell averages: what holds on boundary facets, handed to every term that has fluxes through them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from graphpde.core.linear_operator import Diagonal
from graphpde.core.relation import Relation
from graphpde.errors import ConditionError
from graphpde.mesh.cell_space import CellSpace
from graphpde.ops.boundary import Dirichlet, Neumann, Placed, Robin, without_effect
from graphpde.ops.facet_flow import FacetFlow, Flow, own_flow
from graphpde.ops.term import LinearTerm, Term
from graphpde.ops.values import evaluate, is_constant, require_finite, spread
from graphpde.typing import Field, Scalar


class FacetConditions:
    """What holds on the boundary facets b of a cell space, numbered as in ``space.boundary_facets``.

    Attributes:
        held: facets with a given value u, bool [b]; every other one has a given inflow, 0 where nothing is said.
        exchange: a of inflow = g - a u [b, 1 or c], or None.
        flux: whether any condition speaks of a flux. values: places where a value is held.
    """

    def __init__(self, space: CellSpace, conditions: Sequence[Placed], t: Tensor):
        self.space = space
        count = len(space.boundary_facets)
        self.held = torch.zeros(count, dtype=torch.bool)
        values = sorted((c for c in conditions if isinstance(c, Dirichlet)), key=lambda c: c.override)
        self._values = [_OnFacets(space, c, c.value, f"Dirichlet value on {c.place}") for c in values]
        for part in self._values:
            self.held[part.rows] = True
        self._inflows = [_inflow(space, c) for c in conditions if isinstance(c, Neumann | Robin)]
        robin = [
            _OnFacets(space, c, c.a, f"exchange coefficient on {c.place}") for c in conditions if isinstance(c, Robin)
        ]
        self.exchange = self._exchange(robin, t) if robin else None
        self.flux = bool(self._inflows)
        self.values = tuple(c.place for c in values)
        self._refuse_clashes(t)
        for part in (*self._values, *self._inflows):
            require_finite(part.at(t).detach(), f"{part.what} at t={float(t):.6g}")

    def given(self, t: Tensor) -> Tensor:
        """The value where one is held, the inflow g elsewhere, at time t [b, 1 or c]."""
        out = torch.zeros(len(self.held), 1, dtype=torch.float64)
        for part in self._values:
            out = part.put(out, part.at(t), add=False)
        for part in self._inflows:
            free = ~self.held[part.rows, None]
            v = part.at(t)
            out = part.put(out, v * free.to(v.dtype), add=True)
        return out

    def tensors(self) -> tuple[Tensor, ...]:
        """Tensors given as values."""
        found = [part.value for part in (*self._values, *self._inflows) if isinstance(part.value, Tensor)]
        return tuple(found) if self.exchange is None else (*found, self.exchange)

    def _exchange(self, robin: Sequence[_OnFacets], t: Tensor) -> Tensor:
        out = torch.zeros(len(self.held), 1, dtype=torch.float64)
        for part in robin:
            a = require_finite(part.at(t), part.what)
            if callable(part.value) and not torch.equal(a, part.at(t + 1)):
                raise ConditionError(f"{part.what} changes in time, expected one constant in time; put the time into g")
            if bool((a.detach() < 0).any()):
                raise ConditionError(f"{part.what} is {float(a.detach().min()):g} somewhere, expected a >= 0")
            out = part.put(out, a, add=True)
        return out

    def _refuse_clashes(self, t: Tensor) -> None:
        for flux in self._inflows:
            for value in self._values:
                if bool(torch.isin(flux.rows, value.rows).all()):
                    raise without_effect(value.condition, flux.condition)
        for i, a in enumerate(self._values):
            for b in self._values[i + 1 :]:
                shared = a.rows[torch.isin(a.rows, b.rows)]
                if (b.condition.override and not a.condition.override) or not len(shared):
                    continue
                va, vb = a.on(shared, t), b.on(shared, t)
                differ = ((va - vb).abs() > 1e-9 * (1 + va.abs())).any(1)
                if bool(differ.any()):
                    facet = int(self.space.boundary_facets[shared[differ][0]])
                    raise ConditionError(
                        f"Dirichlet on {a.condition.place} and Dirichlet on {b.condition.place} clash on "
                        f"{int(differ.sum())} shared facets, first facet {facet}; set override=True on the one that "
                        f"wins (--override NAME)"
                    )


class _OnFacets:
    """One condition and its value on the boundary facets it names."""

    def __init__(self, space: CellSpace, condition: Any, value: Field, what: str):
        mesh = space.mesh
        facets = space.facet_ids(condition.where)
        row = torch.full((len(mesh.facets.nodes),), -1)
        row[space.boundary_facets] = torch.arange(len(space.boundary_facets))
        self.rows = row[facets]
        inside = int((self.rows < 0).sum())
        if inside:
            raise ConditionError(
                f"{inside} of {len(facets)} facets of {condition.place} lie inside '{mesh.name}'; a condition on cell "
                f"averages acts through the boundary (give a set of cells to hold the values in them)"
            )
        self.condition, self.value, self.what = condition, value, what
        self._points = space.sides.centre[space.boundary_sides[self.rows]]
        now = torch.zeros((), dtype=torch.float64)
        self._kept = evaluate(value, self._points, now, what) if is_constant(value) else None

    def at(self, t: Tensor) -> Tensor:
        """The value at the facets [k, 1 or c]."""
        return evaluate(self.value, self._points, t, self.what) if self._kept is None else self._kept

    def on(self, rows: Tensor, t: Tensor) -> Tensor:
        """The value at some of the facets."""
        order = torch.argsort(self.rows)
        return self.at(t)[order[torch.searchsorted(self.rows[order], rows)]].detach()

    def put(self, out: Tensor, v: Tensor, *, add: bool) -> Tensor:
        channels = max(out.shape[1], v.shape[1])
        out, v = out.expand(-1, channels), v.expand(-1, channels).to(out.dtype)
        return out.index_copy(0, self.rows, out[self.rows] + v if add else v)


def _inflow(space: CellSpace, condition: Neumann | Robin) -> _OnFacets:
    value = condition.inflow if isinstance(condition, Neumann) else condition.g
    return _OnFacets(space, condition, value, f"inflow on {condition.place}")


class CellFluxes(LinearTerm):
    """Fluxes of cell averages with their boundary values put in: L u + B g(t), g given on the boundary facets.

    Args:
        space: where. operator: L. to_cells: boundary facets -> cells. weight: the entries of B in its own order [e] or
            [e, c]. conditions: what gives g; None = zero. label: for messages.
        flow: what of it goes through which facet.
    """

    def __init__(
        self,
        space: CellSpace,
        operator: Any,
        to_cells: Relation,
        weight: Tensor,
        conditions: FacetConditions | None,
        label: str,
        flow: Flow,
    ):
        super().__init__()
        self.domain, self._operator, self._label = space, operator, label
        self.to_cells, self.weight, self.conditions, self._flow = to_cells, weight, conditions, flow

    @property
    def label(self) -> str:
        return self._label

    @property
    def operator(self) -> Any:
        return self._operator

    def load(self, t: Tensor, like: Tensor) -> Tensor | None:
        if self.conditions is None:
            return None
        given = self.conditions.given(t.to("cpu")).to(self.weight)
        b = self.to_cells.propagate(_spread_to(given, self.weight), weight=self.weight)
        return spread(b, like, f"the boundary values of {self.label}")

    def facet_inflow(self, t: Tensor, u: Tensor) -> Tensor:
        """What enters through each boundary facet [*, b, c], t 0-d, u [*, n, c]; the rest of F sums to zero."""
        return self._through(u, None if self.conditions is None else self.conditions.given(t.to("cpu")))

    @cached_property
    def _through(self) -> FacetFlow:
        return self._flow()

    def tensors(self) -> tuple[Tensor, ...]:
        own = (*self._operator.tensors(), self.weight)
        return own if self.conditions is None else (*own, *self.conditions.tensors())


def _spread_to(given: Tensor, weight: Tensor) -> Tensor:
    channels = weight.shape[1] if weight.dim() == 2 else 1
    return given.expand(-1, channels) if given.shape[1] == 1 else given


def split(conditions: Sequence[Any], domain: Any) -> tuple[list[Any], list[Placed]]:
    """Conditions that bind to nodes, and those that act through the boundary facets of a cell space.

    On cell averages a Dirichlet condition on a set of cells holds the averages there; every other one is at facets.
    """
    nodes: list[Any] = []
    facets: list[Placed] = []
    for condition in conditions:
        if not (isinstance(domain, CellSpace) and isinstance(condition, Placed)):
            nodes.append(condition)
        elif isinstance(condition, Dirichlet) and isinstance(condition.where, str | int):
            on_cells = domain.mesh.tag(condition.where).dim == domain.mesh.dim
            (nodes if on_cells else facets).append(condition)
        else:
            facets.append(condition)
    return nodes, facets


def through_facets(
    parts: Sequence[tuple[Scalar, Term]], conditions: Sequence[Placed], space: CellSpace, t: Tensor
) -> list[tuple[Scalar, Term]]:
    """The terms with what ``conditions`` say about the boundary facets of ``space`` put in.

    Values reach every term with fluxes. A flux condition speaks of the whole flux: in each channel it reaches the one
    term that diffuses, with its factor; where nothing diffuses, what it brings in is a load of its own.

    Raises:
        ConditionError: values beside terms that have no fluxes through the boundary, flux conditions beside two terms
            that diffuse one channel, or conditions that do not fit the mesh.
    """
    facets = FacetConditions(space, conditions, t)
    acts = {k: _acts(factor) for k, (factor, term) in enumerate(parts) if term.carries_flux}
    acts = {k: active for k, active in acts.items() if bool(active.any())}
    diffusing = sum((active.long() for active in acts.values()), torch.zeros(1, dtype=torch.long))
    if facets.flux and bool((diffusing > 1).any()):
        names = " and ".join(parts[k][1].label for k in list(acts)[:2])
        raise ConditionError(
            f"an inflow is the flux of all diffusion together, and {len(acts)} terms diffuse ({names}); build one "
            f"Diffusion with the sum of their conductivities"
        )
    out: list[tuple[Scalar, Term]] = []
    for k, (factor, term) in enumerate(parts):
        out.append((factor, term.with_boundary(facets, factor if k in acts else 1.0)))
    if facets.values and all(new is old for (_, new), (_, old) in zip(out, parts, strict=True)):
        names = " + ".join(term.label for _, term in parts) or "nothing"
        raise ConditionError(
            f"the value on {facets.values[0]} would act through the facets of a CellSpace, and {names} has no fluxes "
            f"there; add a Diffusion or an Advection, or build the terms on a Space"
        )
    still = diffusing == 0
    if facets.flux and bool(still.any()):
        share = 1.0 if bool(still.all()) else still.to(space.device, space.dtype)
        out.append((share, _without_diffusion(space, facets)))
    return out


def _without_diffusion(space: CellSpace, facets: FacetConditions) -> CellFluxes:
    """Inflows A (g - a u) with u the average of the cell at the facet."""
    side = space.boundary_sides
    to_cells = Relation.from_edges(torch.arange(len(side)), space.sides.cell[side], len(side), space.n)
    area = space.sides.area[side] * ~facets.held
    lost = torch.zeros_like(area)[:, None] if facets.exchange is None else area[:, None] * facets.exchange
    operator = Diagonal(-to_cells.collect(to_cells.own(lost))).to(space.device, space.dtype)
    weight = to_cells.own(area).to(space.device, space.dtype)
    flow = partial(own_flow, space, lost, area[:, None].expand_as(lost))
    return CellFluxes(space, operator, to_cells.to(space.device), weight, facets, "inflow", flow)


def _acts(factor: Scalar) -> Tensor:
    """Which channels a factor does not remove, bool [1 or c]."""
    return (torch.as_tensor(factor).detach().cpu() != 0).reshape(-1)
