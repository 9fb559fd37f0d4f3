"""Forms: reactions, waves of one frequency and of all, equations nonlinear in the state or its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.manufactured import meshes
from benchmarks.manufactured.cases import Case
from benchmarks.manufactured.derived import source_of
from benchmarks.manufactured.equations import Solve
from benchmarks.manufactured.families import Family
from benchmarks.manufactured.fronts import BurgersFront, FisherFront, PhaseFront, Scherk, Smooth, StandingMembrane
from graphpde.dynamics import CrankNicolson, Esdirk4, Leapfrog, Stepper, evolve, steady
from graphpde.mesh import P1, P2, Q1, Space
from graphpde.ops import (
    REACTIONS,
    AllenCahn,
    Burgers,
    Diffusion,
    Dirichlet,
    Helmholtz,
    MinimalSurface,
    NonlinearDiffusion,
    PLaplacian,
    PorousMedium,
    Reaction,
    ReactionForm,
    Source,
    Sum,
    Wave,
)

Terms = Callable[[Space], Any]
WAVE_NUMBER = 5.0


def rows() -> list[Case]:
    """The rows."""
    linear = Family("triangles", meshes.square, (1, 2, 3), P1())
    fine = Family("triangles", meshes.square, (2, 3, 4), P1())
    quads = Family("quadrilaterals", meshes.quads, (2, 3, 4), Q1())
    quadratic = Family("triangles P2", meshes.square, (1, 2, 3), P2())
    out = []
    for on in (fine, quads, quadratic):
        out += _steady(on)
    for on in (fine, quadratic):
        out += [*_reacting(on), *_waves(on)]
    return [*out, *_burgers(linear), *_burgers(quadratic)]


def at_rest(terms: Terms, exact: Any) -> Solve:
    """The steady state with the exact values on the boundary, from their harmonic or zero continuation."""

    def solve(space: Space) -> Tensor:
        start = torch.full((space.n, 1), float(getattr(exact, "level", 0.0)), dtype=torch.float64)
        return steady(Sum.of(terms(space), Dirichlet("boundary", exact)), start).value

    return solve


def moving(terms: Terms, exact: Any, stepper: Stepper, end: float, steps: int) -> Solve:
    """The state at ``end`` with the exact values on the boundary."""

    def solve(space: Space) -> Tensor:
        assert space.pos is not None
        both = Sum.of(terms(space), Dirichlet("boundary", exact))
        return evolve(both, exact(space.pos, 0.0)[:, None], [0.0, end], stepper=stepper, dt=end / steps).final

    return solve


def _steady(on: Family) -> list[Case]:
    gas, slope, wave = Smooth(2.0, 0.8), Smooth(0.0, 1.0, (0.7, 0.5)), Smooth()
    m, p, k = 3.0, 4.0, WAVE_NUMBER
    problems: dict[str, tuple[Any, Terms]] = {
        "-laplace(u^3) = f": (
            gas,
            lambda space: PorousMedium(space, m) + Source(space, source_of(gas, lambda u, g: m * u ** (m - 1) * g)),
        ),
        "-div(|grad u|^2 grad u) = f": (
            slope,
            lambda space: PLaplacian(space, p, slope=0.0) + Source(space, source_of(slope, lambda u, g: (g @ g) * g)),
        ),
        "-div((1 + u^2) grad u) = f": (
            wave,
            lambda space: NonlinearDiffusion(space) + Source(space, source_of(wave, lambda u, g: (1 + u * u) * g)),
        ),
        "minimal surface": (Scherk(), MinimalSurface),
        "-laplace u - 25 u = f": (
            wave,
            lambda space: Helmholtz(space, k) + Source(space, source_of(wave, lambda u, g: g, lambda u: k * k * u)),
        ),
    }
    more = {"order": on.order, "gradient": on.order - 1}
    return [
        on.row(name, "Dirichlet", "steady", at_rest(terms, exact), exact, **more)
        for name, (exact, terms) in problems.items()
    ]


def _reacting(on: Family) -> list[Case]:
    fisher, phases = FisherFront(), PhaseFront()
    logistic = REACTIONS["logistic"](fisher.rate)

    def at_nodes(space: Space) -> Any:
        return Diffusion(space, fisher.kappa) + Reaction(logistic)

    def at_points(space: Space) -> Any:
        return Diffusion(space, fisher.kappa) + ReactionForm(space, logistic)

    def energy(space: Space) -> Any:
        return AllenCahn(space, phases.kappa, phases.rate)

    end, steps = 0.3, 20
    stepper = Esdirk4()
    rows: dict[tuple[str, str], tuple[Any, Terms]] = {
        ("Fisher-KPP front", "implicit, reaction at nodes"): (fisher, at_nodes),
        ("Fisher-KPP front", "implicit, reaction integrated"): (fisher, at_points),
        ("Allen-Cahn front", "implicit, energy"): (phases, energy),
    }
    return [
        on.row(
            name, "Dirichlet in time", method, moving(terms, exact, stepper, end, steps), exact, end=end, order=on.order
        )
        for (name, method), (exact, terms) in rows.items()
    ]


def _burgers(on: Family) -> list[Case]:
    front = BurgersFront()

    def terms(space: Space) -> Any:
        return Burgers(space, front.nu, direction=front.direction)

    solve = moving(terms, front, Esdirk4(), 0.3, 10)
    return [on.row("Burgers front", "Dirichlet in time", "implicit", solve, front, end=0.3, order=on.order)]


def _waves(on: Family) -> list[Case]:
    membrane, end = StandingMembrane(), 0.35

    def swinging(stepper: Stepper, share: float) -> Solve:
        def solve(space: Space) -> Tensor:
            assert space.pos is not None
            term = Wave(space)
            u0 = torch.stack([membrane(space.pos, 0.0), torch.zeros(space.n, dtype=torch.float64)], 1)
            dt = share / float(term.frequency_bound() or 1.0)
            return evolve(term, u0, [0.0, end], stepper=stepper, dt=dt).final

        return solve

    out = [on.row("wave", "free", "implicit", swinging(CrankNicolson(), 1.0), membrane, end=end, order=on.order)]
    if on.order == 2:
        out.append(on.row("wave", "free", "leapfrog", swinging(Leapfrog(), 1.0), membrane, end=end))
    k = WAVE_NUMBER

    def leaving(x: Tensor, t: Any = 0.0) -> Tensor:
        return torch.stack([torch.cos(k * x[:, 0]), torch.sin(k * x[:, 0])], 1)

    def out_through_the_right(space: Space) -> Tensor:
        terms = Sum.of(Helmholtz(space, k, absorbing="right"), Dirichlet("left", leaving))
        # indefinite, which GMRES would not survive
        return steady(terms, torch.zeros(space.n, 2, dtype=torch.float64), method="direct").value

    out.append(
        on.row(
            "-laplace u - 25 u = 0",
            "wave in from the left, out to the right",
            "steady",
            out_through_the_right,
            lambda x, t: leaving(x)[:, 0],
            order=on.order,
            gradient=on.order - 1,
        )
    )
    return out
