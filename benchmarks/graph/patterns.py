"""Physics on graphs: Turing patterns, Gray-Scott, excitable waves and heat, each row with its target.

python -m benchmarks.graph.patterns                 # measures what these sources have not measured yet
python -m benchmarks.graph.patterns --only spiral   # rows whose section or name holds a word
python -m benchmarks.graph.patterns --fresh         # measures again
python -m benchmarks.graph.patterns --missing       # only what has never been measured
python -m benchmarks.graph.patterns --list          # names the rows
"""

from __future__ import annotations

import argparse
import sys

import torch

from benchmarks.graph import gray_scott, growth, heat, waves
from benchmarks.physics.record import collect
from benchmarks.physics.rows import NO_TARGET, Row


def rows() -> list[Row]:
    """All of them in the order of the document."""
    return [*growth.rows(), *gray_scott.rows(), *waves.rows(), *heat.rows()]


def main() -> int:
    """Measure what the command line asks for, keep it in runs/ and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="rows whose section or name holds this word")
    parser.add_argument("--fresh", action="store_true", help="measure again what the same sources have measured")
    parser.add_argument("--missing", action="store_true", help="measure only what was never measured")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    args = parser.parse_args()
    chosen = [row for row in rows() if args.only in f"{row.section}: {row.name}"]
    if args.list:
        print("\n".join(f"{row.section}: {row.name}" for row in chosen))
        return 0
    if not chosen:
        print(f"no row holds '{args.only}'; --list names them", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    known = collect(chosen, fresh=args.fresh, missing=args.missing)
    missed = 0
    for row in chosen:
        if row.name in known:
            it, met = known[row.name], row.check(known[row.name]["value"])
            verdict = "figure" if row.target == NO_TARGET else "met" if met else "MISSED"
            missed += verdict == "MISSED"
            print(f"{verdict:6}  {row.name}: {it['text']} (target {row.target}); {it['on']}; {it['note']}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
