"""Cell averages, and transport by every scheme on elements and on cell averages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.manufactured import equations as eq
from benchmarks.manufactured import meshes
from benchmarks.manufactured.cases import Case
from benchmarks.manufactured.families import Family
from benchmarks.manufactured.fields import PlaneWave, Travelling, TwoMaterials
from graphpde.dynamics import CrankNicolson, Heun, Rk4, Stepper, evolve
from graphpde.dynamics.evolve import longest_stable_step
from graphpde.mesh import P1, P2, Q1, Mesh, mesh_size
from graphpde.ops import Advection, CentredAdvection, Dirichlet, LimitedAdvection, StreamlineUpwind, Sum, System

END = 0.3
_START = torch.zeros((), dtype=torch.float64)
Levels = tuple[int, ...]


def rows() -> list[Case]:
    """The rows."""
    return [*_averages(), *_transport()]


def _averages() -> list[Case]:
    """Diffusion between cell averages: order 2 in the averages on meshes that are not orthogonal anywhere."""
    still, moving = PlaneWave(), PlaneWave(speed=3.0)
    kinds: dict[str, tuple[Callable[[int], Mesh], Levels]] = {
        "triangles": (meshes.square, (2, 3, 4)),
        "quadrilaterals": (meshes.quads, (2, 3, 4)),
        "triangles and quadrilaterals": (meshes.mixed, (2, 3, 4)),
        "tetrahedra": (meshes.cube, (0, 1, 2)),
        "hexahedra": (meshes.solids("hexahedron"), (1, 2, 3)),
        "hexahedra, wedges, pyramids and tetrahedra": (meshes.solids("mixed", (4, 3, 3)), (0, 1, 2)),
        "interval": (meshes.line, (3, 4, 5)),
    }
    out = []
    for name, (mesh, levels) in kinds.items():
        on = Family(f"{name}, cell averages", mesh, levels)
        more = {"averages": True, "gradient": None}
        sides = eq.everywhere if name == "interval" else eq.mixed
        out.append(
            on.steady("Dirichlet" if name == "interval" else "mixed Dirichlet and Neumann", still, sides, **more)
        )
        if name in ("triangles", "quadrilaterals"):
            split = meshes.halves if name == "triangles" else meshes.half_quads
            fine = Family(on.cells, split, (3, 4, 5))
            out += [
                on.steady("Robin", still, eq.exchanged, **more),
                fine.steady("two materials", TwoMaterials(), eq.at_ends, TwoMaterials.by_set, **more),
                on.implicit("mixed in time", moving, eq.mixed, 0.1, 100, averages=True),
            ]
    return out


def _transport() -> list[Case]:
    line, triangles, quads = (meshes.line, (4, 5, 6)), (meshes.coarse_square, (3, 4, 5)), (meshes.quads, (3, 4, 5))
    out = []
    for name, (mesh, levels), element in (
        ("interval", line, P1()),
        ("triangles", triangles, P1()),
        ("quadrilaterals", quads, Q1()),
    ):
        on, cells = Family(name, mesh, levels, element), Family(f"{name}, cell averages", mesh, levels)
        averages = {"averages": True}
        for family, more in ((on, {}), (cells, averages)):
            out += [
                _row(family, "limited", LimitedAdvection, Heun(), 0.5, tolerance=0.1, **more),
                _row(family, "limited, loose bounds given", _within_bounds, Heun(), 0.5, tolerance=0.1, **more),
                _row(
                    family,
                    "limited, no extremum",
                    LimitedAdvection,
                    Heun(),
                    0.5,
                    exact=Travelling(0.3),
                    tolerance=0.1,
                    **more,
                ),
            ]
        out += [
            _row(on, "streamline upwind", StreamlineUpwind, CrankNicolson(), None, tolerance=0.1),
            _row(on, "centred", CentredAdvection, CrankNicolson(), None, lumped=False),
            _row(cells, "upwind", Advection, Heun(), 1.0, order=1.0, **averages),
            _row(cells, "centred", CentredAdvection, Rk4(), 0.5, **averages),
        ]
    for name, cell, element in (("equal triangles", "triangle", P1()), ("equal squares", "quad", Q1())):
        on = Family(name, meshes.equal(cell), (2, 3, 4), element)
        out.append(_row(on, "centred", CentredAdvection, CrankNicolson(), None, lumped=False))
    quadratic = Family("triangles P2", meshes.square, (2, 3, 4), P2())
    return [*out, _row(quadratic, "centred", CentredAdvection, CrankNicolson(), None, order=2.0)]


def _within_bounds(space: Any, velocity: Tensor) -> LimitedAdvection:
    """Twice the amplitude of the wave: bounds that it keeps away from."""
    return LimitedAdvection(space, velocity, bounds=(-2.0, 2.0))


def _row(on: Family, method: str, scheme: Any, stepper: Stepper, share: float | None, **more: Any) -> Case:
    exact = more.pop("exact", Travelling())
    return on.row("advection", "inflow given", method, _carried(scheme, exact, stepper, share), exact, end=END, **more)


def _carried(scheme: Any, exact: Travelling, stepper: Stepper, share: float | None) -> eq.Solve:
    """The state at the end, with ``share`` of the longest stable step, or without one steps of h / 4."""

    def solve(space: Any) -> Tensor:
        sides = ("left",) if space.mesh.dim == 1 else ("left", "bottom")
        terms = Sum.of(scheme(space, exact.velocity(space.mesh.dim)), *(Dirichlet(side, exact) for side in sides))
        system = System(terms, None, _START)
        dt = mesh_size(space.mesh) / 4 if share is None else share * (longest_stable_step(system, stepper) or 1.0)
        return evolve(terms, exact(space.pos, 0.0)[:, None], [0.0, END], stepper=stepper, dt=dt).final

    return solve
