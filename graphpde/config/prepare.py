"""From a checked problem to objects: the mesh read, the terms built, the times and the step found; nothing written."""

from __future__ import annotations

import inspect
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.config.adapt import choose_indicator
from graphpde.config.boundary import conditions
from graphpde.config.domain import open_space
from graphpde.config.initial_from import Loaded, load_fields
from graphpde.config.schedule import plan_time
from graphpde.config.schema import BoundaryRule, Config, MeshSource, ReactionChoice
from graphpde.core.graph import TagSet, selected
from graphpde.dynamics import Adaptive
from graphpde.dynamics.stepper import Stepper
from graphpde.errors import ConditionError, ConfigError, MeshError
from graphpde.formula import Formula
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.generate import SHAPES
from graphpde.mesh.geometry import cell_centroids
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.selection import facets_where
from graphpde.mesh.space import Space
from graphpde.ops.reaction import REACTIONS, Reaction
from graphpde.ops.system import System
from graphpde.ops.term import Sum
from graphpde.ops.values import evaluate, positions
from graphpde.problems import PDES, Pde, initial_state
from graphpde.problems.units import units_of_bodies
from graphpde.problems.values import as_field


@dataclass(frozen=True)
class Setup:
    """A problem ready to run.

    Attributes:
        config: everything said, defaults included; written to the run folder.
        pde, space: what is solved where; ``space.mesh`` is the mesh. term: the right-hand side. system: it made ready.
        u0: initial state [n, c] with the boundary values put in.
        stepper, times, dt, steps: how it advances; None, [start], None and 1 for a steady state.
        control: chooses the steps, ``dt`` and ``steps`` are then None; None: equal ones.
        timings: seconds spent on reading the mesh and on assembly. notes: about the initial values and what the mesh
            cannot resolve, one sentence each. remarks: what differs from what was asked for, which is no warning.
    """

    config: Config
    pde: Pde
    space: Space | CellSpace
    term: Sum
    system: System
    u0: Tensor
    stepper: Stepper | None
    times: Tensor
    dt: float | None
    steps: int | None
    timings: Mapping[str, float]
    notes: tuple[str, ...] = ()
    control: Adaptive | None = None
    remarks: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the mesh, and the notes."""
        return (*self.space.warnings, *self.notes)

    @property
    def thermal(self) -> bool:
        """Whether materials say how it conducts heat, so that units are physical."""
        return bool(self.config.materials) and self.pde.conducts

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the channels."""
        return self.pde.fields

    @property
    def name(self) -> str:
        """``heat-plate``."""
        return f"{self.pde.name}-{self.config.mesh.label}"

    @property
    def units(self) -> dict[str, str]:
        """Unit of each field, of length and of time."""
        physical = {self.pde.fields[0]: "K"} if self.thermal else {}
        given = self.config.output.units
        told = {"length": "m", "time": "s", **self.pde.units, **physical}
        if self.pde.elastic:
            bodies = units_of_bodies(given)
            told |= dict.fromkeys([name for name, unit in told.items() if unit == "m"], bodies.length)
            told |= {"stress": bodies.stress, "force": bodies.force}
        return {**told, **given}


def prepare(config: Config, mesh: Mesh | None = None) -> Setup:
    """Read or make the mesh, or take the one given instead, and build everything that the run needs.

    Raises:
        InputError: whatever the user must change, said before anything is computed or written.
    """
    kind = PDES[config.pde]
    _check_device(config.device)
    clock = time.perf_counter()
    mesh = open_mesh(config.mesh) if mesh is None else mesh
    mesh = with_sets(mesh, config.sets, config.parts)
    kind = kind.on(mesh)
    config = _in_dimension(config, kind)
    timings = {"read the mesh": time.perf_counter() - clock}
    if config.element is None:
        config = replace(config, element=kind.default_element(mesh))
    space = open_space(config, mesh, len(kind.fields))
    dtype = getattr(torch, config.dtype)
    if config.device != "cpu" or dtype != torch.float64:
        space = space.to(config.device, dtype)
    config = replace(config, reaction=_reaction(config, kind))
    pde = kind(None if config.reaction is None else _kinetics(config.reaction, space, mean=True), config.scheme)
    coefficients = _coefficients(config, pde, space)
    loaded = Loaded({}, [])
    if config.initial_from is not None:
        loaded = load_fields(config.initial_from, pde.fields, space, config.initial)
        config = replace(config, initial_from=replace(config.initial_from, path=config.initial_from.path.resolve()))
    initial = {**pde.default_initial(space, coefficients, config.driven), **config.initial}
    initial = {name: value for name, value in initial.items() if name not in loaded.values}
    noise = config.noise
    if noise is None:
        noise = 0.0 if loaded.values else pde.noise
    boundary, source = config.boundary, config.source
    if not config.driven:
        boundary = {name: BoundaryRule(value) for name, value in pde.default_boundary(space).items()}
        source = pde.default_source(space, coefficients)
    config = replace(config, coefficients=coefficients, initial=initial, noise=noise, source=source, boundary=boundary)
    config = choose_indicator(replace(config, mesh=_anywhere(config.mesh)), space)
    start = torch.tensor(config.time.start, dtype=torch.float64, device=space.device)
    nothing = dict.fromkeys(loaded.values, 0.0)
    u0 = initial_state({**nothing, **initial}, pde.fields, space, config.time.start, noise, config.seed)
    for name, values in loaded.values.items():
        u0[:, pde.fields.index(name)] += values.to(u0)
    with torch.no_grad():
        term, caveats = _told(pde, space, config)
        system = System(term, None, start)
        u0 = system.reset(start, u0)
    _require_finite(u0, pde)
    timings["assemble"] = time.perf_counter() - clock - timings["read the mesh"]
    notes = (*loaded.notes, *caveats, *pde.doubts(space, coefficients))
    if config.steady:
        _require_level(config, pde, space, system)
        times = start[None].cpu()
        return Setup(config, pde, space, term, system, u0, None, times, None, 1, timings, notes)
    config, schedule = plan_time(config, pde, space, system, u0)
    stepper, times, dt, steps, control, remarks, doubts = schedule
    notes = (*notes, *doubts)
    return Setup(config, pde, space, term, system, u0, stepper, times, dt, steps, timings, notes, control, remarks)


def _anywhere(source: MeshSource) -> MeshSource:
    """The source with an absolute path, so that the configuration works from any folder."""
    return source if source.path is None else replace(source, path=source.path.resolve())


def open_mesh(source: MeshSource) -> Mesh:
    """The mesh of a file or of a shape.

    Raises:
        MeshError: it cannot be read or made.
    """
    if source.path is not None:
        from graphpde.mesh.io import read_mesh

        return read_mesh(source.path, format=source.format)
    assert source.shape is not None
    try:
        return SHAPES[source.shape](**source.options)
    except (TypeError, ValueError) as error:
        if isinstance(error, MeshError):
            raise
        given = ", ".join(f"{k} = {v}" for k, v in source.options.items())
        raise MeshError(f"shape '{source.shape}' cannot be made with {given or 'its defaults'}: {error}") from error


def with_sets(mesh: Mesh, sets: Mapping[str, Formula], parts: Mapping[str, Formula] | None = None) -> Mesh:
    """The mesh with sets of those facets of its boundary all of whose nodes satisfy a statement, and of those cells
    whose centroids do (``parts``).

    Raises:
        ConfigError: a name that the mesh has already, or no such facet or cell.
    """
    found: dict[str, TagSet] = {}
    for key, dim, given in (("sets", mesh.dim - 1, sets), ("parts", mesh.dim, parts or {})):
        for name, says in given.items():
            if name in mesh.tags or name in found:
                raise ConfigError(f"{key}.{name} has the name of a set of '{mesh.name}'; take another name")
            ids = _selected(mesh, says, dim)
            if not len(ids):
                low, high = (", ".join(f"{v:.4g}" for v in x) for x in (mesh.points.amin(0), mesh.points.amax(0)))
                raise ConfigError(
                    f'{key}.{name} = "{says.text}" holds for no {"facet" if dim < mesh.dim else "cell"} of '
                    f"'{mesh.name}', which reaches from ({low}) to ({high})"
                )
            found[name] = mesh.make_tag(dim, ids)
    return mesh.with_tags(**found) if found else mesh


def _selected(mesh: Mesh, says: Formula, dim: int) -> torch.Tensor:
    """Numbers of the facets of the boundary, or of the cells, of which a statement holds, in order."""
    if dim == mesh.dim:
        return selected(says, cell_centroids(mesh)).nonzero()[:, 0]
    try:
        return torch.sort(facets_where(mesh, says, mesh.tag("boundary").ids, "a set of the boundary")).values
    except ConditionError:
        return torch.zeros(0, dtype=torch.int64)


def _in_dimension(config: Config, kind: type[Pde]) -> Config:
    """The problem without the components that the mesh does not have, where they are zero.

    Raises:
        ConfigError: one that is not.
    """
    if kind.fields == PDES[config.pde].fields:
        return config

    def fitting(values: Mapping[str, Any] | None, where: str) -> Mapping[str, Any] | None:
        for name, value in (values or {}).items():
            if name not in kind.fields and value != 0.0:
                raise ConfigError(f"{where} speaks of {name}, and the mesh lies in the plane; leave it out")
        return values if values is None else {k: v for k, v in values.items() if k in kind.fields}

    rules = {
        name: replace(
            rule, value=fitting(rule.value, f"boundary.{name}"), inflow=fitting(rule.inflow, f"boundary.{name}")
        )
        for name, rule in config.boundary.items()
    }
    initial, source = fitting(config.initial, "initial"), fitting(config.source, "source")
    return replace(config, boundary=rules, initial=initial or {}, source=source or {})


def _told(pde: Pde, space: Space | CellSpace, config: Config) -> tuple[Sum, list[str]]:
    """The terms, and what they warn of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        term = build_term(pde, space, config)
    return term, list(dict.fromkeys(str(each.message) for each in caught))


def build_term(pde: Pde, space: Space | CellSpace, config: Config) -> Sum:
    """The terms of the PDE with sources, reaction and conditions."""
    if config.source:
        total = pde.driven_terms(space, config.coefficients, as_field(config.source, pde.fields))
    else:
        total = pde.terms(space, config.coefficients)
    if config.reaction is not None:
        total = total + Reaction(_kinetics(config.reaction, space))
    for place, rule in config.boundary.items():
        for condition in conditions(place, rule, pde, space, config.coefficients):
            total = total + condition
    return pde.completed(total, space)


def _reaction(config: Config, pde: type[Pde]) -> ReactionChoice | None:
    """The reaction with all its constants said."""
    name = config.reaction.name if config.reaction else pde.reaction
    if name is None:
        return None
    defaults = {key: p.default for key, p in inspect.signature(REACTIONS[name]).parameters.items()}
    return ReactionChoice(name, {**defaults, **(config.reaction.parameters if config.reaction else {})})


def _kinetics(chosen: ReactionChoice, space: Space | CellSpace, *, mean: bool = False) -> nn.Module:
    """The reaction itself; a constant given as a formula has one value per node, or their mean for finding scales.

    Raises:
        InputError: a constant out of its range, for instance of the wrong sign.
    """
    constants: dict[str, Any] = {}
    for name, value in chosen.parameters.items():
        constants[name] = value
        if isinstance(value, Formula):
            at_nodes = evaluate(value, positions(space), 0.0, name)[:, 0]
            constants[name] = float(at_nodes.mean()) if mean else at_nodes
    return REACTIONS[chosen.name](**constants)


def _coefficients(config: Config, pde: Pde, space: Space | CellSpace) -> dict[str, Any]:
    """All of them: the defaults, what is given, what materials say.

    Raises:
        ConfigError: a body of one's own of which nobody says what it is made of; shapes alone are of steel.
    """
    own = config.mesh.path is not None or bool(config.output.units)
    if pde.elastic and own and not config.materials and "young" not in config.coefficients:
        raise ConfigError(
            f'nothing says what \'{config.mesh.label}\' is made of; give [materials], such as "*" = "steel" '
            f"('graphpde list materials'), or coefficients.young and poisson"
        )
    found = {**pde.default_coefficients(space), **config.coefficients}
    return found | (pde.of_materials(config.materials) if config.materials else {})


def _require_level(config: Config, pde: Pde, space: Space | CellSpace, system: System) -> None:
    if pde.levelled or system.nonlinear or any(rule.robin is not None for rule in config.boundary.values()):
        return
    held, way = system.fixed is not None, "--bc NAME"
    if pde.elastic:  # where displacements may be held alone
        (field,) = pde.pushed_fields
        held = any(field in (rule.value or {}) for rule in config.boundary.values())
        way = f"--set boundary.NAME.{field}"
    if not held:
        sets = ", ".join([f"'{name}'" for name in space.mesh.tags] + ["'boundary'"])
        raise ConditionError(
            f"a steady {config.pde} solution needs a value somewhere, or it is only known up to a constant; "
            f"give one with {way}=VALUE, or an exchange with --robin; the sets of '{space.mesh.name}' are {sets}"
        )


def _require_finite(u0: Tensor, pde: Pde) -> None:
    bad = (~torch.isfinite(u0)).nonzero()
    if len(bad):
        node, channel = bad[0].tolist()
        raise ConfigError(
            f"the initial value of {pde.fields[channel]} is not finite at {len(bad)} of {u0.shape[0]} nodes, first at "
            f"node {node}; mend its formula"
        )


def _check_device(name: str) -> None:
    try:
        torch.empty(1, device=torch.device(name))
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else "it is not known"
        raise ConfigError(
            f"device '{name}' cannot be used ({reason}); 'graphpde doctor' lists what there is, cpu always works"
        ) from None
