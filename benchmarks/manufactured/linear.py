"""Linear elements: Poisson and heat under every boundary condition on every family of meshes, and upwind transport."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from benchmarks.manufactured import equations as eq
from benchmarks.manufactured import meshes
from benchmarks.manufactured.cases import Case
from benchmarks.manufactured.families import Family
from benchmarks.manufactured.fields import Anchored, DecayingWave, PlaneWave, Spherical, Standing, TwoMaterials
from benchmarks.manufactured.networks import ArmMode
from graphpde.mesh import Mesh


def _on_boxes(on: Family, split: Callable[[int], Mesh], *, solid: bool = False) -> list[Case]:
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
    patch = Family("part of a sphere", meshes.patch, (2, 3, 4))
    globe = Family("sphere", meshes.globe, (2, 3, 4))
    still, fading = Spherical(steady=True), Spherical()
    return [
        patch.steady("Dirichlet", still, eq.everywhere, gradient=None),
        globe.row("-div(grad u) + u = f", "closed", "steady", eq.screened_poisson(still), still),
        patch.implicit("Dirichlet in time", fading, eq.everywhere, 0.1, 100),
        globe.implicit("closed", fading, eq.nowhere, 0.1, 100),
        patch.explicit("Dirichlet in time", fading, eq.everywhere, 0.05),
        globe.explicit("closed", fading, eq.nowhere, 0.05),
    ]


def _on_lines() -> list[Case]:
    line, tripod = Family("interval", meshes.line, (3, 4, 5)), Family("network", meshes.tripod, (4, 5, 6))
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
        Family("interval", meshes.line, (6, 7, 8)).upwind(west, 0.3),
        Family("triangles", meshes.coarse_square, (4, 5, 6)).upwind(south_west, 0.3),
        Family("quadrilaterals", meshes.quads, (3, 4, 5)).upwind(south_west, 0.3),
    ]


def rows() -> list[Case]:
    """The rows."""
    return [
        *_on_boxes(Family("triangles", meshes.square, (2, 3, 4)), meshes.halves),
        *_on_boxes(Family("quadrilaterals", meshes.quads, (2, 3, 4)), meshes.half_quads),
        *_on_boxes(Family("tetrahedra", meshes.cube, (1, 2, 3)), meshes.half_cubes, solid=True),
        *_on_surfaces(),
        *_on_lines(),
        *_upwind(),
    ]
