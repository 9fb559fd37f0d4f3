"""A prepared problem as a Python script on the public interface that computes the same, to learn from and to change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields as dataclass_fields
from typing import Any

from torch import Tensor

from graphpde import __version__, dynamics
from graphpde.config import Setup
from graphpde.config.domain import density_of
from graphpde.config.schema import BoundaryRule
from graphpde.dynamics import Adaptive
from graphpde.errors import ConfigError
from graphpde.formula import Formula
from graphpde.ops.diffusion import Diffusion
from graphpde.ops.elasticity import Elasticity
from graphpde.ops.elasticity.swelling import Swelling
from graphpde.ops.incompressible import Pressure
from graphpde.problems import Pde

_LONG = 60  # letters of the initial values from which each gets a line of its own


def show_code(setup: Setup, command: str = "", own: Callable[[Script], list[str]] | None = None) -> str:
    """The script; run in an empty folder it leaves ``u``, the final state [n, c], and a series of the saved moments.

    Args:
        own: lines that come to u otherwise than by a steady state or steps.

    Raises:
        ConfigError: a condition that the script has no words for.
    """
    script = Script()
    body = [
        *_mesh_and_space(script, setup),
        "",
        *_terms(script, setup),
        *_conditions(script, setup),
        "",
        *(own(script) if own is not None else [*_initial(script, setup), *_solve(script, setup)]),
        *_left_out(setup),
    ]
    said = f"\n\nAs: {command}" if command else ""
    what = f"{setup.pde.title} on {setup.space.mesh.name}"
    title = f"{what}\n\n{setup.pde.equation}{said}\n\nWritten by graphpde {__version__}."
    title = title.replace("\\", "\\\\").replace('"', '\\"')
    return "\n".join([f'"""{title}\n"""', "", *script.imports(), "", *body]) + "\n"


class Script:
    """The names that a script imports, collected while its lines are written."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}

    def use(self, name: str, module: str) -> str:
        """A name that the script will import from a module."""
        self._names.setdefault(module, set()).add(name)
        return name

    def imports(self) -> list[str]:
        lines = ["import torch"] if "torch" in self._names else []
        lines += [""] if lines else []
        for module in sorted(self._names):
            if module != "torch":
                lines.append(f"from {module} import {', '.join(sorted(self._names[module], key=str.lower))}")
        return lines

    def value(self, value: Any) -> str:
        """A number, formula, text, list or table as code."""
        if isinstance(value, Formula):
            return f"{self.use('Formula', 'graphpde.formula')}({self.value(value.text)})"
        if isinstance(value, Mapping):
            return "{" + ", ".join(f"{self.value(k)}: {self.value(v)}" for k, v in value.items()) + "}"
        if isinstance(value, list | tuple):
            return "[" + ", ".join(self.value(part) for part in value) + "]"
        return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)

    def field(self, values: Mapping[str, Any], fields: Sequence[str]) -> str:
        """Values by field as one field."""
        parts = [values.get(name, 0.0) for name in fields]
        if len(parts) == 1:
            return self.value(parts[0])
        return f"{self.use('FieldsAt', 'graphpde.problems')}({self.value(parts)})"

    def call(self, name: str, module: str, *given: str, **named: Any) -> str:
        """A call; ``named`` are code already."""
        parts = [*given, *(f"{key}={value}" for key, value in named.items() if value is not None)]
        return f"{self.use(name, module)}({', '.join(parts)})"


def _mesh_and_space(script: Script, setup: Setup) -> list[str]:
    config, source = setup.config, setup.config.mesh
    if source.path is not None:
        form = None if source.format is None else script.value(source.format)
        mesh = script.call("read_mesh", "graphpde.mesh", script.value(str(source.path)), format=form)
    else:
        options = {key: script.value(value) for key, value in source.options.items()}
        mesh = f"{script.use('SHAPES', 'graphpde.mesh')}[{script.value(source.shape)}]" + _arguments(options)
    named: dict[str, Any] = {"channels": len(setup.pde.fields)}
    if config.element is not None:
        named["element"] = f"{script.use('ELEMENTS', 'graphpde.mesh.elements')}[{script.value(config.element)}]()"
    if config.periodic:
        named["periodic"] = repr(tuple(tuple(pair) for pair in config.periodic))
    density = density_of(config)
    if density is not None:
        named["density"] = script.value(density)
    kind = type(setup.space).__name__
    if kind not in ("Space", "CellSpace"):
        raise ConfigError(f"--show-code has no words for unknowns on a {kind}; use --dry-run to see the problem")
    if kind == "CellSpace":
        named.pop("element", None)
        named = {key: value for key, value in named.items() if key in ("channels", "periodic", "density")}
        space = script.call(kind, "graphpde.mesh", "mesh", **named)
    else:
        space = script.call(kind, "graphpde.mesh", "mesh", **named, reorder="None")
    if config.device != "cpu" or config.dtype != "float64":
        space += f".to({script.value(config.device)}, {script.use('torch', 'torch')}.{config.dtype})"
    lines = [f"mesh = {mesh}"]
    if config.sets or config.parts:
        parts = script.value(config.parts) if config.parts else None
        made = script.call("with_sets", "graphpde.config", "mesh", script.value(config.sets), parts=parts)
        lines.append(f"mesh = {made}")
    return [*lines, f"space = {space}"]


def _arguments(options: Mapping[str, str]) -> str:
    return "(" + ", ".join(f"{key}={value}" for key, value in options.items()) + ")"


def _terms(script: Script, setup: Setup) -> list[str]:
    """What moves the fields: a diffusion in so many words, anything else as the library builds it."""
    config, pde = setup.config, setup.pde
    coefficients = dict(config.coefficients)
    plain = all(isinstance(value, float | int) or _numbers(value) for value in coefficients.values())
    source = script.field(config.source, pde.fields) if config.source else None
    own = type(pde).driven_terms is Pde.driven_terms
    if plain and own and _only_diffusion(setup):
        values = list(coefficients.values())
        kappa = script.value(values[0])
        if len(values) > 1:
            torch = script.use("torch", "torch")
            kappa = f"{torch}.tensor([{script.value(values)}], dtype={torch}.{config.dtype})"
        lines = [f"f = {script.call('Diffusion', 'graphpde.ops', 'space', kappa)}"]
        if source is not None:
            lines.append(f"f = f + {script.call('Source', 'graphpde.ops', 'space', source)}")
    else:
        scheme = None if pde.scheme is None else script.value(pde.scheme)
        lines = [
            f"pde = {script.use('PDES', 'graphpde.problems')}[{script.value(pde.name)}]"
            + (f"(scheme={scheme})" if scheme else "()")
        ]
        said = script.value(coefficients)
        if pde.side_rules:
            lines.append(f"coefficients = {said}")
            said = "coefficients"
        lines.append(
            f"f = pde.terms(space, {said})" if source is None else f"f = pde.driven_terms(space, {said}, {source})"
        )
    if config.reaction is not None:
        constants = {
            key: f"{script.value(value)}(space.pos)" if isinstance(value, Formula) else script.value(value)
            for key, value in config.reaction.parameters.items()
        }
        reaction = (
            f"{script.use('REACTIONS', 'graphpde.ops.reactions')}[{script.value(config.reaction.name)}]"
            + _arguments(constants)
        )
        lines.append(f"f = f + {script.call('Reaction', 'graphpde.ops', reaction)}")
    return lines


def _numbers(value: Any) -> bool:
    """Whether it is a table of numbers, one a material."""
    return isinstance(value, Mapping) and all(isinstance(part, float | int) for part in value.values())


def _only_diffusion(setup: Setup) -> bool:
    """Whether the PDE's own terms are one diffusion, of numbers for several fields."""
    several = len(setup.config.coefficients) > 1
    if several and any(isinstance(value, Mapping) for value in setup.config.coefficients.values()):
        return False
    parts = setup.pde.terms(setup.space, setup.config.coefficients).parts
    return len(parts) == 1 and type(parts[0][1]) is Diffusion and float(parts[0][0]) == 1.0


def _conditions(script: Script, setup: Setup) -> list[str]:
    lines = [
        f"f = f + {condition}"
        for place, rule in setup.config.boundary.items()
        for condition in _of_rule(script, setup, place, rule)
    ]
    for level in (c for c in setup.term.conditions if isinstance(c, Pressure)):
        assert isinstance(level.where, Tensor)
        lines.append(f"f = f + {script.call('Pressure', 'graphpde.ops', repr(level.where.tolist()), '0.0')}")
    return lines


def _of_rule(script: Script, setup: Setup, place: str, rule: BoundaryRule) -> Iterator[str]:
    """The conditions of one set, as graphpde.config.boundary makes them."""
    known, fields = {"value", "inflow", "override", "robin", "sides"}, setup.pde.fields
    odd = [f.name for f in dataclass_fields(BoundaryRule) if f.name not in known and getattr(rule, f.name) is not None]
    if odd:
        raise ConfigError(f"--show-code has no words for {odd[0]} on '{place}'; use --dry-run to see the problem")
    for side in rule.sides.items():
        given = ", ".join(script.value(part) for part in (place, *side))
        yield f"pde.side({given}, space, coefficients)"
    if rule.inflow is not None:
        yield script.call("Neumann", "graphpde.ops", script.value(place), script.field(rule.inflow, fields))
    if rule.robin is not None:
        both = [script.field(part, fields) for part in rule.robin]
        yield script.call("Robin", "graphpde.ops", script.value(place), *both)
    if rule.value is not None:
        override, held, channels = "True" if rule.override else None, list(fields), None
        if setup.pde.partly_held:
            held = [name for name in held if name in rule.value]
            channels = repr([fields.index(name) for name in held])
        value = script.field(rule.value, held)
        yield script.call("Dirichlet", "graphpde.ops", script.value(place), value, override=override, channels=channels)


def _initial(script: Script, setup: Setup) -> list[str]:
    config, fields = setup.config, setup.pde.fields
    from_file = config.initial_from
    values: dict[str, Any] = dict(config.initial)
    noise, start = config.noise or 0.0, config.time.start
    lines = []
    names = script.value(list(fields))
    if from_file is not None:
        parts = [script.value(part) for part in (str(from_file.path), from_file.field, from_file.time)]
        place = script.call("FieldFile", "graphpde.config.initial_from", *parts)
        given = [place, names, "space", script.value(list(values))]
        lines.append(f"given = {script.call('load_fields', 'graphpde.config.initial_from', *given)}.values")
        values = {name: 0.0 for name in fields if name not in values} | values
    written = script.value(values)
    if len(written) > _LONG:
        lines += ["initial = {", *(f"    {script.value(k)}: {script.value(v)}," for k, v in values.items()), "}"]
        written = "initial"
    numbers = [repr(number) for number in (start, noise, config.seed)]
    lines.append(f"u0 = {script.call('initial_state', 'graphpde.problems', written, names, 'space', *numbers)}")
    if from_file is not None:
        lines += ["for name, values in given.items():", f"    u0[:, {names}.index(name)] += values.to(u0)"]
    return lines


def _left_out(setup: Setup) -> list[str]:
    """One line of comment on what the run would measure and the script does not."""
    output = setup.config.output
    asked = [name for name in ("probes", "lines", "fluxes", "integrals", "animation") if getattr(output, name)]
    asked += ["adapt"] if setup.config.adapt is not None else []
    return ["", f"# not in this script: {', '.join(asked)}"] if asked else []


def fields_of(setup: Setup) -> str:
    """The fields of u at the points of the mesh, by name."""
    names = json.dumps(list(setup.pde.fields))
    return "{name: space.at_points(u)[:, k] for k, name in enumerate(" + names + ")}"


def written(script: Script, setup: Setup, more: Mapping[str, str] | None = None) -> list[str]:
    """The lines that write u, with ``more`` fields [n], as code by name."""
    lines = [f"fields = {fields_of(setup)}"]
    for name, values in (more or {}).items():
        lines.append(f'fields["{name}"] = space.at_points({values}[:, None])[:, 0]')
    return [*lines, series(script, setup, f"[({float(setup.times[0])!r}, fields)]", "list(fields)")]


def series(script: Script, setup: Setup, moments: str, names: str) -> str:
    """The line that writes moments, given as code."""
    write = script.use("write_series", "graphpde.viz")
    return f'{write}("{setup.name}.pvd", {moments}, names={names}, mesh=space.mesh)'


def _stresses(script: Script, setup: Setup) -> list[str]:
    """The lines that read a body at rest; none for anything else."""
    k = next((k for k, (_, term) in enumerate(setup.term.parts) if isinstance(term, Elasticity | Swelling)), None)
    if k is None:
        return []
    at_nodes, found = (script.use(name, "graphpde.ops.elasticity") for name in ("at_nodes", "von_mises"))
    moved = "u" if isinstance(setup.term.parts[k][1], Elasticity) else f"u[:, :{setup.space.mesh.dim}]"
    return [
        f"    body = f.parts[{k}][1]",
        f"    stress = {found}({at_nodes}(body, body.stress(u, {float(setup.times[0])!r})))",
        f'print("largest displacement", float({moved}.norm(dim=1).max()))',
        'print("largest von Mises stress", float(stress.max()))',
    ]


def _solve(script: Script, setup: Setup) -> list[str]:
    config = setup.config
    names = script.value(list(setup.pde.fields))
    if setup.stepper is None:
        rtol = repr(min(config.solver.rtol, 1e-10))
        found = script.call("steady", "graphpde.dynamics", "f", "u0", t=repr(float(setup.times[0])),
                            method=script.value(config.solver.method), rtol=rtol)  # fmt: skip
        torch = script.use("torch", "torch")
        read = _stresses(script, setup)
        more = {"von_mises": "stress"} if read else {}
        return [f"with {torch}.no_grad():", f"    u = {found}.value", *read, "", *written(script, setup, more)]
    torch, plan = script.use("torch", "torch"), config.time
    kind = type(setup.stepper).__name__
    options = {}
    if setup.stepper.implicit:
        options = {"method": script.value(config.solver.method), "rtol": repr(config.solver.rtol)}
    if kind in dynamics.__all__:
        stepper = script.use(kind, "graphpde.dynamics") + _arguments(options)
    else:
        stepper = f"{script.use('STEPPERS', 'graphpde.dynamics')}[{script.value(setup.stepper.name)}]" + _arguments(
            options
        )
    control, paced = setup.control, None
    if control is not None:
        said = {key: v for key, v in vars(control).items() if key in ("rtol", "atol") or v != getattr(Adaptive, key)}
        given = {key: repr(v) for key, v in said.items()}
        paced = script.call("Adaptive", "graphpde.dynamics", **given)
    run = script.call("evolve", "graphpde.dynamics", "f", "u0", "times", stepper=stepper, control=paced,
                      dt=None if control is not None else repr(setup.dt),
                      allow_unstable="True" if config.solver.allow_unstable else None)  # fmt: skip
    return [
        f"times = {torch}.linspace({plan.start!r}, {plan.end!r}, {plan.frames + 1}, dtype={torch}.float64)",
        f"with {torch}.no_grad():",
        f"    trajectory = {run}",
        "u = trajectory.final",
        "",
        script.call("write_series", "graphpde.viz", f'"{setup.name}.pvd"', "trajectory", names=names),
    ]
