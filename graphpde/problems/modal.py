"""Vibrations of bodies: eigenfrequencies and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from graphpde.core.graph import Graph
from graphpde.errors import ConfigError
from graphpde.mesh.mesh import Mesh
from graphpde.ops.elasticity import Elasticity, checked_space, displacement_channels
from graphpde.ops.form import Coefficient as Given
from graphpde.ops.term import Condition, Sum
from graphpde.problems.elasticity import ElasticityProblem, property_of
from graphpde.problems.pde import PDES, Coefficient, Pde, Plain, Value

_STEEL = 7850.0
_HELD = ("symmetry", "spring")
_MOST = 100


@PDES.add("modal")
class ModalProblem(ElasticityProblem):
    """Bodies of the plane or of space that swing by themselves: the slowest vibrations, free or held.

    Values on a set hold displacements, of all components or of some; ``symmetry`` and ``spring`` hold as well. Loads do
    nothing to vibrations and are refused. Alone, a free body of steel, whose motions without strain are left out.

    Reference: Hughes 2000, The Finite Element Method, chapter 10.
    """

    name, title = "modal", "Vibrations"
    equation = "-density omega^2 u = div sigma,  sigma = C(young, poisson, state) : strain, as many as modes says"
    coefficients: ClassVar[Mapping[str, Coefficient]] = {
        "young": ElasticityProblem.coefficients["young"],
        "poisson": ElasticityProblem.coefficients["poisson"],
        "density": Coefficient("mass per volume", "mass/volume", "property"),
        "state": ElasticityProblem.coefficients["state"],
        "modes": Coefficient("how many, motions without strain not counted", "1", "number", 1.0),
    }
    units: ClassVar[Mapping[str, str]] = {**ElasticityProblem.units, "frequency": "Hz"}
    pushed_fields = ()  # type: ignore[assignment]

    @classmethod
    def on(cls, mesh: Mesh) -> type[Pde]:
        return ModalInPlane if super().on(mesh).fields == displacement_channels(2) else ModalProblem

    @classmethod
    def of_materials(cls, materials: Mapping[str, Any]) -> dict[str, Any]:
        found = super().of_materials(materials)
        return {key: each for key, each in found.items() if key in cls.coefficients}

    def default_coefficients(self, space: Graph) -> dict[str, Plain]:
        return {**super().default_coefficients(space), "modes": 6.0}

    def default_boundary(self, space: Graph) -> dict[str, dict[str, Value]]:
        return {}

    def default_source(self, space: Graph, coefficients: Mapping[str, Plain]) -> dict[str, Value]:
        return {}

    def terms(self, space: Graph, coefficients: Mapping[str, Plain]) -> Sum:
        body, given = checked_space(space), coefficients
        count = given["modes"]
        if count != int(count) or not count <= _MOST:
            raise ConfigError(f"modes = {count:g}, expected a whole number from 1 to {_MOST}")
        young, poisson = (property_of(body, given[key], key) for key in ("young", "poisson"))
        return Sum.of(Elasticity(body, young, poisson, kind=given.get("state")))

    def density(self, space: Graph, coefficients: Mapping[str, Plain]) -> Given:
        """Of the body.

        Raises:
            ConfigError: none is known.
        """
        found = coefficients.get("density")
        if found is None and coefficients["young"] == super().default_coefficients(space)["young"]:
            found = _STEEL  # nobody chose another material
        if found is None:
            raise ConfigError("vibrations need a density; give coefficients.density, or [materials], which know theirs")
        return property_of(checked_space(space), found, "density")  # type: ignore[no-any-return]

    def side(self, place: str, rule: str, value: Any, space: Graph, coefficients: Mapping[str, Plain]) -> Condition:
        if rule not in _HELD:
            raise ConfigError(f"a {rule} on '{place}' does nothing to vibrations; leave it out")
        return super().side(place, rule, value, space, coefficients)


class ModalInPlane(ModalProblem):
    """The same in the plane."""

    fields = displacement_channels(2)
    vectors: ClassVar[Mapping[str, tuple[str, ...]]] = {"displacement": displacement_channels(2)}
