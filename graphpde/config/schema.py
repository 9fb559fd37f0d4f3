"""What a problem file says, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphpde.config.by_field import ByField
from graphpde.config.initial_from import FieldFile
from graphpde.formula import Formula
from graphpde.problems import PDES, Pde
from graphpde.problems.materials import Material

Value = float | Formula
Point = tuple[float, ...]
Segment = tuple[Point, Point]


@dataclass(frozen=True)
class MeshSource:
    """Where the mesh comes from: a file, or a shape of ``graphpde list shapes`` with its options."""

    path: Path | None = None
    format: str | None = None
    shape: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Short name for run folders."""
        return self.shape if self.path is None else self.path.name.split(".")[0]  # type: ignore[return-value]


@dataclass(frozen=True)
class BoundaryRule:
    """What holds on a named set: a value, an inflow, or kappa du/dn + a u = g (``robin`` = a, g), for each field.

    ``override``: the value wins where the set shares nodes with another one. ``sides``: those of the rules that the PDE
    has besides, with their values.
    """

    value: ByField | None = None
    inflow: ByField | None = None
    override: bool = False
    robin: tuple[ByField, ByField] | None = None
    sides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ReactionChoice:
    """A reaction by name with its parameters, numbers or formulas in x, y, z."""

    name: str
    parameters: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class TimePlan:
    """When, how finely and by which stepper; None = found from the PDE, the mesh and the coefficients.

    With ``rtol`` the steps adapt: ``dt`` is then the first one, ``atol``, ``dt_min`` and ``dt_max`` are those of
    :class:`~graphpde.dynamics.Adaptive`.
    """

    start: float = 0.0
    end: float | None = None
    dt: float | None = None
    frames: int = 20
    stepper: str | None = None
    rtol: float | None = None
    atol: float | None = None
    dt_min: float | None = None
    dt_max: float | None = None


@dataclass(frozen=True)
class Output:
    """What a run writes besides the fields, and in which units.

    ``pictures``: "none", "summary", or "all" = also one of every frame. ``series``: "vtu", "xdmf" or "both".
    ``probes``: points by name, followed at every step. ``lines``: segments by name, sampled at every saved moment.
    ``integrals``, ``fluxes``: over which sets of cells, through which sets of facets; "all" of them, None = not wanted.
    ``forces``: of a flow on which sets of facets; ``reference``: "speed" and "area" that make them coefficients.
    """

    pictures: str = "summary"
    npz: bool = True
    report: bool = True
    units: Mapping[str, str] = field(default_factory=dict)
    series: str = "vtu"
    animation: bool = False
    probes: Mapping[str, Point] = field(default_factory=dict)
    lines: Mapping[str, Segment] = field(default_factory=dict)
    integrals: str | tuple[str, ...] | None = None
    fluxes: str | tuple[str, ...] | None = None
    forces: str | tuple[str, ...] | None = None
    reference: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Solver:
    """The linear solver of implicit steps and steady states; whether explicit steps may exceed the stability bound."""

    method: str = "auto"
    rtol: float = 1e-10
    allow_unstable: bool = False


@dataclass(frozen=True)
class Adapt:
    """How far the mesh of a steady state refines itself.

    ``tolerance``: share of the energy norm of the solution that the estimated error may have. ``indicator``:
    "recovery" or "residual", None = found. ``theta``: share of the squared estimate in the cells refined in one round.
    ``max_unknowns``: where refinement ends in any case.
    """

    tolerance: float
    indicator: str | None = None
    theta: float = 0.5
    max_unknowns: int = 200_000


@dataclass(frozen=True)
class Config:
    """One problem, completely; missing coefficients, initial values and times are filled in by ``prepare``."""

    mesh: MeshSource
    pde: str
    element: str | None = None
    scheme: str | None = None
    periodic: tuple[tuple[str, str], ...] = ()
    sets: Mapping[str, Formula] = field(default_factory=dict)
    parts: Mapping[str, Formula] = field(default_factory=dict)
    materials: Mapping[str, Material] = field(default_factory=dict)
    steady: bool = False
    seed: int = 0
    device: str = "cpu"
    dtype: str = "float64"
    coefficients: Mapping[str, Any] = field(default_factory=dict)
    initial: ByField = field(default_factory=dict)
    initial_from: FieldFile | None = None
    noise: float | None = None
    boundary: Mapping[str, BoundaryRule] = field(default_factory=dict)
    source: ByField = field(default_factory=dict)
    reaction: ReactionChoice | None = None
    time: TimePlan = TimePlan()
    output: Output = Output()
    solver: Solver = Solver()
    adapt: Adapt | None = None

    @property
    def driven(self) -> bool:
        """Whether a boundary value, an inflow or a source moves the fields whatever they start from."""
        return bool(self.boundary or self.source)

    def as_dict(self) -> dict[str, Any]:
        """Nested plain values, as a problem file writes them."""
        mesh = self.mesh
        where: Any = {"shape": mesh.shape, **mesh.options} if mesh.path is None else {"path": str(mesh.path)}
        if mesh.format:
            where["format"] = mesh.format
        out: dict[str, Any] = {"pde": self.pde, "steady": self.steady, "seed": self.seed}
        out |= {"device": self.device, "dtype": self.dtype, "mesh": where}
        if self.element is not None:
            out["element"] = self.element
        if self.scheme is not None:
            out["scheme"] = self.scheme
        if self.periodic:
            out["periodic"] = [list(pair) for pair in self.periodic]
        out |= {"sets": _plain(self.sets), "parts": _plain(self.parts)}
        said = PDES[self.pde].of_materials(self.materials) if self.materials else {}
        out["coefficients"] = {name: _plain(value) for name, value in self.coefficients.items() if name not in said}
        out["materials"] = {name: material.as_dict() for name, material in self.materials.items()}
        out["initial"] = _plain(self.initial) | ({} if self.noise is None else {"noise": self.noise})
        if self.initial_from is not None:
            out["initial"] = {"from": str(self.initial_from), **out["initial"]}
        out["boundary"] = {name: _rule(rule, PDES[self.pde]) for name, rule in self.boundary.items()}
        out["source"] = _plain(self.source)
        if self.reaction is not None:
            out["reaction"] = {"name": self.reaction.name, **_plain(self.reaction.parameters)}
        if self.steady and self.time.start:  # the moment at which boundary values and sources are taken
            out["time"] = {"start": self.time.start}
        elif not self.steady:
            out["time"] = {k: v for k, v in vars(self.time).items() if v is not None}
        out["output"] = {k: _plain(v) for k, v in vars(self.output).items() if v is not None and v != {}}
        out["solver"] = dict(vars(self.solver))
        if self.adapt is not None:
            out["adapt"] = {k: v for k, v in vars(self.adapt).items() if v is not None}
        return {key: value for key, value in out.items() if value != {}}


def _rule(rule: BoundaryRule, pde: type[Pde]) -> dict[str, Any]:
    def plain(given: ByField, fields: Sequence[str]) -> Any:
        return _plain(given) if len(fields) > 1 else _plain(given.get(fields[0], 0.0))

    held, pushed = pde().held_fields, pde().pushed_fields
    out: dict[str, Any] = {}
    if rule.value is not None:
        out["value"] = plain(rule.value, held)
    if rule.inflow is not None:
        out["inflow"] = plain(rule.inflow, pushed)
    if rule.robin is not None:
        out["robin"] = {key: plain(part, pushed) for key, part in zip(("a", "g"), rule.robin, strict=True)}
    out |= {key: _plain(part) for key, part in rule.sides.items()}
    return out | ({"override": True} if rule.override else {})


def _plain(value: Any) -> Any:
    if isinstance(value, Formula):
        return value.text
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value
