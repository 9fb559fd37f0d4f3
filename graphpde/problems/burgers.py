"""Burgers' equation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from graphpde.core.graph import Graph
from graphpde.formula import Formula
from graphpde.ops.forms import Burgers
from graphpde.ops.term import Sum
from graphpde.problems.pde import PDES, SPACE, Box, Coefficient, Pde, Plain, Value, rounded_down, spacing
from graphpde.problems.reaction_diffusion import scale, two_digits
from graphpde.problems.values import conductivity


@PDES.add("burgers")
class BurgersProblem(Pde):
    """A velocity along x that carries itself: a wave steepens into a front of width nu / u.

    It starts from a wave of height 1, a fifth of the domain from its left end, unless something drives it; the default
    viscosity gives fronts that the mesh resolves. A run takes the time in which the speed 1 crosses 0.8 of the domain.

    Reference: Burgers 1948, A mathematical model illustrating the theory of turbulence.
    """

    name, title = "burgers", "Burgers equation"
    equation = "du/dt + d(u^2/2)/dx = div(nu grad u) + f"
    units: ClassVar[Mapping[str, str]] = {"u": "m/s"}
    coefficients: ClassVar[Mapping[str, Coefficient]] = {"nu": Coefficient("viscosity", "length^2/time")}
    continuous = True
    stepper = "crank_nicolson"

    def default_coefficients(self, space: Graph) -> dict[str, Plain]:
        return {"nu": two_digits(0.35 * scale(space, 500, 1))}

    def default_initial(self, space: Graph, coefficients: Mapping[str, Plain], driven: bool) -> dict[str, Value]:
        box = Box.of(space)
        place, width = float(box.low[0]) + 0.2 * box.length, float(f"{(0.08 * box.length) ** 2:.3g}")
        return {"u": 0.0 if driven else Formula(f"exp(-(x - {two_digits(place):g})**2 / {width:g})", SPACE)}

    def terms(self, space: Graph, coefficients: Mapping[str, Plain]) -> Sum:
        return Sum.of(Burgers(space, conductivity(space, coefficients["nu"], "nu")))

    def duration(self, space: Graph, coefficients: Mapping[str, Plain]) -> float:
        return rounded_down(0.8 * Box.of(space).length)

    def range_kept(self, low: float, high: float, coefficients: Mapping[str, Plain]) -> tuple[float, float] | None:
        return min(low, 0.0), max(high, 0.0)  # nothing flows in through an end without a value

    def range_remedy(self, space: Graph, coefficients: Mapping[str, Plain]) -> str:
        return (
            f"the nodes, about {spacing(space):.2g} apart, do not resolve fronts of width nu / |u|: take a finer mesh "
            "or more viscosity (coefficients.nu); what runs into an end without a value piles up there"
        )
