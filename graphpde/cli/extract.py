"""``graphpde extract IN OUT``: named parts of a mesh, or its boundary, as a mesh of their own."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from graphpde.cli.console import say, say_json, warn
from graphpde.cli.info import as_dict, headline
from graphpde.cli.parser import described
from graphpde.cli.target import check_target, content, lost_in_reading, write

if TYPE_CHECKING:
    from graphpde.mesh.mesh import Mesh

EPILOG = """\
example:
  graphpde extract part.msh copper.vtu --set copper
  graphpde extract part.msh walls.stl --set inlet --set outlet
  graphpde extract part.msh skin.vtu --boundary

A set of cells gives a mesh of the same dimension, a set of faces a surface, a set of edges lines. Named sets and fields
follow as far as they belong to the part; 'graphpde info IN' says how the sets are called."""


def add(verbs: Any, name: str) -> None:
    """The verb's own parser."""
    parser = verbs.add_parser(
        name,
        help="take named parts of a mesh, or its boundary, out of it",
        description="Read a mesh and write some of its named sets, its boundary or one type of cells as a mesh.",
        **described(EPILOG),
    )
    parser.add_argument("mesh", metavar="IN", help="mesh file; see 'graphpde list formats'")
    parser.add_argument("out", metavar="OUT", help="file to write; the extension chooses the format")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--set", action="append", metavar="NAME", help="a named set; several make their union")
    what.add_argument("--boundary", action="store_true", help="the whole boundary, its normals outward")
    what.add_argument("--cells-of", metavar="TYPE", help="the cells of one type, such as tetra")
    parser.add_argument("--format", metavar="NAME", help="format of IN, where the extension does not tell")
    parser.add_argument("--force", action="store_true", help="replace OUT if it is there (never if it is IN)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Read, take out, write."""
    from graphpde.mesh import read_mesh

    check_target(args.mesh, args.out, args.force)
    mesh = read_mesh(args.mesh, format=args.format)
    part = _part(mesh, args)
    left_behind = [name for name in mesh.tags if name not in part.tags]
    unwritten = write(args.out, part)
    if args.json:
        document = {"out": args.out, "sets_left_behind": left_behind, "lost_in_writing": list(unwritten)}
        say_json({**document, "mesh": as_dict(part)})
        return 0
    warn([*lost_in_reading(mesh), *part.warnings])
    say(*headline(mesh), "")
    if left_behind:
        say(f"left behind: {len(left_behind)} named sets that have no members in the part")
    say(f"result: {content(part)}")
    for text in unwritten:
        say(f"lost: {text}")
    say(f"written to {args.out}")
    return 0


def _part(mesh: Mesh, args: argparse.Namespace) -> Mesh:
    """What the options ask for."""
    import torch

    from graphpde.mesh import boundary_mesh, submesh
    from graphpde.registry import unknown

    if args.boundary:
        return boundary_mesh(mesh)
    if args.set:
        return submesh(mesh, args.set)
    if args.cells_of not in mesh.cells:
        raise unknown(f"type of cells in '{mesh.name}'", args.cells_of, mesh.cells)
    kinds = torch.cat([torch.full((len(nodes),), kind == args.cells_of) for kind, nodes in mesh.cells.items()])
    return submesh(mesh, kinds)
