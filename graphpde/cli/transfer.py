"""``graphpde transfer SOURCE TARGET OUT``: the fields of one mesh on another."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from graphpde.cli.console import say, say_json, warn
from graphpde.cli.info import headline
from graphpde.cli.parser import described
from graphpde.cli.target import check_target, content, fields_of, lost_in_reading, write
from graphpde.errors import InputError

if TYPE_CHECKING:
    from graphpde.mesh.mesh import Mesh

EPILOG = """\
example:
  graphpde transfer coarse.vtu fine.msh fine.vtu
  graphpde transfer result.vtu part.msh part.vtu --field temperature --outside nan

Fields at points are interpolated, linearly in simplices, bilinearly in quadrilaterals: exact for linear fields. Fields
of cells take the value of the cell that holds the centroid. Integrals are not kept."""


def add(verbs: Any, name: str) -> None:
    """The verb's own parser."""
    parser = verbs.add_parser(
        name,
        help="interpolate the fields of one mesh on another",
        description="Read a mesh with fields and another mesh, and write the second with the fields of the first.",
        **described(EPILOG),
    )
    parser.add_argument("source", metavar="SOURCE", help="mesh file with fields, such as a .vtu result")
    parser.add_argument("target", metavar="TARGET", help="mesh file that is to get them")
    parser.add_argument("out", metavar="OUT", help="file to write; the extension chooses the format (.vtu keeps all)")
    parser.add_argument("--field", action="append", metavar="NAME", help="a field to take (default: all)")
    parser.add_argument("--outside", metavar="WHAT", help="points outside: nearest (default), nan or error")
    parser.add_argument("--force", action="store_true", help="replace OUT if it is there (never SOURCE or TARGET)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Read both, interpolate, write."""
    from graphpde.mesh import read_mesh, transfer_mesh_data

    check_target(args.source, args.out, args.force)
    check_target(args.target, args.out, args.force)
    source, target = _with_fields(read_mesh(args.source), args.field), read_mesh(args.target)
    names = [*source.point_data, *source.cell_data]
    moved = transfer_mesh_data(source, target, outside=args.outside or "nearest")
    if args.outside is None and bool(moved.outside.all()):
        raise InputError(
            f"no point of '{args.target}' ({headline(target)[1]}) lies in '{args.source}' ({headline(source)[1]}); "
            f"check place and units, or say --outside nearest"
        )
    unwritten = write(args.out, moved.mesh)
    outside = int(moved.outside.sum())
    farthest = float(moved.distance[moved.outside].max()) if outside else 0.0
    if args.json:
        say_json(
            {
                "out": args.out,
                "fields": names,
                "points": target.n,
                "outside": outside,
                "farthest": farthest,
                "lost_in_writing": list(unwritten),
            }
        )
        return 0
    told = [text for text in moved.mesh.warnings if text not in target.warnings]
    warn([*lost_in_reading(source), *lost_in_reading(target), *told])
    say(*headline(source), *headline(target), "")
    say(f"fields: {', '.join(names)}")
    if not outside:
        say(f"all {target.n} points lie in the source")
    say(f"result: {content(moved.mesh)}")
    for text in unwritten:
        say(f"lost: {text}")
    say(f"written to {args.out}")
    return 0


def _with_fields(mesh: Mesh, names: list[str] | None) -> Mesh:
    """The mesh with these fields only, or all.

    Raises:
        UnknownName: it has no such field. MeshError: it has none at all.
    """
    from graphpde.errors import MeshError
    from graphpde.mesh import Mesh
    from graphpde.registry import unknown

    known = fields_of(mesh)
    if not known:
        raise MeshError(f"'{mesh.name}' holds no fields to transfer; expected a file with point or cell data")
    for name in names or ():
        if name not in (*mesh.point_data, *mesh.cell_data):
            raise unknown(f"field of '{mesh.name}'", name, known)
    points, cells = (
        {name: values for name, values in data.items() if name in (known if names is None else names)}
        for data in (mesh.point_data, mesh.cell_data)
    )
    return Mesh(mesh.points, mesh.cells, point_data=points, cell_data=cells, warnings=mesh.warnings, name=mesh.name)
