r"""What flows through named parts of the boundary, from the discrete equations themselves.

At a Dirichlet node the equation M u' = F(t, u) does not hold: what is missing, r_i = (M u')_i - F_i, is what the
boundary supplies to keep the prescribed value (the reaction). Its sum is the flow that conserves exactly; it is of
higher order than the normal derivative of the discrete solution and needs no gradient. Inflows and exchange laws
(Neumann, Robin) are read from their own loads, what advection carries out from \int (v.n)^+ u. Together

    d/dt \sum_i (M u)_i = flows through the boundary + sources

holds to rounding, which :attr:`Balance.defect` checks. On cell averages the flows are the fluxes of the scheme through
each facet, diffusive, carried and given, and the same balance holds. Flows are positive into the domain, in units of
u length^dim / time.

Reference: Hughes, Engel, Mazzei and Larson 2000, J. Comput. Phys. 163 (conservation by reactions).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.core.linear_operator import LinearOperator
from graphpde.errors import ConditionError, InputError
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.space import Space
from graphpde.ops.system import System
from graphpde.ops.term import times_mass
from graphpde.run.flux_parts import parts_on_cells, parts_on_space
from graphpde.run.flux_shares import Corners, Shares, facet_corners, group_shares


class Balance(NamedTuple):
    r"""Flows at one moment or over one step, positive into the domain.

    Attributes:
        through: through each named set [*, r, c]. elsewhere: through the rest of the boundary, and what holds Dirichlet
            nodes that lie on no facets [*, c]. total: all that enters from outside, no set counted twice [*, c].
        sources: what sources and reactions produce [*, c]. storage: d/dt of the content \sum_i (M u)_i [*, c].
        defect: storage - flows - sources [*, c], zero up to rounding and the tolerance of solvers.
        scale: what the sums are made of, \sum_i |(M u')_i| + |F_i| [*, c]: the defect is relative to it.
        rounding: what rounding alone may make of the defect, where large parts of F cancel in every node [*, c].
    """

    through: Tensor
    elsewhere: Tensor
    total: Tensor
    sources: Tensor
    storage: Tensor
    defect: Tensor
    scale: Tensor
    rounding: Tensor

    @property
    def error(self) -> Tensor:
        """The defect beyond rounding, relative to ``scale`` [*, c]."""
        beyond = (self.defect.abs() - self.rounding).clamp(min=0)
        return torch.where(beyond > 0, beyond / self.scale, beyond)


class Forces(NamedTuple):
    """F(t, u) and what of it loads, exchange and outflow bring in.

    Attributes:
        f: F [*, n, c]. regions: through each named set and through all of them together [*, r + 1, c].
        boundary: through the whole boundary [*, c]. sources: what is produced inside [*, c].
        parts: size of what F is the difference of [*, c].
    """

    f: Tensor
    regions: Tensor
    boundary: Tensor
    sources: Tensor
    parts: Tensor


class BoundaryFluxes:
    """Flows through named sets of boundary facets.

    Args:
        problem: a system, or terms and conditions on a space or a cell space.
        names: sets of facets, or "boundary"; None = every named set that lies on the boundary. They may overlap.
        t: a time at which the conditions can be evaluated, for checking them.

    Attributes:
        names: of the sets, in the order of ``through``.

    Raises:
        InputError: the problem lives neither on a Space nor on a CellSpace. UnknownName: no such set. ConditionError:
            it does not hold facets, or some that lie inside of the domain.
    """

    def __init__(self, problem: Any, names: Sequence[str] | None = None, *, t: float = 0.0):
        if not isinstance(problem, System):
            problem = System(problem, None, torch.tensor(t, dtype=torch.float64))
        self.system: System = problem
        if not isinstance(problem.domain, Space | CellSpace):
            raise InputError(
                f"flows through the boundary are measured on a Space or a CellSpace, the problem lives on "
                f"{problem.domain!r}; build its terms on a space"
            )
        self.space: Space | CellSpace = problem.domain
        self.names = tuple(boundary_sets(self.space) if names is None else names)
        self._ids = _boundary(self.space)
        rows = [self._facets_of(name) for name in self.names]
        named = torch.stack(rows) if rows else torch.zeros(0, len(self._ids), dtype=torch.bool)
        self._regions = torch.cat([named, named.any(0, keepdim=True)])  # the last row is what any of them holds
        parts = [*problem.linear, *problem.rates, *problem.weak]
        self._reactions: Shares | None = None
        if isinstance(self.space, Space):
            self._reactions, self._groups = self._reaction_shares(self.space)
            self._parts = parts_on_space(self.space, self._ids, self._regions, parts)
        else:
            self._parts = parts_on_cells(self.space, self._regions, parts)

    def _facets_of(self, name: str) -> Tensor:
        ids = self.space.facet_ids(name)
        inside = ~torch.isin(ids, self._ids)
        if bool(inside.any()):
            raise ConditionError(
                f"{int(inside.sum())} of {len(ids)} facets of '{name}' lie inside of '{self.space.mesh.name}'; "
                f"a flux is measured through its boundary, choose among {', '.join(boundary_sets(self.space))}"
            )
        return torch.isin(self._ids, ids)

    def _reaction_shares(self, space: Space) -> tuple[Shares, Tensor]:
        """Reactions -> groups of Dirichlet facets that lie in the same sets, and those groups -> regions [r + 1, g]."""
        corners, fixed, regions = facet_corners(space, self._ids), self.system.fixed, self._regions
        held = torch.zeros(len(self._ids), dtype=torch.int64)  # facet -> the condition that holds it, counted from 1
        for k, constraint in enumerate([] if fixed is None else fixed.constraints):
            mask = torch.zeros(space.n, dtype=torch.bool)
            mask[constraint.nodes.cpu()] = True
            loose = torch.zeros(len(self._ids), dtype=torch.bool)
            loose[corners.facet[~mask[corners.node]]] = True
            held[~loose] = k + 1
        signature = torch.cat([regions.to(torch.int64), held[None]])[:, held > 0]
        distinct, group = torch.unique(signature, dim=1, return_inverse=True)
        row = torch.full((len(self._ids),), -1, dtype=torch.int64)
        row[held > 0] = group
        pick = row[corners.facet] >= 0
        mine = Corners(*(part[pick] for part in corners))
        shares = group_shares(mine, row, distinct.shape[1], space.n, space.device)
        return shares, distinct[:-1].to(space.device)

    def forces(self, t: Tensor | float, u: Tensor) -> Forces:
        """F(t, u) and its parts for u [*, n, c]."""
        t = _moment(t, u)
        regions = u.new_zeros(*u.shape[:-2], len(self._regions), u.shape[-1])
        f = torch.zeros_like(u)
        boundary = sources = parts = torch.zeros_like(u[..., 0, :])
        for each in self._parts:
            part = each.term(t, u) * each.factor
            if each.term.domain is None:
                part = times_mass(self.system.mass, part)
            f, parts = f + part, parts + each.size(part, u)
            brought = each.brought(t, u, part)
            regions, boundary = regions + brought.regions, boundary + brought.boundary
            sources = sources + brought.sources
        return Forces(f, regions, boundary, sources, parts)

    def _balance(self, stored: Tensor, forces: Forces, size: Tensor) -> Balance:
        """From M u' [*, n, c], the size of what that is the difference of [*, c], and the forces."""
        residual, fixed = stored - forces.f, self.system.fixed
        regions, boundary = forces.regions, forces.boundary
        if fixed is not None:
            reaction = residual - fixed.clear(residual)
            if self._reactions is not None:  # cells that are held lie inside
                regions = regions + self._groups.to(reaction.dtype) @ self._reactions(reaction)
            boundary = boundary + reaction.sum(-2)
        storage = stored.sum(-2)
        scale = stored.abs().sum(-2) + forces.f.abs().sum(-2)
        defect = storage - boundary - forces.sources
        through, named = regions[..., :-1, :], regions[..., -1, :]
        rounding = 16 * torch.finfo(scale.dtype).eps * (forces.parts + size)
        return Balance(through, boundary - named, boundary, forces.sources, storage, defect, scale, rounding)

    def at(self, t: Tensor | float, u: Tensor, rate: Tensor | None = None) -> Balance:
        """The flows in the state u [*, n, c] at time t.

        Args:
            rate: u' [*, n, c] where it is known, zeros for a steady state; None = what the equations give.
        """
        return self.balance(t, u, self.forces(t, u), rate)

    def balance(self, t: Tensor | float, u: Tensor, forces: Forces, rate: Tensor | None = None) -> Balance:
        """The same from ``forces(t, u)``, for whoever needs both."""
        now, mass, fixed = _moment(t, u), self.system.mass, self.system.fixed
        if rate is not None:
            stored = times_mass(mass, rate)
        elif isinstance(mass, LinearOperator):
            stored = times_mass(mass, self.system.rate(now, u))
        elif fixed is None:
            stored = forces.f
        else:  # without coupling by the mass the equation of a free node is M u' = F
            held = fixed.put(torch.zeros_like(u), fixed.rate(now, u))
            stored = fixed.clear(forces.f) + times_mass(mass, held)
        return self._balance(stored, forces, stored.abs().sum(-2))

    def over_step(self, t: tuple[float, float], u: tuple[Tensor, Tensor], theta: float) -> Balance:
        """Mean flows over a step of M (v - u) = dt ((1 - theta) F(t, u) + theta F(t + dt, v)).

        dt times them is exactly what crossed the boundary in the step, as the method sees it.

        Args:
            t: its start and end. u: the states there. theta: 1 backward Euler, 1/2 Crank-Nicolson.
        """
        early, late = (self.forces(s, v) for s, v in zip(t, u, strict=True))
        return self.step_balance(t[1] - t[0], u, (early, late), theta)

    def step_balance(self, dt: float, u: tuple[Tensor, Tensor], forces: tuple[Forces, Forces], theta: float) -> Balance:
        """The same from the length of the step and the forces at both ends."""
        mean = forces[1]
        if theta != 1:
            mean = Forces(*((1 - theta) * a + theta * b for a, b in zip(*forces, strict=True)))
        mass = self.system.mass
        held = (times_mass(mass, u[0]).abs() + times_mass(mass, u[1]).abs()).sum(-2)
        return self._balance(times_mass(mass, (u[1] - u[0]) / dt), mean, held / dt)

    def content(self, u: Tensor) -> Tensor:
        r"""\sum_i (M u)_i [*, c], whose rate of change is ``storage``."""
        return times_mass(self.system.mass, u).sum(-2)


def _moment(t: Tensor | float, u: Tensor) -> Tensor:
    return torch.as_tensor(t, dtype=torch.float64, device=u.device)


def _boundary(space: Space | CellSpace) -> Tensor:
    """Facets that belong to one cell; periodic sides of a cell space are none."""
    return space.boundary_facets if isinstance(space, CellSpace) else space.mesh.boundary_facets


def boundary_flux(problem: Any, u: Tensor, name: str, *, t: float = 0.0, rate: Tensor | None = None) -> Tensor:
    """What flows into the domain through one named set of facets [*, c]; ``BoundaryFluxes`` for several at once.

    Args:
        problem: a system, or terms and conditions on a space. u: the state [*, n, c].
        rate: u' where it is known, ``torch.zeros_like(u)`` for a steady state; None = what the equations give.

    Raises:
        InputError, UnknownName, ConditionError: as :class:`BoundaryFluxes`.
    """
    return BoundaryFluxes(problem, [name], t=t).at(t, u, rate).through[..., 0, :]


def boundary_sets(space: Space | CellSpace) -> list[str]:
    """The named sets of facets that lie on the boundary, those of size zero left out."""
    mesh = space.mesh
    inner = torch.ones(len(mesh.facets.nodes), dtype=torch.bool)
    inner[_boundary(space)] = False
    return [
        name
        for name, tag in mesh.tags.items()
        if tag.dim == mesh.dim - 1 and len(tag.ids) and not bool(inner[tag.ids].any())
    ]
