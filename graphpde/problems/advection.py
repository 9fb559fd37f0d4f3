"""Transport by a given velocity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.errors import ConfigError
from graphpde.formula import Formula
from graphpde.ops.advection import SCHEMES, StreamlineUpwind
from graphpde.ops.diffusion import Diffusion
from graphpde.ops.term import Sum
from graphpde.problems.pde import (
    PDES,
    SPACE,
    Box,
    Coefficient,
    Pde,
    Plain,
    Value,
    nearest_node,
    rounded_down,
    setting_scale,
    spacing,
    squared_distance,
)
from graphpde.problems.values import Vector, conductivity, typical
from graphpde.typing import Field


@PDES.add("advection")
class AdvectionProblem(Pde):
    """du/dt + div(v u) = f: what flows in carries the boundary value given there, what flows out leaves.

    The scheme is "upwind" (first order, no new extrema), "limited" (second where the field is smooth, no new extrema),
    "supg" (second, streamline upwinding; for velocities free of divergence) or "centred" (second, oscillates at jumps).

    When nothing else moves it, it starts from a bump a quarter of the domain upstream of the middle. Heun's method by
    default: within the bound it keeps the first two free of new extrema (Gottlieb, Shu and Tadmor 2001). The run
    takes 0.6 length / speed.
    """

    name, title = "advection", "Advection"
    equation = "du/dt + div(v u) = f"
    units: ClassVar[Mapping[str, str]] = {"u": "1"}
    coefficients: ClassVar[Mapping[str, Coefficient]] = {"velocity": Coefficient("velocity", "length/time", "vector")}
    levelled = True
    schemes = ("upwind", "limited", "supg", "centred")
    steppers: ClassVar[Mapping[str, str]] = {
        "upwind": "heun",
        "limited": "heun",
        "supg": "crank_nicolson",
        "centred": "rk4",
    }
    stepper = "heun"

    def __init__(self, kinetics: Any = None, scheme: str | None = None):
        super().__init__(kinetics, scheme)
        self.stepper = self.steppers[str(self.scheme)]

    def default_coefficients(self, space: Graph) -> dict[str, Plain]:
        d = len(Box.of(space).low)
        return {"velocity": [1.0] + [0.0] * (d - 1)}

    def default_initial(self, space: Graph, coefficients: Mapping[str, Plain], driven: bool) -> dict[str, Value]:
        if driven:
            return {"u": 0.0}
        box = Box.of(space)
        v = self._velocity(space, coefficients)(box.centre[None])[0]
        upstream = box.centre - 0.25 * box.length * v / torch.linalg.vector_norm(v).clamp(min=1e-300)
        width = float(f"{(0.1 * box.length) ** 2:.3g}")
        return {
            "u": Formula(f"exp(-({squared_distance(nearest_node(space, upstream), box.length)}) / {width:g})", SPACE)
        }

    def terms(self, space: Graph, coefficients: Mapping[str, Plain]) -> Sum:
        return Sum.of(SCHEMES[str(self.scheme)](space, self._flow(space, coefficients)))  # type: ignore[call-arg]

    def driven_terms(self, space: Graph, coefficients: Mapping[str, Plain], source: Field) -> Sum:
        if self.scheme != "supg":
            return super().driven_terms(space, coefficients, source)
        return Sum.of(StreamlineUpwind(space, self._flow(space, coefficients), 0.0, source))

    def duration(self, space: Graph, coefficients: Mapping[str, Plain]) -> float:
        assert space.pos is not None
        speed = _largest(self._velocity(space, coefficients)(space.pos))
        return rounded_down(0.6 * Box.of(space).length / setting_scale(speed, f"a speed of {speed:g}"))

    def range_kept(self, low: float, high: float, coefficients: Mapping[str, Plain]) -> tuple[float, float] | None:
        """Of velocities that neither gather nor thin out: the matrix of a linear scheme tells, else those that are the
        same everywhere. What enters where nothing is given is zero.
        """
        known = self.scheme != "limited" or Vector(coefficients["velocity"]).constant
        return (min(low, 0.0), max(high, 0.0)) if known else None

    def range_remedy(self, space: Graph, coefficients: Mapping[str, Plain]) -> str:
        schemes = {"centred": "supg, limited or upwind", "supg": "limited or upwind"}
        if self.scheme in schemes:
            return f"take --scheme {schemes[self.scheme]}, or a finer mesh"
        return "take shorter steps (--dt) or the scheme upwind"

    def _flow(self, space: Graph, coefficients: Mapping[str, Plain]) -> Vector | Tensor:
        """What the terms take: one velocity [d] where it is the same everywhere."""
        velocity = self._velocity(space, coefficients)
        if not velocity.constant:
            return velocity
        return velocity(torch.zeros(1, len(velocity.parts), dtype=torch.float64))[0]

    def _velocity(self, space: Graph, coefficients: Mapping[str, Plain]) -> Vector:
        parts, d = coefficients["velocity"], len(Box.of(space).low)
        if len(parts) != d:
            raise ConfigError(f"the velocity has {len(parts)} components, expected {d}: one per dimension of the mesh")
        return Vector(parts)


@PDES.add("advection-diffusion")
class AdvectionDiffusionProblem(AdvectionProblem):
    """du/dt + div(v u) = div(kappa grad u) + f: what is carried along also spreads.

    Streamline upwinding by default (velocities free of divergence), with the Crank-Nicolson method; "limited" with
    Heun's method where overshoots matter. The default diffusivity is a five-hundredth of speed times length.
    """

    name, title = "advection-diffusion", "Advection and diffusion"
    equation = "du/dt + div(v u) = div(kappa grad u) + f"
    coefficients: ClassVar[Mapping[str, Coefficient]] = {
        **AdvectionProblem.coefficients,
        "kappa": Coefficient("diffusivity", "length^2/time"),
    }
    schemes = ("supg", "limited", "upwind", "centred")
    steppers: ClassVar[Mapping[str, str]] = {
        "supg": "crank_nicolson",
        "limited": "heun",
        "upwind": "backward_euler",
        "centred": "crank_nicolson",
    }
    stepper = "crank_nicolson"

    def default_coefficients(self, space: Graph) -> dict[str, Plain]:
        return {**super().default_coefficients(space), "kappa": float(f"{0.002 * Box.of(space).length:.2g}")}

    def terms(self, space: Graph, coefficients: Mapping[str, Plain]) -> Sum:
        kappa = conductivity(space, coefficients["kappa"])
        if self.scheme == "supg":
            return Sum.of(StreamlineUpwind(space, self._flow(space, coefficients), kappa))
        return super().terms(space, coefficients) + Diffusion(space, kappa)

    def driven_terms(self, space: Graph, coefficients: Mapping[str, Plain], source: Field) -> Sum:
        if self.scheme != "supg":
            return Pde.driven_terms(self, space, coefficients, source)
        kappa = conductivity(space, coefficients["kappa"])
        return Sum.of(StreamlineUpwind(space, self._flow(space, coefficients), kappa, source))

    def range_remedy(self, space: Graph, coefficients: Mapping[str, Plain]) -> str:
        assert space.pos is not None
        speed, kappa = _largest(self._velocity(space, coefficients)(space.pos)), typical(space, coefficients["kappa"])
        if not kappa > 0 or self.scheme != "centred":
            return super().range_remedy(space, coefficients)
        number = speed * spacing(space) / (2 * kappa)
        return f"the cell Peclet number |v| h / (2 kappa) is about {number:.3g}, expected <= 1 for centred fluxes; " + (
            super().range_remedy(space, coefficients)
        )


def _largest(v: Tensor) -> float:
    """Largest length of the rows of v [k, d]."""
    return float(torch.linalg.vector_norm(v.double(), dim=-1).max())
