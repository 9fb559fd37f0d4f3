"""Every element on every kind of cell it knows, with flat and curved sides, under the conditions beside Dirichlet."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.manufactured import equations as eq
from benchmarks.manufactured import meshes
from benchmarks.manufactured.cases import Case
from benchmarks.manufactured.derived import source_of
from benchmarks.manufactured.families import Family
from benchmarks.manufactured.fields import Anchored, PlaneWave, Spherical, Standing
from benchmarks.manufactured.fronts import Round, Smooth
from graphpde.dynamics import steady
from graphpde.mesh import P1, P2, Q1, Q2, Space, jittered, rectangle, refine
from graphpde.ops import Diffusion, Dirichlet, Robin, Source, Sum
from graphpde.ops.forms import ReactionForm

ROUND = (("left", "right"),)
ANISOTROPIC = ((2.0, 0.7), (0.7, 0.8))


def rows() -> list[Case]:
    """The rows."""
    return [*_quadratic(), *_solids(), *_curved(), *_conditions()]


def _quadratic() -> list[Case]:
    triangles = Family("triangles P2", meshes.square, (1, 2, 3), P2())
    quads = Family("quadrilaterals Q2", meshes.quads, (1, 2, 3), Q2())
    mixed = Family("triangles and quadrilaterals Q2", meshes.mixed, (1, 2, 3), Q2())
    line = Family("interval P2", meshes.line, (2, 3, 4), P2())
    still, moving = PlaneWave(), PlaneWave(speed=3.0)
    out = []
    for on in (triangles, quads):
        out += [
            on.steady("Dirichlet", still, eq.everywhere),
            on.steady("mixed Dirichlet and Neumann", still, eq.mixed),
            on.steady("Robin", still, eq.exchanged),
            on.implicit("mixed in time", moving, eq.mixed, 0.1, 400),
            on.implicit("insulated", Standing(), eq.nowhere, 0.05, 800),
        ]
    return [
        *out,
        mixed.steady("mixed Dirichlet and Neumann", still, eq.mixed),
        line.steady("Dirichlet", still, eq.everywhere),
        line.implicit("Dirichlet fixed", Anchored(), eq.everywhere, 0.1, 800),
    ]


def _solids() -> list[Case]:
    still = PlaneWave()
    first = {
        "hexahedra": meshes.solids("hexahedron"),
        "wedges": meshes.solids("wedge"),
        "pyramids": meshes.pyramids,
        "hexahedra, wedges, pyramids and tetrahedra": meshes.solids("mixed", (4, 3, 3)),
    }
    second = {"hexahedra": meshes.solids("hexahedron", (2, 2, 2)), "wedges": meshes.solids("wedge", (2, 2, 2))}
    out = [
        Family("triangles and quadrilaterals", meshes.mixed, (2, 3, 4), Q1()).steady(
            "mixed Dirichlet and Neumann", still, eq.mixed
        )
    ]
    for name, mesh in first.items():
        out.append(Family(name, mesh, (1, 2, 3), Q1()).steady("mixed Dirichlet and Neumann", still, eq.mixed))
    children = Family(
        "pyramids refined into pyramids and tetrahedra", meshes.solids("pyramid", (2, 2, 2)), (2, 3, 4), Q1()
    )
    out.append(children.steady("mixed Dirichlet and Neumann", still, eq.mixed))
    hexahedra = Family("hexahedra", first["hexahedra"], (1, 2, 3), Q1())
    out.append(hexahedra.implicit("mixed in time", PlaneWave(speed=3.0), eq.mixed, 0.05, 25))
    out.append(hexahedra.steady("Robin", still, eq.exchanged))
    for name, mesh in second.items():
        out.append(Family(f"{name} Q2", mesh, (0, 1, 2), Q2()).steady("mixed Dirichlet and Neumann", still, eq.mixed))
    tetrahedra = Family("tetrahedra P2", meshes.cube, (0, 1, 2), P2())
    return [*out, tetrahedra.steady("mixed Dirichlet and Neumann", still, eq.mixed)]


def _curved() -> list[Case]:
    disk = Family("disk with curved sides P2", meshes.curved_disk, (1, 2, 3), P2())
    globe = Family("sphere with curved sides P2", meshes.curved_globe, (1, 2, 3), P2())
    still, fading = Spherical(steady=True), Spherical()
    screened = globe.row("-div(grad u) + u = f", "closed", "steady", screened_poisson(still), still, order=3.0)
    return [
        disk.steady("Dirichlet", PlaneWave(), eq.everywhere),
        disk.steady("Robin", PlaneWave(), _exchanged_on_the_circle),
        screened,
        globe.implicit("closed", fading, eq.nowhere, 0.1, 200),
    ]


def _exchanged_on_the_circle(exact: Any, space: Space) -> list[Any]:
    def g(x: Tensor, t: Tensor) -> Tensor:
        out = x / torch.linalg.vector_norm(x, dim=1, keepdim=True)
        return out[:, 0] * exact.flux(x, t, 0) + out[:, 1] * exact.flux(x, t, 1) + 1.5 * exact(x, t)

    return [Robin("outer", 1.5, g)]


def screened_poisson(exact: Any) -> eq.Solve:
    """u - div(kappa grad u) = f + u with the reaction at the quadrature points, as P2 needs."""

    def solve(space: Space) -> Tensor:
        source = Source(space, lambda x, t: exact.source(x, t) + exact(x, t))
        terms = Sum.of(Diffusion(space, exact.kappa), ReactionForm(space), source)
        return steady(terms, torch.zeros(space.n, 1, dtype=torch.float64)).value

    return solve


def _conditions() -> list[Case]:
    """Robin, periodic sides and tensors on linear and quadratic elements."""
    kinds = [
        ("triangles", meshes.square, (2, 3, 4), P1()),
        ("quadrilaterals", meshes.quads, (2, 3, 4), Q1()),
        ("triangles P2", meshes.square, (1, 2, 3), P2()),
    ]
    still, ring = PlaneWave(), Round()
    out = []
    for name, mesh, levels, element in kinds:
        on, about = Family(name, mesh, levels, element), {"periodic": ROUND}
        if element.degree == 1:
            out.append(on.steady("Robin", still, eq.exchanged))
        around = Family(name, _matching(element), levels, element)
        out.append(around.steady("periodic", ring, eq.above_and_below, **about))
        out.append(
            around.implicit(
                "periodic", Round(decay=2.0), eq.above_and_below, 0.1, 100 if element.degree == 1 else 400, **about
            )
        )
        wave = Smooth()
        more = {"order": element.order, "gradient": element.order - 1}
        out.append(on.row("Poisson", "Dirichlet, tensor conductivity", "steady", _anisotropic(wave), wave, **more))
    return out


def _matching(element: Any) -> Any:
    """Random meshes whose left and right sides have points at the same heights."""
    cells = "quad" if isinstance(element, Q1) else "triangle"
    return lambda level: refine(jittered(rectangle(4, 4, cells=cells), 0.2, seed=meshes.SEED), level)


def _anisotropic(exact: Any) -> eq.Solve:
    tensor = torch.tensor(ANISOTROPIC, dtype=torch.float64)
    f = source_of(exact, lambda u, g: tensor @ g)

    def solve(space: Space) -> Tensor:
        terms = Sum.of(Diffusion(space, tensor[None]), Source(space, f), Dirichlet("boundary", exact))
        return steady(terms, torch.zeros(space.n, 1, dtype=torch.float64)).value

    return solve
