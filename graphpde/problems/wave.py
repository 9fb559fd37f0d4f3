"""Waves on drums, strings and in rooms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch

from graphpde.core.graph import Graph
from graphpde.errors import ConfigError
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.space import Space
from graphpde.ops.term import Condition, Sum
from graphpde.ops.wave import Held, Wave
from graphpde.problems.pde import PDES, Box, Coefficient, Pde, Plain, Value, rounded_down, setting_scale
from graphpde.problems.shapes import bump
from graphpde.problems.values import conductivity, per_cell, typical
from graphpde.typing import Field


@PDES.add("wave")
class WaveProblem(Pde):
    """The wave equation as two fields, u and its rate v.

    Boundary values are those of u; sources, inflows and exchanges act on v, so ``robin`` with a = speed and g = 0 is a
    boundary that waves leave through, to first order. Free boundaries reflect. It starts from a bump at rest unless
    told otherwise. The Crank-Nicolson method keeps the energy; a run takes 1.5 length / speed.
    """

    name, title = "wave", "Wave equation"
    equation = "du/dt = v,  dv/dt + damping v = div(speed^2 grad u) + f"
    fields = ("u", "v")
    units: ClassVar[Mapping[str, str]] = {"u": "m", "v": "m/s"}
    coefficients: ClassVar[Mapping[str, Coefficient]] = {
        "speed": Coefficient("of waves", "length/time"),
        "damping": Coefficient("rate at which velocities decay", "1/time", "number", 0.0),
    }
    balanced = False
    stepper = "crank_nicolson"

    @property
    def held_fields(self) -> tuple[str, ...]:
        return ("u",)

    @property
    def pushed_fields(self) -> tuple[str, ...]:
        return ("v",)

    def held(self, place: str, value: Field, *, override: bool = False) -> Condition:
        return Held(place, value, override=override)

    def default_coefficients(self, space: Graph) -> dict[str, Plain]:
        return {"speed": 1.0, "damping": 0.0}

    def default_initial(self, space: Graph, coefficients: Mapping[str, Plain], driven: bool) -> dict[str, Value]:
        return {"u": bump(space, 0.08), "v": 0.0}

    def terms(self, space: Graph, coefficients: Mapping[str, Plain]) -> Sum:
        speed = conductivity(space, coefficients["speed"], "speed")
        if not isinstance(speed, float | int):
            assert isinstance(space, Space | CellSpace)
            if isinstance(speed, torch.Tensor) and speed.dim() > 1:
                raise ConfigError("the speed is a matrix, expected a number, a formula or a number per set of cells")
            speed = per_cell(space, speed).to(space.device, space.dtype)
        return Sum.of(Wave(space, speed, coefficients["damping"]))

    def duration(self, space: Graph, coefficients: Mapping[str, Plain]) -> float:
        speed = typical(space, coefficients["speed"])
        return rounded_down(1.5 * Box.of(space).length / setting_scale(speed, f"a speed of {speed:g}"))
