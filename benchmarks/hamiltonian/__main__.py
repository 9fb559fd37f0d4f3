"""Measure symplectic steppers, conserved quantities, particles and learned energies; write docs/hamiltonian.md.

python -m benchmarks.hamiltonian               # measures what these sources have not measured yet, writes the tables
python -m benchmarks.hamiltonian --only speed  # rows whose section or name holds a word
python -m benchmarks.hamiltonian --fresh       # measures again (training runs stay, in trainings.jsonl of this folder)
python -m benchmarks.hamiltonian --missing     # only what has never been measured, whatever has changed since
python -m benchmarks.hamiltonian --write       # measures nothing, writes the tables from what is kept
python -m benchmarks.hamiltonian --list        # names the rows
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from benchmarks.physics.document import put_sections
from benchmarks.physics.record import ROOT, Known
from benchmarks.physics.rows import Row
from benchmarks.verification import distinct, measure_and_tell

PARTS = ("steppers", "conservation", "speed", "pendulums", "bodies", "maps", "lagrangian", "fluids", "convolutions")
GUIDE = ROOT / "docs" / "hamiltonian.md"


def hamiltonian_rows() -> list[Row]:
    """All rows of ``make bench-hamiltonian``."""
    return distinct("hamiltonian", PARTS)


def put_tables(known: Known, out: Path) -> None:
    """Write what is known into the guide."""
    text = out.read_text(encoding="utf-8") if out.is_file() else "# Hamiltonian systems\n"
    text = put_sections(text, hamiltonian_rows(), known, "###")
    out.write_text(text, encoding="utf-8")


def main() -> int:
    torch.set_num_threads(1)
    return measure_and_tell(__doc__ or "", hamiltonian_rows(), put_tables, GUIDE)


if __name__ == "__main__":
    sys.exit(main())
