"""Measure gradients, solvers and learned flows; write docs/flow.md.

python -m benchmarks.flow                      # measures what these sources have not measured yet, writes the tables
python -m benchmarks.flow --only sphere        # rows whose section or name holds a word
python -m benchmarks.flow --fresh              # measures again (training runs stay: benchmarks/flow/trainings.jsonl)
python -m benchmarks.flow --missing            # only what has never been measured, whatever has changed since
python -m benchmarks.flow --write              # measures nothing, writes the tables from what is kept
python -m benchmarks.flow --list               # names the rows
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from benchmarks.physics.document import put_sections
from benchmarks.physics.record import ROOT, Known
from benchmarks.physics.rows import Row
from benchmarks.verification import distinct, measure_and_tell

PARTS = ("orders", "gradients", "solver", "planar", "particles", "sphere", "surfaces", "fields", "tables", "noise")
GUIDE = ROOT / "docs" / "flow.md"


def flow_rows() -> list[Row]:
    """All rows of ``make bench-flow``."""
    return distinct("flow", PARTS)


def put_tables(known: Known, out: Path) -> None:
    """Write what is known into the guide."""
    text = out.read_text(encoding="utf-8") if out.is_file() else "# Flows\n"
    text = put_sections(text, flow_rows(), known, "###")
    out.write_text(text, encoding="utf-8")


def main() -> int:
    torch.set_num_threads(1)
    return measure_and_tell(__doc__ or "", flow_rows(), put_tables, GUIDE)


if __name__ == "__main__":
    sys.exit(main())
