"""``graphpde list WHAT``: the names that problem files and options take."""

from __future__ import annotations

import argparse
import inspect
import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from graphpde.cli.console import table
from graphpde.cli.parser import UsageError, described

if TYPE_CHECKING:
    from graphpde.dynamics import Stepper

KINDS = (
    "pdes", "systems", "steppers", "elements", "schemes", "forms", "reactions", "materials", "shapes", "formats",
    "datasets", "models",
)  # fmt: skip


def add(verbs: Any, name: str) -> None:
    """The verb's own parser."""
    parser = verbs.add_parser(
        name,
        help="list pdes, steppers, shapes, formats, ...",
        description="List the names that problem files and options take.",
        **described("example:\n  graphpde list pdes"),
    )
    parser.add_argument("what", metavar="WHAT", nargs="?", help=f"one of {', '.join(KINDS)}")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Print one table."""
    from graphpde.registry import unknown

    if args.what is None:
        raise UsageError(f"say what to list, one of {', '.join(KINDS)}, such as 'graphpde list pdes'")
    if args.what not in KINDS:
        raise unknown("list", args.what, KINDS)
    header, rows = _TABLES[args.what]()
    table(header, rows)
    return 0


Rows = tuple[tuple[str, ...], Iterable[tuple[str, ...]]]


def _pdes() -> Rows:
    from graphpde.problems import PDES

    rows = []
    for name, pde in sorted(PDES.items()):
        reads = ", ".join(f"{key} ({c.meaning})" for key, c in pde.coefficients.items())
        stepper = "steady" if pde.stationary else pde.stepper
        rows.append((name, ", ".join(pde.fields), stepper, reads, pde.equation))
    return ("pde", "fields", "stepper", "coefficients", "equation"), rows


def _systems() -> Rows:
    from graphpde.hamiltonian.catalogue import PARTICLES
    from graphpde.run.particles.config import usual_numbers

    rows = []
    for name, known in PARTICLES.items():
        numbers = ", ".join(f"{key} = {value}" for key, value in usual_numbers(name).items())
        step = f"{known.step:g}" if math.isfinite(known.step) else "safe"
        rows.append((name, known.stepper, step, f"{known.end:.4g}", numbers, known.equation))
    return ("system (--pde)", "stepper", "dt", "t-end", "numbers (--set system.NAME=VALUE)", "equation"), rows


def _steppers() -> Rows:
    from graphpde.dynamics import STEPPERS

    rows = []
    for name, kind in STEPPERS.items():
        adaptive = "yes" if kind().error_power is not None else "no"
        rows.append((name, f"{kind.order:g}", _kind(kind), adaptive, _first_sentence(kind)))
    return ("stepper", "order", "kind", "adaptive", "what it is"), rows


def _kind(stepper: type[Stepper]) -> str:
    """``explicit``, ``implicit``, ``imex`` (the linear part implicit), ``exponential``, ..., by what it declares."""
    family = stepper.__module__.rpartition(".")[2]
    if family in ("exponential", "stabilised", "splitting", "reversible"):
        return family
    if getattr(stepper, "stochastic", False):
        return "stochastic"
    if not stepper.implicit and stepper.symplectic != "no":
        return "symplectic"
    if not stepper.implicit:
        return "explicit"
    return "imex" if stepper.stiff == "linear" else "implicit"


def _schemes() -> Rows:
    from graphpde.ops.advection import SCHEMES
    from graphpde.problems import PDES

    rows = []
    for name, scheme in SCHEMES.items():
        offering = [(key, pde.schemes[0] == name) for key, pde in sorted(PDES.items()) if name in pde.schemes]
        used = [f"{key} (default)" if first else key for key, first in offering]
        rows.append((name, ", ".join(used), _first_sentence(scheme)))
    return ("scheme", "offered by", "what it is"), rows


def _forms() -> Rows:
    from graphpde.ops.form import FORMS, Energy

    rows = []
    for name, form in FORMS.items():
        reads = ", ".join(f"{key} [{unit}]" for key, unit in form.units.items())
        energy = "yes" if issubclass(form, Energy) else "no"
        rows.append((name, reads, energy, _first_sentence(form)))
    return ("form", "coefficients", "energy", "what it is"), rows


def _elements() -> Rows:
    from graphpde.config.domain import CELLS
    from graphpde.mesh.cell_space import CellSpace
    from graphpde.mesh.elements import ELEMENTS

    rows = [(name, f"{e.order:g}", ", ".join(e.cells), _first_sentence(e)) for name, e in ELEMENTS.items()]
    rows.append((CELLS, "1", "all of them", _first_sentence(CellSpace)))
    return ("element", "order in L2", "cells", "what it is"), rows


def _reactions() -> Rows:
    from graphpde.ops.reaction import REACTIONS

    rows = []
    for name, kind in sorted(REACTIONS.items()):
        meanings = getattr(kind, "constants", {})
        parameters = ", ".join(
            f"{key} = {p.default:g}" + (f" ({meanings[key].meaning})" if key in meanings else "")
            for key, p in inspect.signature(kind).parameters.items()
        )
        rows.append((name, ", ".join(getattr(kind, "channels", ())), parameters, _first_sentence(kind)))
    return ("reaction", "fields", "parameters", "what it is"), rows


def _materials() -> Rows:
    from graphpde.problems.materials import MATERIALS

    rows = []
    for name, m in MATERIALS.items():
        figures = [m.conductivity, m.density, m.heat_capacity, m.diffusivity, m.temperature]
        figures += [m.young and m.young / 1e9, m.poisson, m.expansion and m.expansion * 1e6]
        figures += [m.yield_strength and m.yield_strength / 1e6]
        rows.append((name, *("" if v is None else f"{v:.4g}" for v in figures), m.note, m.source))
    heat = ("k [W/(m K)]", "rho [kg/m^3]", "c [J/(kg K)]", "k/(rho c) [m^2/s]", "at T [K]")
    elastic = ("E [GPa]", "nu", "expansion [1e-6/K]", "yields at [MPa]")
    return ("material", *heat, *elastic, "what it is", "source"), rows


def _shapes() -> Rows:
    from graphpde.mesh.generate import SHAPES

    rows = []
    for name, make in sorted(SHAPES.items()):
        options = [f"{key}={_plain(p.default)}" for key, p in inspect.signature(make).parameters.items()]
        rows.append((name, " ".join(options), _first_sentence(make)))
    return ("shape", "options", "what it is"), rows


def _plain(value: Any) -> str:
    """A default as ``--option`` takes it."""
    if isinstance(value, list | tuple):
        return "[" + ",".join(_plain(part) for part in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _formats() -> Rows:
    from graphpde.mesh.io import FORMATS

    rows = [
        (name, f.title, " ".join(f.extensions), "reads, writes" if f.write else "reads") for name, f in FORMATS.items()
    ]
    return ("format", "of", "extensions", "here"), rows


def _datasets() -> Rows:
    from graphpde.data import DATASETS

    rows = []
    for name, entry in sorted(DATASETS.items(), key=lambda item: item[0].lower()):
        size = ["" if entry.size is None else str(count) for count in entry.size or (0,) * 4]
        where = "in the package" if entry.embedded else "files"
        splits = ", ".join(entry.splits) or "drawn"
        source, licence = entry.origin.citation, entry.origin.licence
        rows.append((name, *size, entry.metric, splits, where, source, licence, entry.what))
    counts = ("nodes", "edges", "features", "classes")
    return ("data set", *counts, "judged by", "splits", "comes as", "source", "licence", "what"), rows


def _models() -> Rows:
    from graphpde.graph_diffusion import MODELS
    from graphpde.graph_diffusion.classifier import Classifier
    from graphpde.run.recipe import recipes_of, settings_of_model

    rows = []
    for name, kind in sorted(MODELS.items()):
        evolves = "diffusion" if issubclass(kind, Classifier) else "baseline"
        settings = ", ".join([*(["hidden"] if getattr(kind, "learns", True) else []), *settings_of_model(kind)])
        rows.append((name, evolves, ", ".join(recipes_of(name)), settings, _first_sentence(kind)))
    return ("model", "kind", "recipes", "settings (--set)", "what it is"), rows


_TABLES = {
    "pdes": _pdes,
    "systems": _systems,
    "steppers": _steppers,
    "elements": _elements,
    "schemes": _schemes,
    "forms": _forms,
    "reactions": _reactions,
    "materials": _materials,
    "shapes": _shapes,
    "formats": _formats,
    "datasets": _datasets,
    "models": _models,
}


def _first_sentence(thing: Any) -> str:
    """The first paragraph of a docstring on one line, roles as their names and \\sum as sum."""
    text = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
    return re.sub(r"\\([a-z]+)", r"\1", re.sub(r":\w+:`([^`]*)`", r"\1", text).replace("``", ""))
