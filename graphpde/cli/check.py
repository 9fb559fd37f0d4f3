"""``graphpde check MESH``: what is wrong with a mesh, and where."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from graphpde.cli.console import say, say_json, table, warn
from graphpde.cli.info import headline
from graphpde.cli.parser import described

if TYPE_CHECKING:
    from torch import Tensor

    from graphpde.mesh.check import Check

EPILOG = """\
example:
  graphpde check part.msh
  graphpde check part.stl -o part.png

"wrong" findings make results wrong or impossible: cells of zero size, folded, repeated or collapsed ones, hanging
points. "note" findings are to be known. Quality is 1 for the ideal cell and 0 for a flat one.
exit codes: 0 nothing wrong, 1 something wrong, 2 the mesh cannot be read."""

_BARS = " ▁▂▃▄▅▆▇█"
_BINS = 12


def add(verbs: Any, name: str) -> None:
    """The verb's own parser."""
    parser = verbs.add_parser(
        name,
        help="say what is wrong with a mesh, and where",
        description="Look for bad cells, points that are not joined, faults of the boundary, and measure the quality.",
        **described(EPILOG),
    )
    parser.add_argument("mesh", metavar="MESH", help="mesh file; see 'graphpde list formats'")
    parser.add_argument("--format", metavar="NAME", help="format, where the extension does not tell")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("-o", "--output", metavar="PNG", help="write a picture with the places marked")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Read, look, print."""
    from graphpde.mesh import check_mesh, read_mesh

    mesh = read_mesh(args.mesh, format=args.format)
    found = check_mesh(mesh)
    told = {finding.text for finding in found.findings}
    if args.output:
        from graphpde.viz import plot_mesh, save_figure

        save_figure(plot_mesh(found.marked(), length_unit=None), args.output)
    if args.json:
        say_json(as_dict(found))
        return 0 if found.sound else 1
    warn(sentence for sentence in mesh.warnings if sentence not in told)
    say(*headline(mesh), "")
    for finding in found.findings:
        say(f"{'wrong' if finding.grave else 'note '}  {finding.text}")
    if found.findings:
        say("")
    if found.quality:
        rows = [_row(name, values) for name, values in found.quality.items()]
        table(("", "smallest", "median", "largest", "from smallest to largest"), rows)
        say("")
    grave = sum(finding.grave for finding in found.findings)
    say(f"{grave} finding{'s' * (grave > 1)} would spoil results" if grave else "nothing that would spoil results")
    if args.output:
        say(f"picture: {args.output}")
    return 0 if found.sound else 1


def as_dict(found: Check) -> dict[str, Any]:
    """For machines: findings with their places, and measures of quality."""
    return {
        "sound": found.sound,
        "findings": [
            {
                "name": finding.name,
                "grave": finding.grave,
                "text": finding.text,
                "cells": finding.cells.tolist(),
                "points": finding.points.tolist(),
            }
            for finding in found.findings
        ],
        "quality": {
            name: dict(zip(("smallest", "median", "largest"), _ends(values), strict=True))
            for name, values in found.quality.items()
        },
        "warnings": list(found.mesh.warnings),
    }


def _ends(values: Tensor) -> tuple[float, float, float]:
    return float(values.min()), float(values.median()), float(values.max())


def _row(name: str, values: Tensor) -> tuple[str, str, str, str, str]:
    low, middle, high = _ends(values)
    return name, f"{low:.3g}", f"{middle:.3g}", f"{high:.3g}", _bars(values)


def _bars(values: Tensor) -> str:
    """A histogram in one line; whatever is there at all has a bar."""
    if float(values.min()) == float(values.max()):
        return _BARS[-1]
    counts = values.double().histc(_BINS, float(values.min()), float(values.max()))
    heights = (counts / counts.max() * (len(_BARS) - 1)).ceil().long()
    return "".join(_BARS[int(height)] for height in heights)
