"""``graphpde convert IN OUT``: a mesh in another format, and what was lost on the way."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from graphpde.cli.console import say, say_json
from graphpde.cli.info import headline
from graphpde.cli.parser import described
from graphpde.cli.target import check_target, content, fields_of, lost_in_reading, write

if TYPE_CHECKING:
    from graphpde.mesh.io.formats import Format
    from graphpde.mesh.mesh import Mesh

EPILOG = """\
example:
  graphpde convert part.msh part.vtu
  graphpde convert part.inp part.stl --json

The extension of OUT chooses the format; 'graphpde list formats' says which are written. '.vtu' keeps all that a mesh
can have. What is reported as kept was read back from OUT. 'graphpde repair' is the verb that changes cells."""


_SAME = 1e-6  # part of the extent within which the middle of a cell counts as the same


def add(verbs: Any, name: str) -> None:
    """The verb's own parser."""
    parser = verbs.add_parser(
        name,
        help="write a mesh in another format, and say what is lost",
        description="Read a mesh, write it in another format, and say what either format could not hold.",
        **described(EPILOG),
    )
    parser.add_argument("mesh", metavar="IN", help="mesh file; see 'graphpde list formats'")
    parser.add_argument("out", metavar="OUT", help="file to write; the extension chooses the format")
    parser.add_argument("--format", metavar="NAME", help="format of IN, where the extension does not tell")
    parser.add_argument("--force", action="store_true", help="replace OUT if it is there (never if it is IN)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Read, write, read back, print both losses."""
    from graphpde.mesh import FORMATS, read_mesh
    from graphpde.mesh.io.write import format_to_write

    check_target(args.mesh, args.out, args.force)
    mesh = read_mesh(args.mesh, format=args.format)
    reading = lost_in_reading(mesh)
    told = write(args.out, mesh)
    name = format_to_write(args.out)
    back = read_mesh(args.out, format=name)
    writing = [*told, *_differences(mesh, back, FORMATS[name])]
    if args.json:
        say_json(as_dict(mesh, back, args.out, reading, writing))
        return 0
    say(*headline(mesh), "")
    for text in reading:
        say(f"reading: {text}")
    for text in writing:
        say(f"writing: {text}")
    if not reading and not writing:
        say("nothing was lost")
    say(f"{args.out}: {content(back)}")
    return 0


def as_dict(mesh: Mesh, back: Mesh, out: str, reading: list[str], writing: list[str]) -> dict[str, Any]:
    """For machines: what was lost on both ways, and what the written file holds."""
    sets, fields = [*mesh.tags], fields_of(mesh)
    held = {*back.point_data, *back.cell_data}
    return {
        "out": out,
        "lost_in_reading": reading,
        "lost_in_writing": writing,
        "kept": {
            "points": back.n,
            "cells": {kind: len(nodes) for kind, nodes in back.cells.items()},
            "sets": [name for name in sets if name in back.tags],
            "fields": [name for name in fields if name in held],
        },
        "dropped": {
            "points": max(mesh.n - back.n, 0),
            "sets": [name for name in sets if name not in back.tags],
            "fields": [name for name in fields if name not in held],
        },
    }


def _differences(mesh: Mesh, back: Mesh, known: Format) -> Iterator[str]:
    """What the file does not hold beyond that which its format is known not to."""
    from graphpde.mesh.io.raw import listed

    if back.n != mesh.n:
        yield f"{known.title} keeps {back.n} of {mesh.n} points (points without a cell or at the same place drop out)"
    moved = _moved(mesh, back)
    if moved:
        yield f"{known.title} rounds coordinates, here by up to {moved:.1e} of the length of the mesh"
    if _renumbered(mesh, back):
        yield f"{known.title} files sort cells by their sets: the cells are numbered in another order there"
    sets = [n for n, tag in mesh.tags.items() if tag.dim in known.set_dims(mesh.dim) and n not in back.tags]
    held = {*back.point_data, *back.cell_data}
    fields = [n for n in fields_of(mesh) if known.keeps_fields and n not in held]
    for what, names in (("named sets", sets), ("fields", fields)):
        if names:
            yield f"{len(names)} {what} do not come back under their names ({listed(names)})"


def _moved(mesh: Mesh, back: Mesh) -> float:
    """Longest way from a corner to the nearest one read back, over the extent of the mesh."""
    from scipy.spatial import cKDTree

    d = min(mesh.space_dim, back.space_dim)
    used = mesh.points[mesh.used_points][:, :d]
    away = cKDTree(back.points[back.used_points][:, :d].numpy()).query(used.numpy())[0].max()
    return float(away) / float((used.amax(0) - used.amin(0)).max())


def _renumbered(mesh: Mesh, back: Mesh) -> bool:
    """Whether the cells come back in another order."""
    if {kind: len(nodes) for kind, nodes in mesh.cells.items()} != {kind: len(v) for kind, v in back.cells.items()}:
        return False
    d = min(mesh.space_dim, back.space_dim)
    extent = float((mesh.points.amax(0) - mesh.points.amin(0)).max())
    for kind, nodes in mesh.cells.items():
        away = mesh.points[nodes][..., :d].mean(1) - back.points[back.cells[kind]][..., :d].mean(1)
        if float(away.abs().max()) > _SAME * extent:
            return True
    return False
