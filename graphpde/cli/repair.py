"""``graphpde repair IN OUT``: what can be mended by rule is mended, every step with its count."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from graphpde.cli.console import say, say_json, table, warn
from graphpde.cli.info import as_dict, headline
from graphpde.cli.parser import UsageError, described
from graphpde.cli.target import check_target, content, lost_in_reading, write

if TYPE_CHECKING:
    from graphpde.mesh.check import Finding
    from graphpde.mesh.repair import Repaired

EPILOG = """\
example:
  graphpde repair scan.stl scan.vtu
  graphpde repair part.inp part.vtu --linear --split --scale 0.001
  graphpde repair part.msh --dry-run

Always: points that coincide become one, cells on the same points as another or of zero size and points without a cell
are dropped, cells are turned the right way round. Named sets and fields follow. IN is never changed.
Contact surfaces and cracks are drawn with points that coincide on purpose: for those take --no-merge.
exit codes: 0 done, also where there was nothing to do; 2 the mesh cannot be read, mended or written."""


def add(verbs: Any, name: str) -> None:
    """The verb's own parser."""
    parser = verbs.add_parser(
        name,
        help="merge points, drop bad cells, turn and split cells",
        description="Mend what can be mended by rule, say what was done, and write the result to another file.",
        **described(EPILOG),
    )
    parser.add_argument("mesh", metavar="IN", help="mesh file; see 'graphpde list formats'")
    parser.add_argument("out", metavar="OUT", nargs="?", help="file to write; the extension chooses the format")
    near = parser.add_mutually_exclusive_group()
    near.add_argument(
        "--merge", type=float, metavar="TOL", help="distance at which points coincide (default: 1e-9 of the box)"
    )
    near.add_argument("--no-merge", action="store_true", help="leave points that coincide apart")
    parser.add_argument("--no-orient", action="store_true", help="turn no cell")
    parser.add_argument("--linear", action="store_true", help="take quadratic cells at their corners")
    parser.add_argument("--split", action="store_true", help="cut quadrilaterals and solids into simplices")
    parser.add_argument("--scale", type=float, metavar="FACTOR", help="multiply all lengths (0.001: mm to m)")
    parser.add_argument("--format", metavar="NAME", help="format of IN, where the extension does not tell")
    parser.add_argument("--force", action="store_true", help="replace OUT if it is there (never if it is IN)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and write nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Read, mend, print, write."""
    from graphpde.mesh import check_mesh, read_mesh, repair_mesh

    if not args.dry_run:
        if args.out is None:
            raise UsageError("OUT, the file to write, is missing; or look first with --dry-run")
        check_target(args.mesh, args.out, args.force)
    mesh = read_mesh(args.mesh, format=args.format)
    mended = repair_mesh(
        mesh,
        merge=not args.no_merge,
        tolerance=args.merge,
        orient=not args.no_orient,
        linear=args.linear,
        split=args.split,
        scale=args.scale,
    )
    left = [finding for finding in check_mesh(mended.mesh).findings if finding.grave]
    unwritten = () if args.dry_run else write(args.out, mended.mesh)
    if args.json:
        say_json(as_document(mended, left, None if args.dry_run else args.out, unwritten))
        return 0
    warn(lost_in_reading(mesh))
    say(*headline(mesh), "")
    table(("step", "count", "what was done"), [(s.name, str(s.number), s.text) for s in mended.steps])
    say("")
    for text in (*mended.lost, *unwritten):
        say(f"lost: {text}")
    for finding in left:
        say(f"still wrong: {finding.text}")
    if not mended.changed:
        say("nothing to repair")
    say(f"result: {content(mended.mesh)}")
    say("nothing was written" if args.dry_run else f"written to {args.out}")
    return 0


def as_document(mended: Repaired, left: list[Finding], out: str | None, unwritten: tuple[str, ...]) -> dict[str, Any]:
    """For machines: steps with counts, what did not follow, what remains wrong, what the format lost."""
    return {
        "changed": mended.changed,
        "steps": [{"name": step.name, "count": step.number, "text": step.text} for step in mended.steps],
        "lost": list(mended.lost),
        "left": [{"name": finding.name, "text": finding.text} for finding in left],
        "out": out,
        "lost_in_writing": list(unwritten),
        "mesh": as_dict(mended.mesh),
    }
