"""``graphpde list WHAT``: the names that problem files and options take."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterable
from typing import Any

from graphpde.cli.console import table
from graphpde.cli.parser import described

KINDS = ("pdes", "steppers", "elements", "reactions", "materials", "shapes", "formats")


def add(verbs: Any, name: str) -> None:
    """The verb's own parser."""
    parser = verbs.add_parser(
        name,
        help="list pdes, steppers, shapes, formats, ...",
        description="List the names that problem files and options take.",
        **described("example:\n  graphpde list pdes"),
    )
    parser.add_argument("what", metavar="WHAT", help=f"one of {', '.join(KINDS)}")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Print one table."""
    from graphpde.registry import unknown

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


def _steppers() -> Rows:
    from graphpde.dynamics import STEPPERS

    rows = [
        (name, f"{kind.order:g}", "implicit" if kind.implicit else "explicit", _first_sentence(kind))
        for name, kind in STEPPERS.items()
    ]
    return ("stepper", "order", "kind", "what it is"), rows


def _elements() -> Rows:
    from graphpde.mesh.elements import ELEMENTS

    rows = [(name, f"{e.order:g}", ", ".join(e.cells), _first_sentence(e)) for name, e in ELEMENTS.items()]
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
        rows.append((name, *("" if v is None else f"{v:.4g}" for v in figures), m.note, m.source))
    units = ("k [W/(m K)]", "rho [kg/m^3]", "c [J/(kg K)]", "k/(rho c) [m^2/s]", "at T [K]")
    return ("material", *units, "what it is", "source"), rows


def _shapes() -> Rows:
    from graphpde.mesh.generate import SHAPES

    rows = []
    for name, make in sorted(SHAPES.items()):
        size = inspect.signature(make).parameters["size"].default
        rows.append((name, f"{size:g}", _first_sentence(make)))
    return ("shape", "size", "what it is"), rows


def _formats() -> Rows:
    from graphpde.mesh.io import FORMATS

    rows = [
        (name, f.title, " ".join(f.extensions), "reads, writes" if f.write else "reads") for name, f in FORMATS.items()
    ]
    return ("format", "of", "extensions", "here"), rows


_TABLES = {
    "pdes": _pdes,
    "steppers": _steppers,
    "elements": _elements,
    "reactions": _reactions,
    "materials": _materials,
    "shapes": _shapes,
    "formats": _formats,
}


def _first_sentence(thing: Any) -> str:
    """The first paragraph of a docstring on one line."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
