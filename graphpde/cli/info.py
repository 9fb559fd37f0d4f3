"""``graphpde info MESH``: what is in a mesh file, in one screen."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from graphpde.cli.console import say, say_json, table, warn
from graphpde.cli.parser import described

if TYPE_CHECKING:
    from torch import Tensor

    from graphpde.mesh.mesh import Mesh

EPILOG = """\
example:
  graphpde info part.msh
  graphpde info part.inp --json

The names of the sets are those that --bc, [boundary.NAME] and materials use. Quality is 1 for the ideal cell and 0 for
a flat one; 'graphpde check' says more."""

_ROWS = 20  # named sets that one screen holds


def add(verbs: Any, name: str) -> None:
    """The verb's own parser."""
    parser = verbs.add_parser(
        name,
        help="say what is in a mesh file",
        description="Read a mesh and say its size, its cells, its fields, its named sets, and what looks odd about it.",
        **described(EPILOG),
    )
    parser.add_argument("mesh", metavar="MESH", help="mesh file; see 'graphpde list formats'")
    parser.add_argument("--format", metavar="NAME", help="format, where the extension does not tell")
    parser.add_argument("--all", action="store_true", help="list all named sets, however many")
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
    say(headline(mesh)[0])
    lines = [*_measured(mesh), *_fields(mesh)]
    width = max(len(label) for label, _ in lines)
    say(*(f"  {label:<{width}}  {text}" for label, text in lines), "")
    if not mesh.tags:
        say("no named sets; the whole boundary is called 'boundary'")
        return 0
    names = sorted(mesh.tags, key=lambda name: -mesh.tags[name].dim)  # materials first, then the boundary
    shown = names if args.all or len(names) <= _ROWS + 4 else names[:_ROWS]
    rows = [_row(mesh, name) for name in shown]
    if "boundary" not in mesh.tags and len(mesh.boundary_facets):
        what = f"{({1: 'ends', 2: 'edges', 3: 'faces'})[mesh.dim]} (all outer ones)"
        rows.append(("boundary", str(len(mesh.boundary_facets)), what, str(len(mesh.boundary_nodes))))
    table(("set", "count", "of", "corners"), rows)
    if len(shown) < len(names):
        say(f"and {len(names) - len(shown)} more, smaller in dimension or later in the file; --all lists them")
    return 0


def headline(mesh: Mesh) -> tuple[str, str]:
    """What it is and where it lies, a line each."""
    cells = ", ".join(f"{len(nodes)} {kind}" for kind, nodes in mesh.cells.items())
    flat = {1: "an interval", 2: "plane", 3: "solid"}
    kind = flat[mesh.dim] if mesh.dim == mesh.space_dim else f"{_CURVED[mesh.dim]} in {mesh.space_dim}-D"
    return f"{mesh.name}: {kind}, {mesh.n} points, {cells}", f"box: {_box(mesh)}"


_CURVED = {1: "curve or network", 2: "surface"}


def _box(mesh: Mesh) -> str:
    used = mesh.points[mesh.used_points] + 0.0  # which makes -0 a zero
    return " x ".join(f"[{low:.6g}, {high:.6g}]" for low, high in zip(used.amin(0), used.amax(0), strict=True))


def _measured(mesh: Mesh) -> list[tuple[str, str]]:
    """Where it lies, how large and how fine it is, in how many parts, and how good."""
    from graphpde.mesh.geometry import cell_measures, connected_components
    from graphpde.mesh.shape import quality_measures

    size = float(cell_measures(mesh).sum())
    found = quality_measures(mesh)
    what = {1: "length", 2: "area", 3: "volume"}[mesh.dim]
    parts = connected_components(mesh).number
    open_ends = len(mesh.boundary_facets)
    around = f"{_facets(mesh, open_ends)}, {len(mesh.boundary_nodes)} points" if open_ends else "none, it is closed"
    lines = [
        ("box", _box(mesh)),
        ("size", f"{what} {size:.6g}; edges {_spread(found['edge length'])}"),
        ("boundary", around),
    ]
    if parts > 1:
        lines.append(("parts", f"{parts} that share no point"))
    if "quality" in found:
        lines.append(("quality", _spread(found["quality"])))
    return lines


def _spread(values: Tensor) -> str:
    low, middle, high = (f"{float(value):.3g}" for value in (values.min(), values.median(), values.max()))
    return f"{low} to {high}, median {middle}" if low != high else low


def _fields(mesh: Mesh) -> list[tuple[str, str]]:
    """A line for each field: where it lives, its components and its range."""
    from graphpde.mesh.io.tag_arrays import NUMBERS

    lines = []
    for place, data in (("points", mesh.point_data), ("cells", mesh.cell_data)):
        for name, values in data.items():
            if mesh.tags and name in NUMBERS:
                continue  # the sets say so already
            rows = values.reshape(len(values), -1).double()
            shape = "" if rows.shape[1] == 1 else f", {rows.shape[1]} components"
            finite = rows[rows.isfinite().all(1)]
            gaps = f", {len(rows) - len(finite)} not finite" if len(finite) < len(rows) else ""
            sizes = finite[:, 0] if rows.shape[1] == 1 else finite.norm(dim=1)
            low, high = (f"{end:.4g}" for end in (sizes.min(), sizes.max())) if len(finite) else ("", "")
            span = f", {'size ' * (rows.shape[1] > 1)}{low if low == high else f'{low} to {high}'}" if low else ""
            lines.append((f"field {name}", f"at {place}{shape}{span}{gaps}"))
    return lines


def as_dict(mesh: Mesh) -> dict[str, Any]:
    """For machines: count = cells, facets, edges or points of the set."""
    used = mesh.points[mesh.used_points]
    return {
        "nodes": mesh.n,
        "dim": mesh.dim,
        "space_dim": mesh.space_dim,
        "box": [used.amin(0).tolist(), used.amax(0).tolist()],
        "cells": {kind: len(nodes) for kind, nodes in mesh.cells.items()},
        "tags": {name: {"dim": tag.dim, "count": len(tag.ids)} for name, tag in mesh.tags.items()},
        "point_data": {name: list(values.shape[1:]) for name, values in mesh.point_data.items()},
        "cell_data": {name: list(values.shape[1:]) for name, values in mesh.cell_data.items()},
        "warnings": list(mesh.warnings),
    }


def _facets(mesh: Mesh, count: int) -> str:
    return f"{count} {({1: 'ends', 2: 'edges', 3: 'faces'}).get(mesh.dim, 'facets')}"


def _row(mesh: Mesh, name: str) -> tuple[str, str, str, str]:
    tag = mesh.tags[name]
    what = "cells (a material)" if tag.dim == mesh.dim else {0: "points", 1: "edges", 2: "faces"}[tag.dim]
    return name, str(len(tag.ids)), what, str(len(tag.nodes))
