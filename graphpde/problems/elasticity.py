"""Bodies that deform a little under loads: stresses, displacements, reactions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.errors import ConfigError
from graphpde.formula import Formula
from graphpde.mesh.cells import CELLS
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.space import Space
from graphpde.ops.boundary import Dirichlet, Neumann
from graphpde.ops.elasticity import (
    KINDS,
    Elasticity,
    ElasticSupport,
    PointLoad,
    PressureLoad,
    Symmetry,
    checked_space,
    displacement_channels,
)
from graphpde.ops.integration import Integration
from graphpde.ops.source import Load, Source
from graphpde.ops.term import Condition, Sum
from graphpde.problems.materials import Material
from graphpde.problems.pde import PDES, SPACE, Coefficient, Pde, Plain, Value
from graphpde.problems.values import FieldsAt, conductivity

_COSTLY = 200_000  # unknowns above which elements of second order are not taken unasked
_STEEL = {"young": 2.07e11, "poisson": 0.3}
_WEIGHT = 7.7e4  # of steel in N/m^3
_FIGURES = ("young", "poisson", "density", "expansion")


@PDES.add("elasticity")
class ElasticityProblem(Pde):
    """Bodies of the plane or of space that deform a little, at rest: displacements, stresses and reactions.

    Values on a set are displacements, of all components or of some. Sides take ``traction`` (force per area),
    ``force`` (its total, spread evenly), ``pressure``, ``symmetry`` and ``spring`` (force per area and displacement) as
    well; where nothing is said they are free. In the plane forces are per length across it, about an axis
    (state = "axisymmetric", x the radius) those of the whole ring. Alone, a body of steel is held at one side and bends
    under its weight.

    Reference: Hughes 2000, The Finite Element Method, sections 2.7 to 2.9.
    """

    name, title = "elasticity", "Linear elasticity"
    equation = (
        "0 = div sigma + density gravity + f,  sigma = C(young, poisson, state) : (strain - expansion temperature I)"
    )
    fields: ClassVar[tuple[str, ...]] = displacement_channels(3)
    vectors: ClassVar[Mapping[str, tuple[str, ...]]] = {"displacement": displacement_channels(3)}
    units: ClassVar[Mapping[str, str]] = {**dict.fromkeys(displacement_channels(3), "m"), "stress": "Pa", "force": "N"}
    coefficients: ClassVar[Mapping[str, Coefficient]] = {
        "young": Coefficient("Young's modulus", "force/area", "property"),
        "poisson": Coefficient("Poisson's ratio", "1", "property"),
        "density": Coefficient("mass per volume, for gravity", "mass/volume", "property"),
        "expansion": Coefficient("thermal expansion", "1/temperature", "property"),
        "temperature": Coefficient("above that without stress", "temperature", "property"),
        "gravity": Coefficient("acceleration", "length/time^2", "vector"),
        "state": Coefficient(f"one of {', '.join(KINDS)}", "by the mesh", "state"),
    }
    side_rules = ("traction", "force", "pressure", "symmetry", "spring")
    stationary = True
    levelled = True
    continuous = True
    partly_held = True
    by_dimension = True
    elastic = True
    figures: ClassVar[tuple[str, ...]] = ("young", "poisson")

    @classmethod
    def on(cls, mesh: Mesh) -> type[Pde]:
        if mesh.dim != mesh.space_dim or mesh.dim == 1:
            raise ConfigError(
                f"elasticity needs cells that fill the plane or space, '{mesh.name}' is {mesh.dim}-D in "
                f"{mesh.space_dim}-D; a surface must be filled with cells first, by a mesher of solids"
            )
        return ElasticityInPlane if mesh.dim == 2 else ElasticityProblem

    @classmethod
    def of_materials(cls, materials: Mapping[str, Material]) -> dict[str, Any]:
        found = {key: {name: getattr(m, key) for name, m in materials.items()} for key in _FIGURES}
        return {key: each for key, each in found.items() if all(v is not None for v in each.values())}

    @classmethod
    def default_element(cls, mesh: Mesh) -> str | None:
        corners = {CELLS[kind].corners for kind in mesh.cells}
        many = mesh.dim * len(mesh.points) * (1 if _is_quadratic(mesh) else 4 if mesh.dim == 2 else 8)
        if "pyramid" in corners or many > _COSTLY:
            return first_order(mesh)
        return "q2" if corners & {"quad", "hexahedron", "wedge"} else "p2"

    def doubts(self, space: Graph, coefficients: Mapping[str, Plain]) -> list[str]:
        assert isinstance(space, Space)
        if space.element.degree > 1:
            return []
        finer = "q2" if "q" in type(space.element).__name__.lower() else "p2"
        return [f"elements of first order are too stiff where a body bends; for better stresses take --element {finer}"]

    def default_coefficients(self, space: Graph) -> dict[str, Plain]:
        return {**_STEEL}

    def default_boundary(self, space: Graph) -> dict[str, dict[str, Value]]:
        assert isinstance(space, Space)
        side = next((name for name in ("left", "bottom") if name in space.mesh.tags), "boundary")
        return {side: dict.fromkeys(self.fields, 0.0)}

    def default_source(self, space: Graph, coefficients: Mapping[str, Plain]) -> dict[str, Value]:
        return {self.fields[-1]: -_WEIGHT}

    def terms(self, space: Graph, coefficients: Mapping[str, Plain]) -> Sum:
        checked = checked_space(space)
        given = dict(coefficients)
        state, fits = given.get("state"), KINDS[:-1] if checked.mesh.dim == 2 else KINDS[-1:]
        if state is not None and state not in fits:
            raise ConfigError(f"state = '{state}' in {checked.mesh.dim} dimensions, expected one of: {', '.join(fits)}")
        temperature = given.get("temperature")
        if temperature is not None and "expansion" not in given:
            raise ConfigError("temperature is given without expansion, which says what it does; give both")
        body = Elasticity(
            checked,
            property_of(checked, given["young"], "young"),
            property_of(checked, given["poisson"], "poisson"),
            kind=given.get("state"),
            expansion=property_of(checked, given.get("expansion", 0.0), "expansion"),
            temperature=temperature,
        )
        gravity = given.get("gravity")
        return Sum.of(body) if gravity is None else body + self._weight(body, gravity, given.get("density"))

    def _weight(self, body: Elasticity, gravity: Sequence[Value], density: Plain) -> Load:
        space = body.domain
        if density is None:
            raise ConfigError("gravity is given without density; give it, or [materials], which know theirs")
        if len(gravity) != body.dim:
            raise ConfigError(f"gravity has {len(gravity)} components and the mesh {body.dim} dimensions")
        rho = property_of(space, density, "density")
        if isinstance(rho, float | int):
            return Source(space, FieldsAt([_times(rho, g) for g in gravity]))
        if body.axisymmetric:
            raise ConfigError("gravity about an axis takes one density for the whole body")
        each = space.cell_values(rho, "density").to(space.device, space.dtype)
        g = FieldsAt(gravity)
        zero = torch.zeros((), dtype=torch.float64, device=space.device)
        parts: list[tuple[Tensor | None, Tensor | None]] = []
        for block in body.points.blocks:
            pull = g(block.points.flatten(0, 1), zero).unflatten(0, block.points.shape[:2])
            parts.append((each[block.ids][:, None, None] * pull, None))
        total = body.points.integrate(parts)
        return Load(space, 0.0, vector=lambda t: total, what="gravity")

    def held_parts(self, place: str, values: Mapping[str, Value], *, override: bool = False) -> Condition:
        channels = tuple(k for k, name in enumerate(self.fields) if name in values)
        if not channels:
            raise ConfigError(f"the value on '{place}' names no component, expected {', '.join(self.fields)}")
        field = FieldsAt([values[self.fields[k]] for k in channels])
        return Dirichlet(place, field, override=override, channels=channels)

    def side(self, place: str, rule: str, value: Any, space: Graph, coefficients: Mapping[str, Plain]) -> Condition:
        checked = checked_space(space)
        d = checked.mesh.space_dim
        if rule in ("traction", "force") and len(value) != d:
            raise ConfigError(f"the {rule} on '{place}' has {len(value)} components, expected {d} as the mesh has")
        if rule == "symmetry":
            return Symmetry(place)
        if rule == "pressure":
            return PressureLoad(place, value)
        if rule == "spring":
            each = torch.tensor(value, dtype=torch.float64)
            if len(each) not in (1, d):
                raise ConfigError(f"the spring on '{place}' has {len(each)} numbers, expected one, or {d}, one an axis")
            return ElasticSupport(place, float(each[0]) if len(each) == 1 else each)
        turned = coefficients.get("state") == "axisymmetric"
        if rule == "force" and checked.mesh.tag(place).dim == 0:
            return PointLoad(place, [float(v) / (2 * math.pi if turned else 1) for v in value])
        if rule == "force":
            size = _size(checked, place, turned=turned)
            value = [v / size for v in value]
        return Neumann(place, FieldsAt(value))


class ElasticityInPlane(ElasticityProblem):
    """The same in the plane."""

    fields = displacement_channels(2)
    vectors: ClassVar[Mapping[str, tuple[str, ...]]] = {"displacement": displacement_channels(2)}


def first_order(mesh: Mesh) -> str:
    """The name of the element of first order on the cells of a mesh."""
    corners = {CELLS[kind].corners for kind in mesh.cells}
    return "q1" if corners & {"quad", "hexahedron", "wedge", "pyramid"} else "p1"


def property_of(space: Space, value: Plain, what: str) -> Any:
    """What a form takes for a coefficient: numbers and tables as they are, formulas at the centroids of cells.

    Signs are left to the form, which knows them.
    """
    varies = not isinstance(value, float | int) and not (
        isinstance(value, Mapping) and all(isinstance(v, float | int) for v in value.values())
    )
    return conductivity(space, value, what) if varies else value


def _times(a: float, b: Value) -> Value:
    return Formula(f"{a!r} * ({b.text})", SPACE) if isinstance(b, Formula) else a * b


def _size(space: Space, place: str, *, turned: bool) -> float:
    """Area of the facets of a set, length in the plane; about an axis that of the surface which they sweep."""
    over = Integration(space, 2 * space.element.degree, place)
    if turned:
        return 2 * math.pi * sum(float((b.volume * b.points[..., 0]).sum()) for b in over.blocks)
    return sum(float(b.volume.sum()) for b in over.blocks)


def _is_quadratic(mesh: Mesh) -> bool:
    return any(CELLS[kind].corners != kind for kind in mesh.cells)
