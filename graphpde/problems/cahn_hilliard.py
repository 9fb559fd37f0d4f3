"""Mixtures that separate and keep what they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.errors import ConfigError
from graphpde.mesh.space import Space
from graphpde.ops.forms import CahnHilliard
from graphpde.ops.term import Sum
from graphpde.problems.pde import PDES, Coefficient, Pde, Plain, Value, rounded_down, setting_scale, spacing
from graphpde.problems.reaction_diffusion import two_digits

_LASTS, _STEP = 400, 0.5  # times kappa / mobility, by which what is unstable grows


@PDES.add("cahn-hilliard")
class CahnHilliardProblem(Pde):
    """A mixture that separates into two phases, c = -1 and 1, whose drops then grow at the cost of smaller ones.

    Nothing leaves; the mean of c stays. It starts from small noise, its default kappa makes interfaces, sqrt(8 kappa)
    wide, two cells wide. The wells are extrapolated (``sbdf2``), with one factorisation for the whole run; the scheme
    "split" makes the energy fall in every step of ``backward_euler``, however long.

    Reference: Cahn and Hilliard 1958, J. Chem. Phys. 28; Eyre 1998 for the scheme.
    """

    name, title = "cahn-hilliard", "Cahn-Hilliard phase separation"
    equation = "dc/dt = div(mobility grad mu),  mu = c^3 - c - kappa div grad c"
    fields = ("c", "mu")
    units: ClassVar[Mapping[str, str]] = {"c": "1", "mu": "1"}
    coefficients: ClassVar[Mapping[str, Coefficient]] = {
        "mobility": Coefficient("how easily it flows", "length^2/time", "number", 0.0),
        "kappa": Coefficient("what interfaces cost", "length^2", "number", 0.0),
    }
    balanced = False
    continuous = True
    algebraic = True
    stepper = "sbdf2"
    noise = 0.05
    schemes = ("extrapolated", "split")

    @property
    def split(self) -> bool:
        """Whether steps split the energy."""
        return self.scheme == "split"

    @property
    def held_fields(self) -> tuple[str, ...]:
        return ("c", "mu")

    @property
    def pushed_fields(self) -> tuple[str, ...]:
        return ("c",)

    def default_coefficients(self, space: Graph) -> dict[str, Plain]:
        return {"mobility": 1.0, "kappa": two_digits(0.5 * spacing(space) ** 2)}

    def default_initial(self, space: Graph, coefficients: Mapping[str, Plain], driven: bool) -> dict[str, Value]:
        return {"c": 0.0, "mu": 0.0}

    def terms(self, space: Graph, coefficients: Mapping[str, Plain]) -> Sum:
        if not isinstance(space, Space):
            raise ConfigError("cahn-hilliard is computed with finite elements; take a mesh")
        for name in ("mobility", "kappa"):
            setting_scale(float(coefficients[name]), f"{name} = {coefficients[name]:g}")
        return Sum.of(
            CahnHilliard(space, float(coefficients["mobility"]), float(coefficients["kappa"]), split=self.split)
        )

    def crossing_step(self, space: Graph, u0: Tensor, coefficients: Mapping[str, Plain]) -> float | None:
        return _STEP * float(coefficients["kappa"]) / float(coefficients["mobility"])

    def duration(self, space: Graph, coefficients: Mapping[str, Plain]) -> float:
        return rounded_down(_LASTS * float(coefficients["kappa"]) / float(coefficients["mobility"]))
