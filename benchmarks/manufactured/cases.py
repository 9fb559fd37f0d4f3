"""The rows of the table of orders: one problem, one boundary condition, one method, one family of meshes each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.manufactured import meshes
from benchmarks.manufactured.fields import Anchored, DecayingWave, Exact, PlaneWave, Spherical, Standing, TwoMaterials
from benchmarks.manufactured.networks import ArmMode
from graphpde.core.linear_operator import Diagonal
from graphpde.dynamics import CrankNicolson, Heun, Rk4, Stepper, evolve, steady
from graphpde.dynamics.evolve import longest_stable_step
from graphpde.mesh import Mesh, Space
from graphpde.mesh.elements import Element
from graphpde.ops import Advection, Diffusion, Dirichlet, LinearTerm, Neumann, Source, Sum, System

_SIDES = {
    2: {"left": (0, -1), "right": (0, 1), "bottom": (1, -1), "top": (1, 1)},
    3: {"left": (0, -1), "right": (0, 1), "front": (1, -1), "back": (1, 1), "bottom": (2, -1), "top": (2, 1)},
}
_VELOCITY = (1.0, 0.6)


@dataclass(frozen=True)
class Level:
    """One mesh of a case: number of unknowns and of cells, and the L2 error there."""

    unknowns: int
    cells: int
    error: float


@dataclass(frozen=True)
class Case:
    """One row.

    Attributes:
        name: of the row. cells, boundary, method: what the table says.
        mesh: refinement level -> mesh. levels: the levels that are run.
        solve: space -> final state [n, 1]. exact: points [k, d] -> final values [k].
        order: of the L2 error that theory promises.
    """

    name: str
    cells: str
    boundary: str
    method: str
    mesh: Callable[[int], Mesh]
    levels: tuple[int, ...]
    solve: Callable[[Space], Tensor]
    exact: Callable[[Tensor], Tensor]
    order: float = 2.0
    lumped: bool | None = None


def run(case: Case, levels: tuple[int, ...] | None = None, element: Element | None = None) -> list[Level]:
    """The case on each of its levels."""
    out = []
    for level in levels or case.levels:
        space = Space(case.mesh(level), element, lumped=case.lumped)
        out.append(Level(space.n, space.mesh.n_cells, l2_error(space, case.solve(space), case.exact)))
    return out


def observed_orders(errors: list[float]) -> list[float]:
    """Order at each halving of h."""
    return [math.log2(a / b) for a, b in zip(errors[:-1], errors[1:])]


def l2_error(space: Space, u: Tensor, exact: Callable[[Tensor], Tensor]) -> float:
    """L2 norm of u_h - u by a quadrature of degree 5, far beyond the degree of the element."""
    total = 0.0
    for block in space.blocks(5):
        approximate = torch.einsum("qk,mk->mq", block.values, u[:, 0][block.dofs])
        difference = approximate - exact(block.points.flatten(0, 1)).reshape(approximate.shape)
        total += float((block.volume * difference**2).sum())
    return math.sqrt(total)


# conditions


def everywhere(exact: Exact) -> Callable[[Space], list[Any]]:
    """Dirichlet values on the whole boundary."""
    return lambda space: [Dirichlet("boundary", exact)]


def nothing(space: Space) -> list[Any]:
    """Insulated, or closed."""
    return []


def flux_through(exact: Exact, *, held: tuple[str, ...] = ()) -> Callable[[Space], list[Any]]:
    """Neumann values on every side but those ``held`` by Dirichlet values."""

    def conditions(space: Space) -> list[Any]:
        out: list[Any] = [Dirichlet(side, exact) for side in held]
        for side, (axis, sign) in _SIDES[space.mesh.dim].items():
            if side not in held:
                out.append(Neumann(side, lambda x, t, a=axis, s=sign: s * exact.flux(x, t, a)))
        return out

    return conditions


def at_ends(exact: Exact) -> Callable[[Space], list[Any]]:
    """Dirichlet values on "left" and "right", insulated elsewhere."""
    return lambda space: [Dirichlet("left", exact), Dirichlet("right", exact)]


# equations


def poisson(exact: Exact, conditions: Callable[[Space], list[Any]], kappa: Any = None) -> Callable[[Space], Tensor]:
    """-div(kappa grad u) = f."""

    def solve(space: Space) -> Tensor:
        terms = Sum.of(Diffusion(space, exact.kappa if kappa is None else kappa), Source(space, exact.source))
        return steady(Sum.of(terms, *conditions(space)), torch.zeros(space.n, 1, dtype=torch.float64)).value

    return solve


def heat(
    exact: Exact,
    conditions: Callable[[Space], list[Any]],
    stepper: Stepper,
    end: float,
    *,
    steps: int = 100,
    kappa: Any = None,
    driven: bool = False,
) -> Callable[[Space], Tensor]:
    """u' = div(kappa grad u) + f until ``end``; explicit steppers take the longest stable step."""

    def solve(space: Space) -> Tensor:
        assert space.pos is not None
        terms = Sum.of(Diffusion(space, exact.kappa if kappa is None else kappa), *conditions(space))
        if driven:
            terms = terms + Source(space, exact.source)
        u0 = exact(space.pos, 0.0)[:, None]
        dt = end / steps
        if not stepper.implicit:
            dt = longest_stable_step(System(terms, None, torch.zeros((), dtype=torch.float64)), stepper) or dt
        return evolve(terms, u0, [0.0, end], stepper=stepper, dt=dt).final

    return solve


class _Screening(LinearTerm):
    """-u, which fixes the level of the solution on a closed surface."""

    def __init__(self, space: Space):
        super().__init__()
        self.domain = space

    @property
    def operator(self) -> Diagonal:
        assert self.domain is not None
        return Diagonal(-self.domain.measure)


def _screened(exact: Exact) -> Callable[[Space], Tensor]:
    def solve(space: Space) -> Tensor:
        source = Source(space, lambda x, t: exact.source(x, t) + exact(x, t))
        terms = Diffusion(space, exact.kappa) + _Screening(space) + source
        return steady(terms, torch.zeros(space.n, 1, dtype=torch.float64)).value

    return solve


def _travelling(x: Tensor, t: Tensor | float) -> Tensor:
    """u = sin(a . (x - v t) + p)."""
    waves = torch.tensor((2.1, 1.3)[: x.shape[1]], dtype=x.dtype)
    speed = float(waves @ torch.tensor(_VELOCITY[: x.shape[1]], dtype=x.dtype))
    return torch.sin(x @ waves + 0.4 - speed * t)


def transport(inlet: Callable[[Tensor], Tensor], end: float) -> Callable[[Space], Tensor]:
    """u' + div(v u) = 0 with the exact values where it flows in."""

    def solve(space: Space) -> Tensor:
        assert space.pos is not None
        v = torch.tensor(_VELOCITY[: space.mesh.dim], dtype=torch.float64)
        terms = Advection(space, v) + Dirichlet(inlet, _travelling)
        dt = longest_stable_step(System(terms, None, torch.zeros((), dtype=torch.float64)), Heun())
        return evolve(terms, _travelling(space.pos, 0.0)[:, None], [0.0, end], stepper=Heun(), dt=dt).final

    return solve


def _final(exact: Exact, end: float = 0.0) -> Callable[[Tensor], Tensor]:
    return lambda x: exact(x, end)


_FAMILIES = {
    "triangles": (meshes.square, meshes.halves, (2, 3, 4)),
    "quadrilaterals": (meshes.quads, meshes.half_quads, (2, 3, 4)),
    "tetrahedra": (meshes.cube, meshes.half_cubes, (1, 2, 3)),
}
_TWO = {"left_half": TwoMaterials.materials[0], "right_half": TwoMaterials.materials[1]}


def _on_family(cells: str) -> list[Case]:
    """Poisson and heat under every boundary condition on one family of meshes."""
    mesh, split, levels = _FAMILIES[cells]
    solid = cells == "tetrahedra"
    end, soon, steps = (0.05, 0.01, 25) if solid else (0.1, 0.02, 100)
    free, many = (0.02, 80) if solid else (0.1, 400)  # the standing wave decays fast: its steps must be short
    still, moving, fading, box, fixed = PlaneWave(), PlaneWave(speed=3.0), DecayingWave(), Standing(), Anchored()
    two, cooling = TwoMaterials(), TwoMaterials(decay=2.0)
    held = ("left", "right")

    def row(equation: str, boundary: str, method: str, solve: Any, exact: Any, on: Any = mesh, **more: Any) -> Case:
        return Case(
            f"{equation}, {cells}, {boundary}, {method}", cells, boundary, method, on, levels, solve, exact, **more
        )

    def implicit(exact: Exact, conditions: Any, **more: Any) -> Callable[[Space], Tensor]:
        return heat(exact, conditions, CrankNicolson(), end, steps=steps, **more)

    def explicit(exact: Exact, conditions: Any, **more: Any) -> Callable[[Space], Tensor]:
        return heat(exact, conditions, Rk4(), soon, **more)

    sink, flux, mixed = everywhere, flux_through, lambda e: flux_through(e, held=held)
    return [
        row("Poisson", "Dirichlet", "steady", poisson(still, sink(still)), _final(still)),
        row("Poisson", "mixed Dirichlet and Neumann", "steady", poisson(still, mixed(still)), _final(still)),
        row("Poisson", "two materials", "steady", poisson(two, at_ends(two), _TWO), _final(two), split),
        row("heat", "Dirichlet in time", "implicit", implicit(moving, sink(moving), driven=True), _final(moving, end)),
        row("heat", "Neumann in time", "implicit", implicit(moving, flux(moving), driven=True), _final(moving, end)),
        row("heat", "mixed in time", "implicit", implicit(moving, mixed(moving), driven=True), _final(moving, end)),
        row("heat", "Dirichlet fixed", "implicit", implicit(fixed, sink(fixed), driven=True), _final(fixed, end)),
        row("heat", "insulated", "implicit", heat(box, nothing, CrankNicolson(), free, steps=many), _final(box, free)),
        row("heat", "insulated", "implicit, consistent mass", heat(box, nothing, CrankNicolson(), free, steps=many), _final(box, free), lumped=False),
        row("heat", "two materials", "implicit", implicit(cooling, at_ends(cooling), kappa=_TWO, driven=True), _final(cooling, end), split),
        row("heat", "Dirichlet in time", "explicit", explicit(fading, sink(fading)), _final(fading, soon)),
        row("heat", "Neumann in time", "explicit", explicit(fading, flux(fading)), _final(fading, soon)),
        row("heat", "mixed in time", "explicit", explicit(fading, mixed(fading)), _final(fading, soon)),
        row("heat", "insulated", "explicit", explicit(box, nothing), _final(box, soon)),
    ]  # fmt: skip


def _surfaces() -> list[Case]:
    steady_field, fading, end, soon = Spherical(steady=True), Spherical(), 0.1, 0.05
    levels = (2, 3, 4)

    def row(equation: str, boundary: str, method: str, mesh: Any, solve: Any, exact: Any) -> Case:
        name = f"{equation}, sphere, {boundary}, {method}"
        return Case(name, "surface triangles", boundary, method, mesh, levels, solve, exact)

    ring = everywhere(fading)
    return [
        row("Poisson", "Dirichlet", "steady", meshes.patch, poisson(steady_field, everywhere(steady_field)), _final(steady_field)),
        row("-Laplace(u) + u = f", "closed", "steady", meshes.globe, _screened(steady_field), _final(steady_field)),
        row("heat", "Dirichlet in time", "implicit", meshes.patch, heat(fading, ring, CrankNicolson(), end), _final(fading, end)),
        row("heat", "closed", "implicit", meshes.globe, heat(fading, nothing, CrankNicolson(), end), _final(fading, end)),
        row("heat", "Dirichlet in time", "explicit", meshes.patch, heat(fading, ring, Rk4(), soon), _final(fading, soon)),
        row("heat", "closed", "explicit", meshes.globe, heat(fading, nothing, Rk4(), soon), _final(fading, soon)),
    ]  # fmt: skip


def _lines() -> list[Case]:
    mode, moving, end = ArmMode(), PlaneWave(speed=3.0), 0.1
    junction = "Kirchhoff at the junction, 0 at the ends"

    def row(name: str, cells: str, boundary: str, method: str, mesh: Any, levels: Any, solve: Any, exact: Any) -> Case:
        return Case(f"{name}, {cells}, {boundary}, {method}", cells, boundary, method, mesh, levels, solve, exact)

    arms = mode.conductivities
    still, fixed = PlaneWave(), Anchored()
    return [
        row("Poisson", "interval", "Dirichlet", "steady", meshes.line, (3, 4, 5),
            poisson(still, everywhere(still)), _final(still)),
        row("heat", "interval", "Dirichlet fixed", "implicit", meshes.line, (3, 4, 5),
            heat(fixed, everywhere(fixed), CrankNicolson(), end, driven=True, steps=400), _final(fixed, end)),
        row("heat", "interval", "Dirichlet in time", "implicit", meshes.line, (3, 4, 5),
            heat(moving, everywhere(moving), CrankNicolson(), end, driven=True, steps=400), _final(moving, end)),
        row("heat", "network", junction, "implicit", meshes.tripod, (4, 5, 6),
            heat(mode, everywhere(mode), CrankNicolson(), end, kappa=arms, steps=400), _final(mode, end)),
        row("heat", "network", junction, "explicit", meshes.tripod, (4, 5, 6),
            heat(mode, everywhere(mode), Rk4(), end, kappa=arms), _final(mode, end)),
    ]  # fmt: skip


def _upwind() -> list[Case]:
    end = 0.3

    def row(cells: str, mesh: Any, levels: tuple[int, ...], inlet: Any) -> Case:
        name = f"advection, {cells}, inflow given, explicit"
        exact = lambda x: _travelling(x, end)  # noqa: E731
        return Case(name, cells, "inflow given", "explicit", mesh, levels, transport(inlet, end), exact, 1.0)

    def west(x: Tensor) -> Tensor:
        return x[:, 0] == 0

    def south_west(x: Tensor) -> Tensor:
        return (x[:, 0] == 0) | (x[:, 1] == 0)

    return [
        row("interval", meshes.line, (6, 7, 8), west),
        row("triangles", meshes.coarse_square, (4, 5, 6), south_west),
        row("quadrilaterals", meshes.quads, (3, 4, 5), south_west),
    ]


CASES: dict[str, Case] = {
    case.name: case
    for case in [*(row for cells in _FAMILIES for row in _on_family(cells)), *_surfaces(), *_lines(), *_upwind()]
}
