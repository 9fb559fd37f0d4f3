"""Verify graphpde: orders, exactness, exact physics, reference solutions, eigenvalues; write docs/verification.md.

python -m benchmarks.physics                # measures what these sources have not measured yet, writes the document
python -m benchmarks.physics --only sphere  # rows whose section or name holds a word
python -m benchmarks.physics --fresh        # measures again
python -m benchmarks.physics --missing      # only what has never been measured, whatever has changed since
python -m benchmarks.physics --write        # measures nothing, writes the document from what is kept in runs/
python -m benchmarks.physics --list         # names the rows

Orders: every row refines one random coarse mesh uniformly; L2 errors (and those of gradients) are measured by
quadrature far beyond the element's degree, on curved meshes at projected points, and the order is that of the last
halving of h.
Implicit rows take so many steps that the error in time is far below the one in space.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections import Counter
from pathlib import Path

from benchmarks.physics import cone, conservation, engineering, exactness, orders, references, spectra, steppers
from benchmarks.physics.document import document
from benchmarks.physics.record import ROOT, collect, known_rows
from benchmarks.physics.rows import Row


def every_row() -> list[Row]:
    """All rows in the order of the document."""
    parts = (orders, steppers, exactness, conservation, engineering, cone, references, spectra)
    rows = [row for part in parts for row in part.rows()]
    if importlib.util.find_spec("benchmarks.physics.speed"):
        rows += getattr(importlib.import_module("benchmarks.physics.speed"), "rows", list)()
    twice = [name for name, count in Counter(row.name for row in rows).items() if count > 1]
    if twice:
        raise ValueError(f"two rows are called {', '.join(twice)}")
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="rows whose section or name holds this word")
    parser.add_argument("--fresh", action="store_true", help="measure again what the same sources have measured")
    parser.add_argument("--missing", action="store_true", help="measure only what was never measured")
    parser.add_argument("--write", action="store_true", help="measure nothing, write the document from what is kept")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "verification.md")
    args = parser.parse_args()
    rows = every_row()
    chosen = [row for row in rows if args.only in f"{row.section}: {row.name}"]
    if args.list:
        print("\n".join(f"{row.section}: {row.name}" for row in chosen))
        return 0
    if not chosen:
        print(f"no row holds '{args.only}'; --list names them", file=sys.stderr)
        return 2
    known = known_rows() if args.write else collect(chosen, fresh=args.fresh, missing=args.missing)
    args.out.write_text(document(rows, known), encoding="utf-8")
    for row in chosen:
        if row.name in known:
            met = "met   " if row.check(known[row.name]["value"]) else "MISSED"
            print(f"{met}  {row.name}: {known[row.name]['text']} (target {row.target})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
