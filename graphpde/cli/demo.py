"""``graphpde demo``: a first simulation that needs nothing but the package."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from graphpde.cli.console import say
from graphpde.cli.parser import described
from graphpde.cli.simulate import carry_out

PROBLEM: dict[str, Any] = {
    "pde": "heat",
    "mesh": {"shape": "plate_with_holes", "size": 0.04},
    "coefficients": {"kappa": 1.2e-4},
    "initial": {"u": 300.0},
    "boundary": {"hole0": {"value": 400.0}, "right": {"value": 300.0}},
    "time": {"end": 3000.0, "frames": 25},
    "output": {"units": {"u": "K"}},
}
"""A copper plate at 300 K, 2 m long: one hole heated to 400 K, the right edge cooled, all other edges insulated."""


def add(verbs: Any, name: str) -> None:
    """The verb's own parser."""
    parser = verbs.add_parser(
        name,
        help="run a first simulation",
        description="Heat a copper plate at one of its holes, and say where the picture, the ParaView files and the "
        "report lie. Takes seconds, needs no files and no network.",
        **described("example:\n  graphpde demo -o runs/demo"),
    )
    parser.add_argument(
        "--mesh", metavar="FILE", help="a plate with boundaries 'hole0' and 'right' (default: one made on the spot)"
    )
    parser.add_argument("-o", "--output", metavar="DIR", help="folder of the run (default: runs/demo-<n>)")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Run the built-in problem."""
    from graphpde.run import next_folder

    say("A copper plate at 300 K, heated at one of its two holes, cooled at its right edge.")
    out = args.output or next_folder("demo")
    problem = PROBLEM if args.mesh is None else {**PROBLEM, "mesh": {"path": args.mesh}}
    chosen = "" if args.mesh is None else f" --mesh {shlex.quote(args.mesh)}"
    code = carry_out(problem, out, command=f"graphpde demo{chosen} -o {shlex.quote(str(out))}")
    if code == 0:
        say("", "next: graphpde info MESH, then graphpde simulate --pde heat --mesh MESH --bc NAME=VALUE")
    return code
