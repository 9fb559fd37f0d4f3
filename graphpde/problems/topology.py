"""The stiffest body of a given volume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from graphpde.core.graph import Graph
from graphpde.mesh.geometry import cell_measures
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.space import Space
from graphpde.ops.elasticity import Elasticity, checked_space, displacement_channels
from graphpde.ops.term import Sum
from graphpde.problems.elasticity import ElasticityProblem, first_order, property_of
from graphpde.problems.pde import PDES, Coefficient, Pde, Plain


@PDES.add("topology")
class TopologyProblem(ElasticityProblem):
    """Where to put material so that a share of the volume is as stiff as can be, by density (SIMP).

    Supports and loads as for ``elasticity``; the cells of the mesh are full, empty or, where the optimum is not sharp,
    grey. Details are not finer than the radius. Elements of first order unless told otherwise.

    Reference: Bendsoe and Sigmund 2003, Topology Optimization, chapter 1.
    """

    name, title = "topology", "Topology of a body"
    equation = (
        "least f . u with K(x) u = f, moduli young x^penalty, poisson, state; x in [0, 1] filtered by radius, in the "
        "mean volume, within steps"
    )
    coefficients: ClassVar[Mapping[str, Coefficient]] = {
        "young": ElasticityProblem.coefficients["young"],
        "poisson": ElasticityProblem.coefficients["poisson"],
        "state": ElasticityProblem.coefficients["state"],
        "volume": Coefficient("share of the whole that is filled", "1", "number", 0.0),
        "radius": Coefficient("of the filter", "length", "number", 0.0),
        "penalty": Coefficient("what makes grey uneconomic", "1", "number", 1.0),
        "steps": Coefficient("at most", "1", "number", 1.0),
    }

    @classmethod
    def on(cls, mesh: Mesh) -> type[Pde]:
        return TopologyInPlane if super().on(mesh).fields == displacement_channels(2) else TopologyProblem

    @classmethod
    def of_materials(cls, materials: Mapping[str, Any]) -> dict[str, Any]:
        return {key: each for key, each in super().of_materials(materials).items() if key in cls.coefficients}

    @classmethod
    def default_element(cls, mesh: Mesh) -> str | None:
        return first_order(mesh)

    def default_coefficients(self, space: Graph) -> dict[str, Plain]:
        assert isinstance(space, Space)
        size = float(cell_measures(space.mesh).mean()) ** (1 / space.mesh.dim)
        own = {"volume": 0.4, "radius": float(f"{2 * size:.2g}"), "penalty": 3.0, "steps": 100.0}
        return {**super().default_coefficients(space), **own}

    def doubts(self, space: Graph, coefficients: Mapping[str, Plain]) -> list[str]:
        return []

    def terms(self, space: Graph, coefficients: Mapping[str, Plain]) -> Sum:
        body = checked_space(space)
        young, poisson = (property_of(body, coefficients[key], key) for key in ("young", "poisson"))
        return Sum.of(Elasticity(body, young, poisson, kind=coefficients.get("state")))


class TopologyInPlane(TopologyProblem):
    """The same in the plane."""

    fields = displacement_channels(2)
    vectors: ClassVar[Mapping[str, tuple[str, ...]]] = {"displacement": displacement_channels(2)}
