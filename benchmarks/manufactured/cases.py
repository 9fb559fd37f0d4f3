"""The rows of the table of orders: one problem, one boundary condition, one method, one family of meshes each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from benchmarks.manufactured import equations as eq
from benchmarks.manufactured import meshes
from benchmarks.manufactured.fields import (
    Anchored,
    DecayingWave,
    Exact,
    PlaneWave,
    Spherical,
    Standing,
    Travelling,
    TwoMaterials,
)
from benchmarks.manufactured.networks import ArmMode
from graphpde.dynamics import CrankNicolson, Rk4
from graphpde.mesh import Mesh, Space
from graphpde.mesh.elements import Element


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
        equation, cells, boundary, method: what the table says; together they name the row.
        mesh: refinement level -> mesh. levels: the levels that are run.
        solve: space -> final state [n, 1]. exact: the solution, taken at time ``end``.
        order: of the L2 error that theory promises. lumped: the mass; None = the element's own choice.
    """

    equation: str
    cells: str
    boundary: str
    method: str
    mesh: Callable[[int], Mesh]
    levels: tuple[int, ...]
    solve: eq.Solve
    exact: Callable[[Tensor, float], Tensor]
    end: float = 0.0
    order: float = 2.0
    lumped: bool | None = None

    @property
    def name(self) -> str:
        return f"{self.equation}, {self.cells}, {self.boundary}, {self.method}"


def run(case: Case, levels: tuple[int, ...] | None = None, element: Element | None = None) -> list[Level]:
    """The case on each of its levels."""
    out = []
    for level in levels or case.levels:
        space = Space(case.mesh(level), element, lumped=case.lumped)
        error = l2_error(space, case.solve(space), lambda x: case.exact(x, case.end))
        out.append(Level(space.n, space.mesh.n_cells, error))
    return out


def observed_orders(errors: list[float]) -> list[float]:
    """Order at each halving of h."""
    return [math.log2(a / b) for a, b in pairwise(errors)]


def l2_error(space: Space, u: Tensor, exact: Callable[[Tensor], Tensor]) -> float:
    """L2 norm of u_h - u by a quadrature of degree 5, far beyond the degree of the element."""
    total = 0.0
    for block in space.blocks(5):
        approximate = torch.einsum("qk,mk->mq", block.values, u[:, 0][block.dofs])
        difference = approximate - exact(block.points.flatten(0, 1)).reshape(approximate.shape)
        total += float((block.volume * difference**2).sum())
    return math.sqrt(total)


class _Family:
    """Rows on one family of meshes."""

    def __init__(self, cells: str, mesh: Callable[[int], Mesh], levels: tuple[int, ...]):
        self.cells, self.mesh, self.levels = cells, mesh, levels

    def row(self, equation: str, boundary: str, method: str, solve: eq.Solve, exact: Any, **more: Any) -> Case:
        mesh = more.pop("mesh", self.mesh)
        return Case(equation, self.cells, boundary, method, mesh, self.levels, solve, exact, **more)

    def steady(self, boundary: str, exact: Exact, conditions: eq.Conditions, kappa: Any = None, **more: Any) -> Case:
        return self.row("Poisson", boundary, "steady", eq.poisson(exact, conditions, kappa), exact, **more)

    def implicit(
        self,
        boundary: str,
        exact: Exact,
        conditions: eq.Conditions,
        end: float,
        steps: int,
        kappa: Any = None,
        **more: Any,
    ) -> Case:
        method = "implicit" if more.get("lumped") is None else "implicit, consistent mass"
        solve = eq.heat(exact, conditions, CrankNicolson(), end, steps=steps, kappa=kappa)
        return self.row("heat", boundary, method, solve, exact, end=end, **more)

    def explicit(
        self, boundary: str, exact: Exact, conditions: eq.Conditions, end: float, kappa: Any = None, **more: Any
    ) -> Case:
        solve = eq.heat(exact, conditions, Rk4(), end, kappa=kappa)
        return self.row("heat", boundary, "explicit", solve, exact, end=end, **more)

    def upwind(self, inlet: Callable[[Tensor], Tensor], end: float) -> Case:
        exact = Travelling()
        solve = eq.transport(exact, inlet, end)
        return self.row("advection", "inflow given", "explicit", solve, exact, end=end, order=1.0)


def _on_boxes(on: _Family, split: Callable[[int], Mesh], *, solid: bool = False) -> list[Case]:
    """Poisson and heat under every boundary condition; ``split`` has meshes that fit two materials."""
    end, soon, steps = (0.05, 0.01, 25) if solid else (0.1, 0.02, 100)
    free, many = (0.02, 80) if solid else (0.1, 400)  # the standing wave decays fast: its steps must be short
    still, moving, fading, box = PlaneWave(), PlaneWave(speed=3.0), DecayingWave(), Standing()
    two = {"kappa": TwoMaterials.by_set, "mesh": split}
    return [
        on.steady("Dirichlet", still, eq.everywhere),
        on.steady("mixed Dirichlet and Neumann", still, eq.mixed),
        on.steady("two materials", TwoMaterials(), eq.at_ends, **two),
        on.implicit("Dirichlet fixed", Anchored(), eq.everywhere, end, steps),
        on.implicit("Dirichlet in time", moving, eq.everywhere, end, steps),
        on.implicit("Neumann in time", moving, eq.through_sides, end, steps),
        on.implicit("mixed in time", moving, eq.mixed, end, steps),
        on.implicit("insulated", box, eq.nowhere, free, many),
        on.implicit("insulated", box, eq.nowhere, free, many, lumped=False),
        on.implicit("two materials", TwoMaterials(decay=2.0), eq.at_ends, end, steps, **two),
        on.explicit("Dirichlet in time", fading, eq.everywhere, soon),
        on.explicit("Neumann in time", fading, eq.through_sides, soon),
        on.explicit("mixed in time", fading, eq.mixed, soon),
        on.explicit("insulated", box, eq.nowhere, soon),
    ]


def _on_surfaces() -> list[Case]:
    patch = _Family("part of a sphere", meshes.patch, (2, 3, 4))
    globe = _Family("sphere", meshes.globe, (2, 3, 4))
    still, fading = Spherical(steady=True), Spherical()
    return [
        patch.steady("Dirichlet", still, eq.everywhere),
        globe.row("-div(grad u) + u = f", "closed", "steady", eq.screened_poisson(still), still),
        patch.implicit("Dirichlet in time", fading, eq.everywhere, 0.1, 100),
        globe.implicit("closed", fading, eq.nowhere, 0.1, 100),
        patch.explicit("Dirichlet in time", fading, eq.everywhere, 0.05),
        globe.explicit("closed", fading, eq.nowhere, 0.05),
    ]


def _on_lines() -> list[Case]:
    line, tripod = _Family("interval", meshes.line, (3, 4, 5)), _Family("network", meshes.tripod, (4, 5, 6))
    mode, junction = ArmMode(), "Kirchhoff at the junction, 0 at the ends"
    return [
        line.steady("Dirichlet", PlaneWave(), eq.everywhere),
        line.implicit("Dirichlet fixed", Anchored(), eq.everywhere, 0.1, 400),
        line.implicit("Dirichlet in time", PlaneWave(speed=3.0), eq.everywhere, 0.1, 400),
        tripod.implicit(junction, mode, eq.everywhere, 0.1, 400, kappa=mode.by_set),
        tripod.explicit(junction, mode, eq.everywhere, 0.02, kappa=mode.by_set),
    ]


def _upwind() -> list[Case]:
    def west(x: Tensor) -> Tensor:
        return x[:, 0] == 0

    def south_west(x: Tensor) -> Tensor:
        return (x[:, 0] == 0) | (x[:, 1] == 0)

    return [
        _Family("interval", meshes.line, (6, 7, 8)).upwind(west, 0.3),
        _Family("triangles", meshes.coarse_square, (4, 5, 6)).upwind(south_west, 0.3),
        _Family("quadrilaterals", meshes.quads, (3, 4, 5)).upwind(south_west, 0.3),
    ]


CASES: dict[str, Case] = {
    case.name: case
    for case in [
        *_on_boxes(_Family("triangles", meshes.square, (2, 3, 4)), meshes.halves),
        *_on_boxes(_Family("quadrilaterals", meshes.quads, (2, 3, 4)), meshes.half_quads),
        *_on_boxes(_Family("tetrahedra", meshes.cube, (1, 2, 3)), meshes.half_cubes, solid=True),
        *_on_surfaces(),
        *_on_lines(),
        *_upwind(),
    ]
}
