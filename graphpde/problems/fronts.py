"""One species with fronts: phases that separate, a population that spreads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from graphpde.core.graph import Graph
from graphpde.formula import Formula
from graphpde.problems.pde import (
    PDES,
    SPACE,
    Box,
    Coefficient,
    Plain,
    Value,
    nearest_node,
    rounded_down,
    setting_scale,
    squared_distance,
)
from graphpde.problems.reaction_diffusion import ReactionDiffusion, scale, two_digits
from graphpde.problems.values import typical


@PDES.add("allen-cahn")
class AllenCahnProblem(ReactionDiffusion):
    """A mixture that separates into the phases -1 and 1, whose interfaces then shrink by their curvature.

    The default diffusivity makes the width sqrt(kappa / rate) of an interface a hundredth of the domain, but no
    narrower than the mesh resolves.

    Reference: Allen and Cahn 1979, Acta Metallurgica 27.
    """

    name, title = "allen-cahn", "Allen-Cahn phase separation"
    equation = "du/dt = div(kappa grad u) + rate (u - u^3)"
    units: ClassVar[Mapping[str, str]] = {"u": "1"}
    coefficients: ClassVar[Mapping[str, Coefficient]] = {
        "kappa": Coefficient("diffusivity; sqrt(kappa / rate) is the width of an interface", "length^2/time")
    }
    noise = 0.1
    reaction = "allen-cahn"

    def default_coefficients(self, space: Graph) -> dict[str, Plain]:
        return {"kappa": two_digits(_rate(self.kinetics) * scale(space, 100, 0.8) ** 2)}

    def duration(self, space: Graph, coefficients: Mapping[str, Plain]) -> float:
        return rounded_down(60 / _rate(self.kinetics))

    def range_kept(self, low: float, high: float, coefficients: Mapping[str, Plain]) -> tuple[float, float] | None:
        return low, high


@PDES.add("fisher-kpp")
class FisherKppProblem(ReactionDiffusion):
    """A population that grows where it is and spreads: fronts with the speed 2 sqrt(kappa rate).

    It starts from a settlement at a corner of the domain. The default diffusivity makes the domain about 60 times
    sqrt(kappa / rate) long; the run ends when the front has crossed 0.6 of the longest side.

    Reference: Fisher 1937, Annals of Eugenics 7; Kolmogorov, Petrovsky and Piskunov 1937.
    """

    name, title = "fisher-kpp", "Fisher-KPP population front"
    equation = "du/dt = div(kappa grad u) + rate u (1 - u/capacity)"
    units: ClassVar[Mapping[str, str]] = {"u": "1"}
    coefficients: ClassVar[Mapping[str, Coefficient]] = {"kappa": Coefficient("diffusivity", "length^2/time")}
    reaction = "logistic"
    balanced = True

    def default_coefficients(self, space: Graph) -> dict[str, Plain]:
        return {"kappa": two_digits(_rate(self.kinetics) * scale(space, 60, 0.8) ** 2)}

    def default_initial(self, space: Graph, coefficients: Mapping[str, Plain], driven: bool) -> dict[str, Value]:
        if driven:
            return {"u": 0.0}
        box = Box.of(space)
        near = squared_distance(nearest_node(space, box.low), box.length)
        width = float(f"{(0.05 * box.length) ** 2:.3g}")
        return {"u": Formula(f"exp(-({near}) / {width:g})", SPACE)}

    def duration(self, space: Graph, coefficients: Mapping[str, Plain]) -> float:
        speed = 2 * (typical(space, coefficients["kappa"]) * _rate(self.kinetics)) ** 0.5
        return rounded_down(0.6 * Box.of(space).length / setting_scale(speed, "a front with kappa or rate 0"))

    def range_kept(self, low: float, high: float, coefficients: Mapping[str, Plain]) -> tuple[float, float] | None:
        return low, high


def _rate(kinetics: object) -> float:
    """The rate of the reaction that belongs to the problem; 1 for any other."""
    value = getattr(kinetics, "rate", 1.0)
    return float(value) if isinstance(value, float | int) else 1.0
