"""All rows of docs/verification.md, and the command that measures some of them and writes all of them."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.physics.document import document
from benchmarks.physics.record import ROOT, Known, collect, known_rows
from benchmarks.physics.rows import Row

PHYSICS = ("orders", "steppers", "exactness", "conservation", "engineering", "cone", "references", "spectra", "speed")
MECHANICS = ("statics", "motion", "coupled", "topology", "bodies", "stiffness")
SOLVERS = ("poisson", "recycling", "failing", "flow", "adaptivity", "inverse")


def every_row() -> list[Row]:
    """All rows in the order of the document."""
    return [*physics_rows(), *mechanics_rows(), *solver_rows()]


def physics_rows() -> list[Row]:
    """Those of ``make bench-physics``."""
    return distinct("physics", PHYSICS)


def mechanics_rows() -> list[Row]:
    """Those of ``make bench-mechanics``."""
    return distinct("mechanics", MECHANICS)


def solver_rows() -> list[Row]:
    """Those of ``make bench-solvers``."""
    return distinct("solvers", SOLVERS)


def distinct(package: str, parts: Sequence[str]) -> list[Row]:
    """The rows of some modules of a package of benchmarks.

    Raises:
        ValueError: two have one name.
    """
    rows = []
    for part in parts:
        name = f"benchmarks.{package}.{part}"
        if importlib.util.find_spec(name):  # a part may stand in a later checkout alone
            rows += getattr(importlib.import_module(name), "rows", list)()
    twice = [name for name, count in Counter(row.name for row in rows).items() if count > 1]
    if twice:
        raise ValueError(f"two rows are called {', '.join(twice)}")
    return rows


def command(description: str, rows: Sequence[Row], after: Callable[[Known], None] | None = None) -> int:
    """Measure what the command line asks for of some rows and write docs/verification.md; returns the exit code.

    Args:
        after: writes further tables of what is known.
    """

    def write(known: Known, out: Path) -> None:
        before = out.read_text(encoding="utf-8") if out.is_file() else ""
        out.write_text(document(every_row(), known, before), encoding="utf-8")
        if after is not None:
            after(known)

    return measure_and_tell(description, rows, write, ROOT / "docs" / "verification.md")


def measure_and_tell(description: str, rows: Sequence[Row], write: Callable[[Known, Path], None], page: Path) -> int:
    """Measure what the command line asks for of some rows, write what is known, say what was met; the exit code."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--only", default="", help="rows whose section or name holds this word")
    parser.add_argument("--fresh", action="store_true", help="measure again what the same sources have measured")
    parser.add_argument("--missing", action="store_true", help="measure only what was never measured")
    parser.add_argument("--write", action="store_true", help="measure nothing, write the document from what is kept")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    parser.add_argument("--out", type=Path, default=page)
    args = parser.parse_args()
    chosen = [row for row in rows if args.only in f"{row.section}: {row.name}"]
    if args.list:
        print("\n".join(f"{row.section}: {row.name}" for row in chosen))
        return 0
    if not chosen:
        print(f"no row holds '{args.only}'; --list names them", file=sys.stderr)
        return 2
    known = known_rows() if args.write else collect(chosen, fresh=args.fresh, missing=args.missing)
    write(known, args.out)
    for row in chosen:
        if row.name in known:
            met = "met   " if row.check(known[row.name]["value"]) else "MISSED"
            print(f"{met}  {row.name}: {known[row.name]['text']} (target {row.target})")
    return 0
