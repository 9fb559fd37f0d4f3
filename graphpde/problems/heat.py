"""The heat equation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from graphpde.core.graph import Graph
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.space import Space
from graphpde.ops.diffusion import Diffusion
from graphpde.ops.term import Sum
from graphpde.problems.pde import PDES, Box, Coefficient, Pde, Plain, diffusion_time
from graphpde.problems.values import conductivity, typical


@PDES.add("heat")
class Heat(Pde):
    """du/dt = div(kappa grad u) + f, starting from zero unless an initial value is given.

    Where materials are given it is rho c du/dt = div(k grad u) + f, in SI units: u in K, f in W/m^3, inflows in W/m^2.

    Backward Euler by default: the usual first run switches a boundary value on at t = 0, and a method that does not
    damp (Crank-Nicolson) answers such a jump with ringing that looks like a bug. Whoever has smooth data asks for
    crank_nicolson. The run takes 0.2 length^2 / kappa: heat has then crossed most of the longest side.
    """

    name, title = "heat", "Heat equation"
    equation = "du/dt = div(kappa grad u) + f"
    units: ClassVar[Mapping[str, str]] = {"u": "1"}
    coefficients: ClassVar[Mapping[str, Coefficient]] = {"kappa": Coefficient("thermal diffusivity", "length^2/time")}
    conducts = True
    with_materials = "rho c du/dt = div(k grad u) + f"

    def default_coefficients(self, space: Graph) -> dict[str, Plain]:
        return {"kappa": 1.0}

    def terms(self, space: Graph, coefficients: Mapping[str, Plain]) -> Sum:
        return Sum.of(Diffusion(space, conductivity(space, coefficients["kappa"])))

    def duration(self, space: Graph, coefficients: Mapping[str, Plain]) -> float:
        kappa = typical(space, coefficients["kappa"])
        if isinstance(space, Space | CellSpace) and space.density is not None:
            kappa /= float(space.density.mean())
        return diffusion_time(Box.of(space).length, kappa, 0.2)

    def range_kept(self, low: float, high: float, coefficients: Mapping[str, Plain]) -> tuple[float, float] | None:
        return low, high
