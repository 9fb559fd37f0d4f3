"""Poisson's equation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from graphpde.core.graph import Graph
from graphpde.ops.diffusion import Diffusion
from graphpde.ops.term import Sum
from graphpde.problems.pde import PDES, Coefficient, Pde, Plain
from graphpde.problems.values import conductivity


@PDES.add("poisson")
class Poisson(Pde):
    """-div(kappa grad u) = f with f = 0 unless a source is given (then it is Laplace's equation).

    It has no time: one solve. Some part of every connected component needs a value.
    """

    name, title = "poisson", "Poisson equation"
    equation = "-div(kappa grad u) = f"
    units: ClassVar[Mapping[str, str]] = {"u": "1"}
    coefficients: ClassVar[Mapping[str, Coefficient]] = {"kappa": Coefficient("conductivity", "length^2/time")}
    stationary = True
    conducts = True
    with_materials = "-div(k grad u) = f"

    def default_coefficients(self, space: Graph) -> dict[str, Plain]:
        return {"kappa": 1.0}

    def terms(self, space: Graph, coefficients: Mapping[str, Plain]) -> Sum:
        return Sum.of(Diffusion(space, conductivity(space, coefficients["kappa"])))

    def range_kept(self, low: float, high: float, coefficients: Mapping[str, Plain]) -> tuple[float, float] | None:
        return low, high
