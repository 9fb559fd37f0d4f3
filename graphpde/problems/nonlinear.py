"""Nonlinear diffusion: gas in a porous medium, and conductivity that is a power of the slope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from graphpde.core.graph import Graph
from graphpde.ops.forms import PLaplacian, PorousMedium
from graphpde.ops.term import Sum
from graphpde.problems.pde import PDES, Box, Coefficient, Pde, Plain, Value, rounded_down, setting_scale
from graphpde.problems.shapes import bump
from graphpde.problems.values import conductivity, typical


@PDES.add("porous-medium")
class PorousMediumProblem(Pde):
    """Gas that seeps into an empty porous medium: its front moves at finite speed.

    It starts from a mound of height 1 and a seventh of the domain's length in radius unless something drives it; a run
    takes 0.1 length^2 / m, in which the mound spreads over much of the domain.

    Reference: Vazquez 2007, The Porous Medium Equation.
    """

    name, title = "porous-medium", "Porous medium equation"
    equation = "du/dt = laplace(|u|^(exponent-1) u) + f"
    units: ClassVar[Mapping[str, str]] = {"u": "1"}
    continuous = True
    coefficients: ClassVar[Mapping[str, Coefficient]] = {"exponent": Coefficient("m >= 1", "1", "number", 1.0)}

    def default_coefficients(self, space: Graph) -> dict[str, Plain]:
        return {"exponent": 2.0}

    def default_initial(self, space: Graph, coefficients: Mapping[str, Plain], driven: bool) -> dict[str, Value]:
        return {"u": 0.0 if driven else bump(space, 0.15, "mound")}

    def terms(self, space: Graph, coefficients: Mapping[str, Plain]) -> Sum:
        return Sum.of(PorousMedium(space, coefficients["exponent"]))

    def duration(self, space: Graph, coefficients: Mapping[str, Plain]) -> float:
        return rounded_down(0.1 * Box.of(space).length ** 2 / coefficients["exponent"])

    def range_kept(self, low: float, high: float, coefficients: Mapping[str, Plain]) -> tuple[float, float] | None:
        return low, high


@PDES.add("p-laplacian")
class PLaplacianProblem(Pde):
    """Diffusion whose conductivity is a power of the slope: sand piles (p large), glaciers (4/3), pictures (near 1).

    It starts from a mound of height 1 unless something drives it. A run takes 0.02 length^2 over the conductivity at
    the slope 2 / length.

    Reference: Lindqvist 2006, Notes on the p-Laplace equation.
    """

    name, title = "p-laplacian", "p-Laplacian"
    equation = "du/dt = div(kappa (slope^2 + |grad u|^2)^((exponent-2)/2) grad u) + f"
    units: ClassVar[Mapping[str, str]] = {"u": "1"}
    continuous = True
    coefficients: ClassVar[Mapping[str, Coefficient]] = {
        "exponent": Coefficient("p > 1", "1", "number", 1.0),
        "kappa": Coefficient("factor", "length^p/time"),
        "slope": Coefficient("slope below which it is linear", "u/length", "number", 0.0),
    }

    def default_coefficients(self, space: Graph) -> dict[str, Plain]:
        return {"exponent": 4.0, "kappa": 1.0, "slope": float(f"{1e-2 / Box.of(space).length:.2g}")}

    def default_initial(self, space: Graph, coefficients: Mapping[str, Plain], driven: bool) -> dict[str, Value]:
        return {"u": 0.0 if driven else bump(space, 0.25, "mound")}

    def terms(self, space: Graph, coefficients: Mapping[str, Plain]) -> Sum:
        kappa = conductivity(space, coefficients["kappa"])
        return Sum.of(PLaplacian(space, coefficients["exponent"], kappa, slope=coefficients["slope"]))

    def duration(self, space: Graph, coefficients: Mapping[str, Plain]) -> float:
        p, length = coefficients["exponent"], Box.of(space).length
        kappa = typical(space, coefficients["kappa"]) * (2 / length) ** (p - 2)
        return rounded_down(0.02 * length**2 / setting_scale(kappa, f"kappa = {kappa:g}"))

    def range_kept(self, low: float, high: float, coefficients: Mapping[str, Plain]) -> tuple[float, float] | None:
        return low, high
