"""Measure the solvers: a million unknowns, recycling, failures, flow, adaptivity, inverse problems; write the tables.

python -m benchmarks.solvers                    # measures what these sources have not measured yet, writes both tables
python -m benchmarks.solvers --only adaptive    # rows whose section or name holds a word
python -m benchmarks.solvers --fresh            # measures again
python -m benchmarks.solvers --missing          # only what has never been measured, whatever has changed since
python -m benchmarks.solvers --write            # measures nothing, writes the tables from what is kept in runs/
python -m benchmarks.solvers --list             # names the rows

The tables stand in docs/verification.md beside those of benchmarks.physics, and in benchmarks/README.md.
"""

from __future__ import annotations

import sys

import torch

from benchmarks.core.report import between_markers
from benchmarks.physics.document import table
from benchmarks.physics.record import ROOT, Known
from benchmarks.verification import command, solver_rows

README = ROOT / "benchmarks" / "README.md"


def put_table(known: Known) -> None:
    """Write the rows that are known into the README of the benchmarks."""
    here = [row for row in solver_rows() if row.name in known]
    lines: list[str] = []
    for section in dict.fromkeys(row.section for row in here):
        lines += [f"### {section}", "", *table([row for row in here if row.section == section], known), ""]
    README.write_text(
        between_markers(README.read_text(encoding="utf-8"), "solvers", "\n".join(lines).rstrip()), encoding="utf-8"
    )


def main() -> int:
    torch.set_num_threads(1)
    return command(__doc__ or "", solver_rows(), put_table)


if __name__ == "__main__":
    sys.exit(main())
