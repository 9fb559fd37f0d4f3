"""Bodies that heat deforms: temperatures that spread, and the stresses that they make."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from graphpde.core.graph import Graph
from graphpde.mesh.mesh import Mesh
from graphpde.ops.boundary import Neumann
from graphpde.ops.elasticity import (
    Elasticity,
    PressureLoad,
    ThermoElasticity,
    checked_space,
    displacement_channels,
)
from graphpde.ops.term import Condition, Sum
from graphpde.problems.elasticity import ElasticityProblem, property_of
from graphpde.problems.materials import Material
from graphpde.problems.pde import PDES, Box, Coefficient, Pde, Plain, Value, diffusion_time
from graphpde.problems.values import FieldsAt, typical

_FIELD = "temperature"
_STEEL = {"expansion": 11.7e-6, "conductivity": 60.5, "capacity": 7854.0 * 434.0}
_WARM = 100.0  # K
_OPPOSITE = {"left": "right", "bottom": "top"}


@PDES.add("thermo-elastic")
class ThermoElasticProblem(ElasticityProblem):
    """Bodies of the plane or of space in which heat spreads, and which deform by it: temperatures and stresses.

    Temperatures are counted from that without stress. Values on a set are displacements, temperatures or both; inflows,
    exchanges and sources are of heat. Loads and supports are those of ``elasticity``, and the body is at rest at every
    moment. Where ``absolute``, the absolute temperature without stress, is given, what stretches cools. Alone, a body
    of steel is held at one side and warmed at the other.

    Reference: Biot 1956, J. Appl. Phys. 27, 240-253.
    """

    name, title = "thermo-elastic", "Thermo-elasticity"
    equation = (
        "0 = div sigma,  sigma = C(young, poisson, state) : (strain - expansion temperature I),  "
        "d/dt (capacity temperature + absolute expansion C : strain) = div(conductivity grad temperature) + f"
    )
    fields: ClassVar[tuple[str, ...]] = (*displacement_channels(3), _FIELD)
    units: ClassVar[Mapping[str, str]] = {**ElasticityProblem.units, _FIELD: "K"}
    coefficients: ClassVar[Mapping[str, Coefficient]] = {
        "young": ElasticityProblem.coefficients["young"],
        "poisson": ElasticityProblem.coefficients["poisson"],
        "expansion": ElasticityProblem.coefficients["expansion"],
        "conductivity": Coefficient("thermal", "power/(length temperature)", "property"),
        "capacity": Coefficient("density times heat capacity", "energy/(volume temperature)", "property"),
        "absolute": Coefficient("absolute temperature without stress", "temperature", "number", 0.0),
        "state": ElasticityProblem.coefficients["state"],
    }
    figures = ("young", "poisson", "expansion", "conductivity")
    stationary = False
    levelled = False
    algebraic = True

    @property
    def pushed_fields(self) -> tuple[str, ...]:
        return (_FIELD,)

    @classmethod
    def on(cls, mesh: Mesh) -> type[Pde]:
        in_plane = super().on(mesh).fields == displacement_channels(2)
        return ThermoElasticInPlane if in_plane else ThermoElasticProblem

    @classmethod
    def of_materials(cls, materials: Mapping[str, Material]) -> dict[str, Any]:
        found: dict[str, Any] = {key: {name: getattr(m, key) for name, m in materials.items()} for key in cls.figures}
        if all(m.density is not None and m.heat_capacity is not None for m in materials.values()):
            found["capacity"] = {name: m.capacity for name, m in materials.items()}
        return found

    def default_coefficients(self, space: Graph) -> dict[str, Plain]:
        return {**super().default_coefficients(space), **_STEEL}

    def default_boundary(self, space: Graph) -> dict[str, dict[str, Value]]:
        found = super().default_boundary(space)
        (side,) = found
        warm = _OPPOSITE.get(side, side)
        return {**found, warm: {**found.get(warm, {}), _FIELD: _WARM}}

    def default_source(self, space: Graph, coefficients: Mapping[str, Plain]) -> dict[str, Value]:
        return {}

    def terms(self, space: Graph, coefficients: Mapping[str, Plain]) -> Sum:
        checked = checked_space(space)
        given = {key: property_of(checked, coefficients[key], key) for key in (*self.figures, "capacity")}
        body = Elasticity(
            checked, given["young"], given["poisson"], kind=coefficients.get("state"), expansion=given["expansion"]
        )
        absolute = coefficients.get("absolute", 0.0)
        return Sum.of(ThermoElasticity(body, given["conductivity"], given["capacity"], absolute))

    def side(self, place: str, rule: str, value: Any, space: Graph, coefficients: Mapping[str, Plain]) -> Condition:
        found = super().side(place, rule, value, space, coefficients)
        if isinstance(found, Neumann) and not isinstance(found, PressureLoad):
            assert isinstance(found.inflow, FieldsAt)
            return Neumann(place, FieldsAt([*found.inflow.parts, 0.0]))
        return found

    def duration(self, space: Graph, coefficients: Mapping[str, Plain]) -> float:
        kappa, stored = (typical(space, coefficients[key]) for key in ("conductivity", "capacity"))
        return diffusion_time(Box.of(space).length, kappa / stored if stored else math.inf, 0.2)


class ThermoElasticInPlane(ThermoElasticProblem):
    """The same in the plane."""

    fields = (*displacement_channels(2), _FIELD)
    vectors: ClassVar[Mapping[str, tuple[str, ...]]] = {"displacement": displacement_channels(2)}
