"""Transport by a given velocity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.errors import ConfigError
from graphpde.formula import Formula
from graphpde.ops.advection import Advection
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
    squared_distance,
)
from graphpde.problems.values import Vector


@PDES.add("advection")
class AdvectionProblem(Pde):
    """du/dt + div(v u) = f, upwind: what flows in carries the boundary value given there, what flows out leaves.

    When nothing else moves it, it starts from a bump a quarter of the domain upstream of the middle. Heun's method by
    default: within the bound it keeps the upwind scheme free of new extrema (Gottlieb, Shu and Tadmor 2001). The run
    takes 0.6 length / speed.
    """

    name, title = "advection", "Advection"
    equation = "du/dt + div(v u) = f"
    units: ClassVar[Mapping[str, str]] = {"u": "1"}
    coefficients: ClassVar[Mapping[str, Coefficient]] = {"velocity": Coefficient("velocity", "length/time", "vector")}
    stepper = "heun"

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
        velocity = self._velocity(space, coefficients)
        if velocity.constant:
            fixed = velocity(torch.zeros(1, len(velocity.parts), dtype=torch.float64))[0]
            return Sum.of(Advection(space, fixed))
        return Sum.of(Advection(space, velocity))

    def duration(self, space: Graph, coefficients: Mapping[str, Plain]) -> float:
        assert space.pos is not None
        speed = _largest(self._velocity(space, coefficients)(space.pos))
        if not 0 < speed < float("inf"):
            raise ConfigError(f"a speed of {speed:g} sets no time scale; give the end of the run (time.end or --t-end)")
        return rounded_down(0.6 * Box.of(space).length / speed)

    def _velocity(self, space: Graph, coefficients: Mapping[str, Plain]) -> Vector:
        parts, d = coefficients["velocity"], len(Box.of(space).low)
        if len(parts) != d:
            raise ConfigError(f"the velocity has {len(parts)} components, expected {d}: one per dimension of the mesh")
        return Vector(parts)


def _largest(v: Tensor) -> float:
    """Largest length of the rows of v [k, d]."""
    return float(torch.linalg.vector_norm(v.double(), dim=-1).max())
