"""Equations to solve on a space with the conditions that belong to an exact solution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.manufactured.fields import Exact
from graphpde.core.linear_operator import Diagonal
from graphpde.dynamics import Heun, Stepper, evolve, steady
from graphpde.dynamics.evolve import longest_stable_step
from graphpde.mesh import Space
from graphpde.ops import Advection, Diffusion, Dirichlet, LinearTerm, Neumann, Robin, Source, Sum, System

Conditions = Callable[[Exact, Space], list[Any]]
Solve = Callable[[Space], Tensor]

_SIDES = {
    2: {"left": (0, -1), "right": (0, 1), "bottom": (1, -1), "top": (1, 1)},
    3: {"left": (0, -1), "right": (0, 1), "front": (1, -1), "back": (1, 1), "bottom": (2, -1), "top": (2, 1)},
}
_START = torch.zeros((), dtype=torch.float64)


# conditions


def everywhere(exact: Exact, space: Space) -> list[Any]:
    """Dirichlet values on the whole boundary."""
    return [Dirichlet("boundary", exact)]


def nowhere(exact: Exact, space: Space) -> list[Any]:
    """Insulated, or closed."""
    return []


def at_ends(exact: Exact, space: Space) -> list[Any]:
    """Dirichlet values on "left" and "right", insulated elsewhere."""
    return [Dirichlet("left", exact), Dirichlet("right", exact)]


def through_sides(exact: Exact, space: Space) -> list[Any]:
    """Neumann values on every side."""
    return [_flux(exact, side, axis, sign) for side, (axis, sign) in _SIDES[space.mesh.dim].items()]


def mixed(exact: Exact, space: Space) -> list[Any]:
    """Dirichlet values on "left" and "right", Neumann values on the other sides."""
    others = {side: way for side, way in _SIDES[space.mesh.dim].items() if side not in ("left", "right")}
    return at_ends(exact, space) + [_flux(exact, side, axis, sign) for side, (axis, sign) in others.items()]


def exchanged(exact: Exact, space: Space) -> list[Any]:
    """Robin values kappa du/dn + a u = g on every side, a different a on each."""
    out = []
    for k, (side, (axis, sign)) in enumerate(_SIDES[space.mesh.dim].items()):
        a = 0.5 + k
        out.append(
            Robin(side, a, lambda x, t, a=a, axis=axis, sign=sign: sign * exact.flux(x, t, axis) + a * exact(x, t))
        )
    return out


def above_and_below(exact: Exact, space: Space) -> list[Any]:
    """Dirichlet values on "bottom" and "top"; the other sides are periodic."""
    return [Dirichlet("bottom", exact), Dirichlet("top", exact)]


def _flux(exact: Exact, side: str, axis: int, sign: int) -> Neumann:
    return Neumann(side, lambda x, t: sign * exact.flux(x, t, axis))


# equations


def poisson(exact: Exact, conditions: Conditions, kappa: Any = None) -> Solve:
    """-div(kappa grad u) = f."""

    def solve(space: Space) -> Tensor:
        terms = Diffusion(space, exact.kappa if kappa is None else kappa) + Source(space, exact.source)
        return steady(Sum.of(terms, *conditions(exact, space)), torch.zeros(space.n, 1, dtype=torch.float64)).value

    return solve


def heat(
    exact: Exact, conditions: Conditions, stepper: Stepper, end: float, *, steps: int = 100, kappa: Any = None
) -> Solve:
    """u' = div(kappa grad u) + f until ``end``; explicit steppers take the longest stable step."""

    def solve(space: Space) -> Tensor:
        assert space.pos is not None
        terms = Sum.of(Diffusion(space, exact.kappa if kappa is None else kappa), *conditions(exact, space))
        if exact.driven:
            terms = terms + Source(space, exact.source)
        u0 = exact(space.pos, 0.0)[:, None]
        dt = longest_stable_step(System(terms, None, _START), stepper) or end / steps
        return evolve(terms, u0, [0.0, end], stepper=stepper, dt=dt).final

    return solve


class Screening(LinearTerm):
    """-u, which fixes the level of the solution on a closed surface."""

    def __init__(self, space: Space):
        super().__init__()
        self.domain = space

    @property
    def operator(self) -> Diagonal:
        assert self.domain is not None
        return Diagonal(-self.domain.measure)


def screened_poisson(exact: Exact) -> Solve:
    """u - div(kappa grad u) = f + u."""

    def solve(space: Space) -> Tensor:
        source = Source(space, lambda x, t: exact.source(x, t) + exact(x, t))
        terms = Diffusion(space, exact.kappa) + Screening(space) + source
        return steady(terms, torch.zeros(space.n, 1, dtype=torch.float64)).value

    return solve


def transport(exact: Any, inlet: Callable[[Tensor], Tensor], end: float) -> Solve:
    """u' + div(v u) = 0 with the exact values where it flows in."""

    def solve(space: Space) -> Tensor:
        assert space.pos is not None
        terms = Advection(space, exact.velocity(space.mesh.dim)) + Dirichlet(inlet, exact)
        dt = longest_stable_step(System(terms, None, _START), Heun())
        return evolve(terms, exact(space.pos, 0.0)[:, None], [0.0, end], stepper=Heun(), dt=dt).final

    return solve
