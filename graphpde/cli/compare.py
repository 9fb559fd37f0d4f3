"""``graphpde compare RUN_A RUN_B``: how far two runs are apart."""

from __future__ import annotations

import argparse
import math
from typing import Any

from graphpde.cli.console import say, say_json, table, warn
from graphpde.cli.parser import described

EPILOG = """\
examples:
  graphpde compare runs/coarse runs/fine
  graphpde compare runs/heat-plate-1 runs/heat-plate-2 -o difference
  graphpde compare runs/heat-plate-1 measured.vtu --json

A and B are run folders, PVD series or mesh files with fields. They are compared at the times that both have saved;
where the meshes differ, the coarser one is interpolated on the finer. Quadratic cells count with all their nodal
values; where only the values at vertices can be read, a note says so. L2 is the root of the integral of the square,
relative means over the larger L2 of the two. -o writes difference.pvd, a picture of the last time and compare.json."""

_SHOWN = 40  # lines on the screen


def add(verbs: Any, name: str) -> None:
    """The verb's own parser."""
    parser = verbs.add_parser(
        name,
        help="say how far two runs are apart",
        description="Compare the fields of two runs: norms of the difference at every common time, and a picture.",
        **described(EPILOG),
    )
    parser.add_argument("a", metavar="RUN_A", help="run folder, .pvd, or mesh file with fields")
    parser.add_argument("b", metavar="RUN_B", help="the other one")
    parser.add_argument("-o", "--output", metavar="DIR", help="folder for difference fields, picture and numbers")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Read, compare, print."""
    from graphpde.run.compare import compare

    found = compare(args.a, args.b, args.output)
    if args.json:
        say_json(found.as_dict())
        return 0
    warn(found.notes)
    rows = [
        (f"{row.t:.6g}" if math.isfinite(row.t) else "", row.field, f"{row.l2:.4e}", f"{row.largest:.4e}",
         f"{row.relative:.3e}", "(" + ", ".join(f"{x:.4g}" for x in row.at) + ")")
        for row in found.rows
    ]  # fmt: skip
    more = len(rows) - _SHOWN
    shown = rows if more <= 0 else [*rows[: _SHOWN // 2], *rows[-_SHOWN // 2 :]]
    say(f"A {found.a}", f"B {found.b}", "")
    table(("t", "field", "L2 of A-B", "largest", "relative", "largest at"), shown)
    if more > 0:
        say(f"{more} lines in the middle are left out; --json has them all")
    if all(row.largest == 0 for row in found.rows):
        say("", "they are equal to the last bit")
    if found.files:
        say("", *(str(file) for file in found.files))
    return 0
