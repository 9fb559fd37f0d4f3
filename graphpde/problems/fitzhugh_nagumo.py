"""Waves in an excitable medium."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from graphpde.core.graph import Graph
from graphpde.formula import Formula
from graphpde.problems.pde import PDES, SPACE, Box, Coefficient, Plain, Value
from graphpde.problems.reaction_diffusion import ReactionDiffusion, diffusivities, scale, two_digits


@PDES.add("fitzhugh-nagumo")
class FitzHughNagumoProblem(ReactionDiffusion):
    """A pulse that is cut in half, so that its free end winds up to a spiral.

    The left half starts excited, the lower half tired: the front that moves right has an end in the middle. The default
    diffusivity of u makes the domain about 80 sqrt(kappa_u) long (a front is a few of these wide), that of w is zero.

    Reference: FitzHugh 1961, Biophys. J. 1; spirals so started in Winfree 1991, Chaos 1.
    """

    name, title = "fitzhugh-nagumo", "FitzHugh-Nagumo waves"
    equation = "du/dt = div(kappa_u grad u) + u - u^3/3 - w + current,  dw/dt = div(kappa_w grad w) + eps (u + a - b w)"
    fields = ("u", "w")
    units: ClassVar[Mapping[str, str]] = {"u": "1", "w": "1"}
    coefficients: ClassVar[Mapping[str, Coefficient]] = diffusivities("u", "w")
    reaction = "fitzhugh-nagumo"

    def default_coefficients(self, space: Graph) -> dict[str, Plain]:
        return {"kappa_u": two_digits(scale(space, 80, 0.6) ** 2), "kappa_w": 0.0}

    def default_initial(self, space: Graph, coefficients: Mapping[str, Plain], driven: bool) -> dict[str, Value]:
        rest = dict(zip(self.fields, self.rest, strict=True))
        box = Box.of(space)
        middle = [two_digits(v) for v in box.centre.tolist()]
        excited = Formula(f"2 if x < {middle[0]:g} else {rest['u']:.6g}", SPACE)
        tired = f"y < {middle[1]:g}" if len(middle) > 1 else "1 < 0"
        return {"u": excited, "w": Formula(f"{rest['w'] + 1:.6g} if {tired} else {rest['w']:.6g}", SPACE)}

    def duration(self, space: Graph, coefficients: Mapping[str, Plain]) -> float:
        return 200.0
