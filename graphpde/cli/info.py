"""``graphpde info MESH``: what is in a mesh file."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from graphpde.cli.console import say, say_json, table, warn
from graphpde.cli.parser import described

if TYPE_CHECKING:
    from graphpde.mesh.mesh import Mesh

EPILOG = """\
example:
  graphpde info part.msh
  graphpde info part.inp --json

The names of the sets are those that --bc, [boundary.NAME] and materials use."""


def add(verbs: Any, name: str) -> None:
    """The verb's own parser."""
    parser = verbs.add_parser(
        name,
        help="say what is in a mesh file",
        description="Read a mesh and say its size, its kinds of cells, its named sets, and what looks odd about it.",
        **described(EPILOG),
    )
    parser.add_argument("mesh", metavar="MESH", help="mesh file; see 'graphpde list formats'")
    parser.add_argument("--format", metavar="NAME", help="format, where the extension does not tell")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Read and print."""
    from graphpde.mesh.io import read_mesh

    mesh = read_mesh(args.mesh, format=args.format)
    if args.json:
        say_json(as_dict(mesh))
        return 0
    warn(mesh.warnings)
    say(*headline(mesh))
    say(f"boundary: {_facets(mesh, len(mesh.boundary_facets))}, {len(mesh.boundary_nodes)} points", "")
    if not mesh.tags:
        say("no named sets; the whole boundary is called 'boundary'")
        return 0
    table(("set", "count", "of", "points"), [_row(mesh, name) for name in mesh.tags])
    return 0


def headline(mesh: Mesh) -> tuple[str, str]:
    """What it is and where it lies, a line each."""
    cells = ", ".join(f"{len(nodes)} {kind}" for kind, nodes in mesh.cells.items())
    flat = {1: "an interval", 2: "plane", 3: "solid"}
    kind = flat[mesh.dim] if mesh.dim == mesh.space_dim else f"{_CURVED[mesh.dim]} in {mesh.space_dim}-D"
    used = mesh.points[mesh.used_points]
    box = " x ".join(f"[{low:.6g}, {high:.6g}]" for low, high in zip(used.amin(0), used.amax(0), strict=True))
    return f"{mesh.name}: {kind}, {mesh.n} points, {cells}", f"box: {box}"


_CURVED = {1: "curve or network", 2: "surface"}


def as_dict(mesh: Mesh) -> dict[str, Any]:
    """For machines: count = cells, facets, edges or points of the set."""
    return {
        "nodes": mesh.n,
        "dim": mesh.dim,
        "cells": {kind: len(nodes) for kind, nodes in mesh.cells.items()},
        "tags": {name: {"dim": tag.dim, "count": len(tag.ids)} for name, tag in mesh.tags.items()},
        "warnings": list(mesh.warnings),
    }


def _facets(mesh: Mesh, count: int) -> str:
    return f"{count} {({1: 'ends', 2: 'edges', 3: 'faces'}).get(mesh.dim, 'facets')}"


def _row(mesh: Mesh, name: str) -> tuple[str, str, str, str]:
    tag = mesh.tags[name]
    what = "cells (a material)" if tag.dim == mesh.dim else {0: "points", 1: "edges", 2: "faces"}[tag.dim]
    return name, str(len(tag.ids)), what, str(len(tag.nodes))
