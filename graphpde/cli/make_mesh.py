"""``graphpde make-mesh SHAPE OUT``: a mesh without a geometry file."""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Callable
from typing import Any

from graphpde.cli.console import say, warn
from graphpde.cli.parser import described
from graphpde.errors import InputError
from graphpde.registry import unknown

EPILOG = """\
example:
  graphpde make-mesh plate_with_holes plate.msh --size 0.03
  graphpde simulate --pde heat --mesh plate.msh --bc hole0=1 --bc hole1=0
  graphpde make-mesh aerofoil_in_tunnel wing.vtu --option digits=4412 --option angle=8

'graphpde list shapes' says what there is and how the sets of each are called."""


def add(verbs: Any, name: str) -> None:
    """The verb's own parser."""
    parser = verbs.add_parser(
        name,
        help="make a mesh of a simple shape",
        description="Make a mesh of a simple shape, its boundary named, and write it.",
        **described(EPILOG),
    )
    parser.add_argument("shape", metavar="SHAPE", help="a name of 'graphpde list shapes'")
    parser.add_argument("out", metavar="OUT", help="file to write; the extension chooses the format (.vtu keeps all)")
    parser.add_argument("--size", type=float, metavar="H", help="edge length of the cells")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another length, count or list of the shape, such as radius=2 or grading=[1.2,1]; may be repeated",
    )
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Generate and write."""
    from graphpde.config.prepare import open_mesh
    from graphpde.config.schema import MeshSource
    from graphpde.config.section import number
    from graphpde.mesh import SHAPES, write_mesh

    options = _options(args.option, SHAPES[args.shape])
    if args.size is not None:
        options["size"] = number(0.0, above=True)(args.size, "--size")
    mesh = open_mesh(MeshSource(shape=args.shape, options=options))
    lost = write_mesh(args.out, mesh)
    warn((*mesh.warnings, *lost))
    cells = ", ".join(f"{len(nodes)} {kind}" for kind, nodes in mesh.cells.items())
    say(f"{args.out}: {mesh.n} points, {cells}; sets {', '.join(mesh.tags) or '(none)'}")
    return 0


def _options(given: list[str], make: Callable[..., Any]) -> dict[str, Any]:
    """Keywords of a shape: numbers and lists of numbers."""
    known = [key for key in inspect.signature(make).parameters if key != "size"]
    options = {}
    for word in given:
        name, _, value = word.partition("=")
        if name not in known:
            raise unknown("option", name, known)
        try:
            options[name] = _numbers(json.loads(value))
        except ValueError:
            raise InputError(f"--option {word}: expected {name}= a number or a list such as [1.2,1]") from None
    return options


def _numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_numbers(part) for part in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("no number")
    return value
