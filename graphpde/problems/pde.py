"""What a PDE of the library declares, and the registry of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.errors import ConfigError
from graphpde.formula import Formula
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.space import Space
from graphpde.ops.boundary import Dirichlet
from graphpde.ops.reactions import REACTIONS
from graphpde.ops.source import Source
from graphpde.ops.term import Condition, Sum
from graphpde.problems.materials import Material
from graphpde.registry import Registry
from graphpde.typing import Field

Value = float | Formula
"""A number or a formula in x, y, z and t."""

SPACE = ("x", "y", "z")
"""What a formula without time may mention."""

Plain = Any
"""A coefficient as given: a Value, {material: number}, or a sequence of Values for a vector."""


class Coefficient(NamedTuple):
    """A coefficient that a PDE reads.

    Attributes:
        meaning: for lists and messages. unit: in powers of the units of length and time.
        kind: "conductivity" (a number >= 0, a formula, a matrix, or one of them per material), "vector" (a value per
            dimension), "property" (a number, a formula or one of them per set of cells), "state" (of stress, by name)
            or "number". low: least number of the last.
    """

    meaning: str
    unit: str
    kind: str = "conductivity"
    low: float = -math.inf


class Box(NamedTuple):
    """The box around a domain.

    Attributes:
        low, high: its corners [d].
    """

    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, space: Graph) -> Box:
        """The box around the nodes.

        Raises:
            ConfigError: the domain has no positions.
        """
        if space.pos is None:
            raise ConfigError("the domain has no positions; the problems of the library need a mesh")
        return cls(space.pos.amin(0).cpu().double(), space.pos.amax(0).cpu().double())

    @property
    def length(self) -> float:
        """The longest side."""
        return float((self.high - self.low).max())

    @property
    def centre(self) -> Tensor:
        return (self.low + self.high) / 2


def spacing(space: Graph) -> float:
    """A typical distance between nodes: the side of the square (cube) that one node has to itself.

    A domain that is not a space counts as filling its box.
    """
    box = Box.of(space)
    if isinstance(space, Space | CellSpace):
        return (float(space.measure.double().sum()) / max(space.n, 1)) ** (1 / max(space.mesh.dim, 1))
    sides = (box.high - box.low).clamp(min=0)
    sides = sides[sides > 0]
    return (float(sides.prod()) / max(space.n, 1)) ** (1 / len(sides)) if len(sides) else 0.0


def nearest_node(space: Graph, point: Tensor) -> Tensor:
    """The position [d] of the node nearest to a point [d]."""
    assert space.pos is not None
    pos = space.pos.cpu().double()
    return pos[(pos - point).square().sum(1).argmin()]


def squared_distance(point: Tensor, length: float) -> str:
    """The text of |x - point|^2 for a point [d], rounded to a thousandth of ``length``."""
    digits = 3 - math.floor(math.log10(length))
    terms = []
    for name, v in zip("xyz", [round(v, digits) for v in point.tolist()]):
        terms.append(f"({name} {'-' if v > 0 else '+'} {abs(v):g})**2" if v else f"{name}**2")
    return " + ".join(terms)


class Pde:
    """A PDE by name: fields, coefficients, terms and the defaults that make it run with nothing but a mesh.

    Attributes:
        name: in the registry. title: for reports. equation: as text.
        fields: names of the channels. units: field -> unit where nobody says otherwise.
        coefficients: name -> what it is.
        stationary: whether it has no time at all. balanced: whether it has steady states worth asking for.
        levelled: whether its own terms fix the level of a steady state, so that no value needs to be given.
        continuous: whether its terms need finite elements, and not averages over cells.
        stepper: name of the default stepper. schemes: names of the discretisations on offer, the default first.
        noise: default amplitude of the noise on the initial state.
        vectors: name -> fields that are its components; series for ParaView carry them beside the fields.
        fills: the dimension that its cells must fill; None: any cells will do, surfaces and networks too.
        algebraic: whether a field has no time derivative, as pressures have none.
        partly_held: whether a boundary may hold some of the fields alone.
        side_rules: what a set may carry besides values, inflows and exchanges; :meth:`side` makes conditions of them.
        by_dimension: whether it has a field for each dimension of the mesh; ``fields`` are then those of space.
        conducts: whether materials can say its coefficient ``kappa``. with_materials: its equation then.
        elastic: whether materials can say its moduli. figures: what materials must say then, or else.
        reaction: name of the reaction that belongs to it, or None; any PDE takes another one on top of its terms.

    Args:
        kinetics: the reaction with the constants of this run, whose scales the defaults follow; None: ``reaction`` with
            its own. scheme: one of ``schemes``.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    equation: ClassVar[str]
    fields: ClassVar[tuple[str, ...]] = ("u",)
    units: ClassVar[Mapping[str, str]] = {}
    coefficients: ClassVar[Mapping[str, Coefficient]] = {}
    stationary: ClassVar[bool] = False
    balanced: ClassVar[bool] = True
    levelled: ClassVar[bool] = False
    continuous: ClassVar[bool] = False
    vectors: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    fills: ClassVar[int | None] = None
    algebraic: ClassVar[bool] = False
    partly_held: ClassVar[bool] = False
    side_rules: ClassVar[tuple[str, ...]] = ()
    by_dimension: ClassVar[bool] = False
    elastic: ClassVar[bool] = False
    figures: ClassVar[tuple[str, ...]] = ("conductivity",)
    stepper: str = "backward_euler"
    schemes: ClassVar[tuple[str, ...]] = ()
    noise: ClassVar[float] = 0.0
    conducts: ClassVar[bool] = False
    with_materials: ClassVar[str] = ""
    reaction: ClassVar[str | None] = None

    def __init__(self, kinetics: Any = None, scheme: str | None = None):
        if kinetics is None and self.reaction is not None:
            kinetics = REACTIONS[self.reaction]()
        self.kinetics = kinetics
        self.scheme = scheme or (self.schemes[0] if self.schemes else None)

    @property
    def held_fields(self) -> tuple[str, ...]:
        """The fields that boundary values speak of."""
        return self.fields

    @property
    def pushed_fields(self) -> tuple[str, ...]:
        """The fields that sources, inflows and exchanges act on."""
        return self.fields

    def held(self, place: str, value: Field, *, override: bool = False) -> Condition:
        """The condition that a boundary value stands for; ``value`` has one channel for each of ``held_fields``."""
        return Dirichlet(place, value, override=override)

    def held_parts(self, place: str, values: Mapping[str, Value], *, override: bool = False) -> Condition:
        """The same where some of the ``held_fields`` may be left out, for a PDE with ``partly_held``."""
        raise NotImplementedError(f"{type(self).__name__} does not define held_parts(place, values)")

    def side(self, place: str, rule: str, value: Any, space: Graph, coefficients: Mapping[str, Plain]) -> Condition:
        """The condition that one of the ``side_rules`` stands for."""
        raise NotImplementedError(f"{type(self).__name__} does not define side(place, rule, ...)")

    @classmethod
    def on(cls, mesh: Mesh) -> type[Pde]:
        """The PDE on a mesh, where its fields depend on the dimension.

        Raises:
            ConfigError: a mesh that it does not live on.
        """
        return cls

    @classmethod
    def of_materials(cls, materials: Mapping[str, Material]) -> dict[str, Plain]:
        """The coefficients that materials say."""
        return {"kappa": {name: material.conductivity for name, material in materials.items()}} if cls.conducts else {}

    @classmethod
    def default_element(cls, mesh: Mesh) -> str | None:
        """The element where nobody names one; None: the one that comes with the cells."""
        return None

    def default_boundary(self, space: Graph) -> dict[str, dict[str, Value]]:
        """Values on sets where nobody gives a condition or a source."""
        return {}

    def completed(self, total: Sum, space: Graph) -> Sum:
        """The terms and conditions with what makes their solution unique, where it would not be."""
        return total

    def default_coefficients(self, space: Graph) -> dict[str, Plain]:
        """A value for every coefficient, in the scale of the domain where it must have one."""
        raise NotImplementedError(f"{type(self).__name__} does not define default_coefficients(space)")

    def default_initial(self, space: Graph, coefficients: Mapping[str, Plain], driven: bool) -> dict[str, Value]:
        """Initial values of the fields; ``driven`` says whether a boundary value or a source moves them anyway."""
        return dict.fromkeys(self.fields, 0.0)

    def default_source(self, space: Graph, coefficients: Mapping[str, Plain]) -> dict[str, Value]:
        """What drives a problem that nothing else does, by field."""
        return {}

    def terms(self, space: Graph, coefficients: Mapping[str, Plain]) -> Sum:
        """What moves the fields, without sources, reactions and conditions."""
        raise NotImplementedError(f"{type(self).__name__} does not define terms(space, coefficients)")

    def driven_terms(self, space: Graph, coefficients: Mapping[str, Plain], source: Field) -> Sum:
        """The same with a source."""
        return self.terms(space, coefficients) + Source(space, source)

    def duration(self, space: Graph, coefficients: Mapping[str, Plain]) -> float:
        """How long a run takes when nobody says: until there is something to see.

        Raises:
            ConfigError: the coefficients set no scale, for example kappa = 0.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define duration(space, coefficients)")

    def longest_step(self) -> float | None:
        """What no default step exceeds, or None."""
        return None

    def crossing_step(self, space: Graph, u0: Tensor, coefficients: Mapping[str, Plain]) -> float | None:
        """What no default step exceeds where the stepper treats the nonlinear part explicitly, or None.

        Args:
            u0: initial state [n, c] with its boundary values.
        """
        return None

    def range_kept(self, low: float, high: float, coefficients: Mapping[str, Plain]) -> tuple[float, float] | None:
        """The interval that values from [low, high] never leave where nothing drives them; None where there is none."""
        return None

    def range_remedy(self, space: Graph, coefficients: Mapping[str, Plain]) -> str:
        """What helps where the discrete values leave it all the same."""
        return "take a finer mesh, or the stepper backward_euler with element p1"

    def doubts(self, space: Graph, coefficients: Mapping[str, Plain]) -> list[str]:
        """What the mesh cannot resolve, one sentence each, said before anything is computed."""
        return []


PDES: Registry[type[Pde]] = Registry("pde")


def rounded_down(x: float) -> float:
    """The largest number with two significant digits that is at most x > 0."""
    unit = 10.0 ** (math.floor(math.log10(x)) - 1)
    return float(f"{math.floor(x / unit * (1 + 1e-12)) * unit:.1e}")


def diffusion_time(length: float, kappa: float, share: float) -> float:
    """``share`` of length^2 / kappa, to two digits.

    Raises:
        ConfigError: there is no such time.
    """
    return rounded_down(share * length**2 / setting_scale(kappa if length > 0 else 0.0, f"kappa = {kappa:g}"))


def setting_scale(x: float, what: str) -> float:
    """``x`` from which a run takes its duration, if it is positive and finite; ``what`` names it in the message.

    Raises:
        ConfigError: otherwise.
    """
    if not 0 < x < math.inf:
        raise ConfigError(f"{what} sets no time scale; give the end of the run (time.end or --t-end)")
    return x
