"""Nested tables to a checked :class:`Config`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphpde.config.adapt import read_adapt
from graphpde.config.boundary import read_boundary
from graphpde.config.by_field import by_field
from graphpde.config.domain import CELLS, NAMES
from graphpde.config.initial_from import FieldFile
from graphpde.config.materials import read_materials
from graphpde.config.output import read_output
from graphpde.config.schedule import read_time
from graphpde.config.schema import ByField, Config, MeshSource, Output, ReactionChoice, Solver, TimePlan
from graphpde.config.section import Section, choice, integer, number, quantity, text, truth
from graphpde.errors import ConfigError
from graphpde.formula import Formula
from graphpde.mesh.generate import SHAPES
from graphpde.ops.elasticity import KINDS
from graphpde.ops.reaction import REACTIONS
from graphpde.problems import PDES, Pde
from graphpde.problems.pde import SPACE
from graphpde.solve import KRYLOV

SPACE_TIME = (*SPACE, "t")
METHODS = ("auto", "direct", *KRYLOV)


def read_config(values: Mapping[str, Any]) -> Config:
    """The problem that nested tables describe, every key and value checked; nothing is opened yet.

    Raises:
        UnknownName: a key or name that is not known, with the nearest one. ConfigError: a value of the wrong kind
            or out of range. FormulaError: a formula outside the whitelist.
    """
    top = Section(values)
    if "pde" not in values:
        raise ConfigError(f"the problem names no pde; expected one of {', '.join(sorted(PDES))} (pde = ... or --pde)")
    pde = PDES[top.take("pde", choice("pde", PDES), "")]()
    steady = top.take("steady", truth, False) or pde.stationary
    _require_time(pde, steady, "time" in values)
    if "mesh" not in values:
        raise ConfigError('the problem has no mesh; give mesh = "file", --mesh FILE, or [mesh] with a shape')
    initial, noise = top.take("initial", lambda v, where: _initial(v, where, pde), ({}, None))
    source = _initial_from(values.get("initial"))
    output = top.take("output", lambda v, where: read_output(v, where, pde), Output())
    config = Config(
        mesh=top.take("mesh", _mesh, MeshSource()),
        pde=pde.name,
        steady=steady,
        seed=top.take("seed", integer(0, 2**63 - 1), 0),
        device=top.take("device", text, "cpu"),
        dtype=top.take("dtype", choice("dtype", ("float64", "float32")), "float64"),
        element=top.take("element", choice("element", NAMES), None),
        scheme=top.take("scheme", lambda v, where: _scheme(v, where, pde), None),
        periodic=top.take("periodic", _periodic, ()),
        sets=top.take("sets", _sets, {}),
        parts=top.take("parts", _sets, {}),
        materials=top.take("materials", lambda v, where: read_materials(v, where, pde, steady, output.units), {}),
        coefficients=top.take("coefficients", lambda v, where: _coefficients(v, where, pde), {}),
        initial=initial,
        initial_from=source,
        noise=noise,
        boundary=top.take("boundary", lambda v, where: read_boundary(v, where, pde), {}),
        source=top.take("source", lambda v, where: by_field(v, where, pde.pushed_fields, SPACE_TIME, pde.name), {}),
        reaction=top.take("reaction", lambda v, where: _reaction(v, where, pde), None),
        time=top.take("time", read_time, TimePlan()),
        output=output,
        solver=top.take("solver", _solver, Solver()),
        adapt=top.take("adapt", read_adapt, None),
    )
    top.close()
    for name in pde.of_materials(config.materials) if config.materials else ():
        if name in config.coefficients:
            said = "how well it conducts" if name == "kappa" else f"the {name}"
            raise ConfigError(f"both [materials] and coefficients.{name} say {said}; leave one of them out")
    if config.element == CELLS:
        _refuse_on_cells(config, pde)
    for pair in config.periodic:
        for side in pair:
            if side in config.boundary:
                raise ConfigError(
                    f"'{side}' is periodic with '{pair[pair[0] == side]}' and has a condition too; a periodic side "
                    f"carries none, leave out either the pair or the condition on '{side}'"
                )
    return config


def _refuse_on_cells(config: Config, pde: Pde) -> None:
    """Refuse what averages over cells cannot stand for."""
    if pde.continuous:
        raise ConfigError(
            f"{pde.name} is not offered on averages over cells (element dg0); take --element p1 or p2, or leave it out"
        )
    if (config.scheme or next(iter(pde.schemes), None)) == "supg":
        raise ConfigError(
            f"the scheme supg of {pde.name} is not offered on averages over cells (element dg0); take --scheme limited "
            "or upwind, or another element"
        )


def _mesh(value: Any, where: str) -> MeshSource:
    if isinstance(value, str):
        return MeshSource(path=Path(text(value, where)))
    section = Section(value, where)
    path = section.take("path", text, "")
    form = section.take("format", text, "") or None
    if path:
        section.close()
        return MeshSource(path=Path(path), format=form)
    shape = section.take("shape", choice("shape", SHAPES), "")
    if not shape:
        raise ConfigError(f'{where} names neither a path nor a shape; give [{where}] path = "file" or shape = "disk"')
    known = inspect.signature(SHAPES[shape]).parameters
    options = {}
    for name, parameter in known.items():
        if name in section.values:
            options[name] = section.take(name, _option, parameter.default)
        else:
            section.take(name, _option, None)
    section.close()
    return MeshSource(shape=shape, options=options)


def _scheme(value: Any, where: str, pde: Pde) -> str:
    if not pde.schemes:
        raise ConfigError(f"{where} is '{value}', and {pde.name} has no advection to discretise; leave it out")
    return choice("scheme", pde.schemes)(value, where)


def _periodic(value: Any, where: str) -> tuple[tuple[str, str], ...]:
    pairs = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(p, list | tuple) and len(p) == 2 and all(isinstance(s, str) for s in p) for p in pairs):
        raise ConfigError(f'{where} is {value!r}, expected pairs of sets that are one, such as [["left", "right"]]')
    return tuple((one, other) for one, other in pairs)


def _require_time(pde: Pde, steady: bool, given: bool) -> None:
    if steady and not pde.balanced:
        raise ConfigError(f"steady = true is not offered for {pde.name}, whose patterns live on in time; leave it out")
    if pde.stationary and given:
        raise ConfigError(f"{pde.name} has no time; remove [time]")


def _sets(value: Any, where: str) -> dict[str, Formula]:
    """Sets of facets of the boundary, or of cells, by a statement on places."""
    found = {}
    for name, part in Section(value, where).values.items():
        formula = quantity(SPACE)(part, f"{where}.{name}")
        if not isinstance(formula, Formula):
            raise ConfigError(f'{where}.{name} is {part!r}, expected a statement on places, such as "z < 0.01"')
        found[str(name)] = formula
    return found


def _option(value: Any, where: str) -> Any:
    """A number or nested lists of numbers, as generators take them."""
    if isinstance(value, list):
        return [_option(part, where) for part in value]
    return value if isinstance(value, int) and not isinstance(value, bool) else number()(value, where)


def _coefficients(value: Any, where: str, pde: Pde) -> dict[str, Any]:
    section = Section(value, where)
    if "velocity" in section.values and "velocity" not in pde.coefficients:
        carried = "; take advection-diffusion" if "kappa" in pde.coefficients else "; leave it out"
        raise ConfigError(f"{pde.name} reads no velocity (--velocity or {where}.velocity): it carries nothing{carried}")
    out: dict[str, Any] = {}
    for name, coefficient in pde.coefficients.items():
        found = section.take(name, _READERS.get(coefficient.kind) or number(coefficient.low), None)
        if found is not None:
            out[name] = found
    section.close()
    return out


def _property(value: Any, where: str) -> Any:
    """A number or formula, or one per set of cells; what signs it may have is for the terms to say."""
    if isinstance(value, Mapping) and value:
        return {str(name): quantity(SPACE)(part, f"{where}.{name}") for name, part in value.items()}
    return quantity(SPACE)(value, where)


def _conductivity(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        if not value:
            raise ConfigError(f'{where} is an empty table, expected a number per material, for example "*" = 1.0')
        return {str(name): _conductivity(part, f"{where}.{name}") for name, part in value.items()}
    if isinstance(value, list | tuple):
        if not value or not all(isinstance(row, list | tuple) and len(row) == len(value) for row in value):
            raise ConfigError(f"{where} is {value!r}, expected a number, a formula or a matrix like [[2, 0], [0, 1]]")
        return [[quantity(SPACE)(part, f"{where}[{i}][{j}]") for j, part in enumerate(r)] for i, r in enumerate(value)]
    found = quantity(SPACE)(value, where)
    return number(0.0)(value, where) if isinstance(found, float) else found


def _vector(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= 3:
        raise ConfigError(f"{where} is {value!r}, expected one number or formula per dimension, such as [1.0, 0.0]")
    return [quantity(SPACE)(part, f"{where}[{k}]") for k, part in enumerate(value)]


_READERS = {
    "vector": _vector,
    "conductivity": _conductivity,
    "property": _property,
    "state": choice("state of stress", KINDS),
}


def _initial(value: Any, where: str, pde: Pde) -> tuple[ByField, float | None]:
    if not isinstance(value, Mapping):
        return by_field(value, where, pde.fields, SPACE, pde.name), None
    section = Section(value, where)
    found = {name: section.take(name, quantity(SPACE), None) for name in pde.fields}
    noise = section.take("noise", number(0.0), None)
    section.take("from", text, "")
    section.close()
    return {name: part for name, part in found.items() if part is not None}, noise


def _initial_from(value: Any) -> FieldFile | None:
    return FieldFile.of(value["from"]) if isinstance(value, Mapping) and "from" in value else None


def _reaction(value: Any, where: str, pde: Pde) -> ReactionChoice:
    section = Section(value, where)
    name = section.take("name", choice("reaction", REACTIONS), pde.reaction or "")
    if not name:
        raise ConfigError(f"{where} has no name; expected one of {', '.join(sorted(REACTIONS))}")
    channels = getattr(REACTIONS[name], "channels", ())
    if len(channels) > 1 and len(channels) != len(pde.fields):
        raise ConfigError(
            f"reaction '{name}' acts on {len(channels)} fields, {pde.name} has {len(pde.fields)}; choose another"
        )
    known = inspect.signature(REACTIONS[name]).parameters
    parameters = {key: section.take(key, quantity(SPACE), math.nan) for key in known}
    section.close()
    return ReactionChoice(name, {key: v for key, v in parameters.items() if key in section.values})


def _solver(value: Any, where: str) -> Solver:
    section = Section(value, where)
    out = Solver(
        method=section.take("method", choice("solver", METHODS), Solver.method),
        rtol=section.take("rtol", number(0.0, above=True), Solver.rtol),
        allow_unstable=section.take("allow_unstable", truth, False),
    )
    section.close()
    return out
