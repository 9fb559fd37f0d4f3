"""Measure patterns, energies, classification, depth, speed and checkpoints; write docs/graph_diffusion.md.

python -m benchmarks.graph                     # measures what these sources have not measured yet, writes the tables
python -m benchmarks.graph --only Cora         # rows whose section or name holds a word
python -m benchmarks.graph --fresh             # measures again (training runs stay: benchmarks/graph/trials.jsonl)
python -m benchmarks.graph --missing           # only what has never been measured, whatever has changed since
python -m benchmarks.graph --write             # measures nothing, writes the tables from what is kept
python -m benchmarks.graph --list              # names the rows
"""

from __future__ import annotations

import contextlib
import sys
from functools import partial
from pathlib import Path

import torch

from benchmarks.core.report import between_markers
from benchmarks.graph import accuracy, depth
from benchmarks.graph.trials import NotRun, kept_only
from benchmarks.physics.document import put_sections
from benchmarks.physics.record import ROOT, Known
from benchmarks.physics.rows import Row
from benchmarks.verification import distinct, measure_and_tell

PARTS = ("patterns", "energies", "accuracy", "depth", "speed", "gcn_speed", "checkpoints")
GUIDE = ROOT / "docs" / "graph_diffusion.md"


def graph_rows() -> list[Row]:
    """All rows of ``make bench-graph``."""
    return distinct("graph", PARTS)


def put_tables(known: Known, out: Path) -> None:
    """Write what is known into the guide."""
    text = out.read_text(encoding="utf-8") if out.is_file() else "# Diffusion and reaction on graphs\n"
    text = put_sections(text, graph_rows(), known)
    tables = {f"Accuracy {name}": partial(accuracy.table, name) for name in accuracy.STUDIES}
    tables |= {"Depths on Cora": depth.table, "Few labels on Cora, depth 64": depth.few_table}
    for name, lines_of in tables.items():
        with contextlib.suppress(NotRun), kept_only():
            text = between_markers(text, name.lower(), "\n".join([f"### {name}", "", *lines_of()]))
    out.write_text(text, encoding="utf-8")


def main() -> int:
    torch.set_num_threads(1)
    return measure_and_tell(__doc__ or "", graph_rows(), put_tables, GUIDE)


if __name__ == "__main__":
    sys.exit(main())
