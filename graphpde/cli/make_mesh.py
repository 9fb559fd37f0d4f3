"""``graphpde make-mesh SHAPE OUT``: a mesh without a geometry file."""

from __future__ import annotations

import argparse
from typing import Any

from graphpde.cli.console import say, warn
from graphpde.cli.parser import described

EPILOG = """\
example:
  graphpde make-mesh plate_with_holes plate.msh --size 0.03
  graphpde simulate --pde heat --mesh plate.msh --bc hole0=1 --bc hole1=0

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
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Generate and write."""
    from graphpde.config.prepare import open_mesh
    from graphpde.config.schema import MeshSource
    from graphpde.config.section import number
    from graphpde.mesh import SHAPES, write_mesh

    SHAPES[args.shape]
    options = {}
    if args.size is not None:
        options["size"] = number(0.0, above=True)(args.size, "--size")
    mesh = open_mesh(MeshSource(shape=args.shape, options=options))
    lost = write_mesh(args.out, mesh)
    warn((*mesh.warnings, *lost))
    cells = ", ".join(f"{len(nodes)} {kind}" for kind, nodes in mesh.cells.items())
    say(f"{args.out}: {mesh.n} points, {cells}; sets {', '.join(mesh.tags) or '(none)'}")
    return 0
