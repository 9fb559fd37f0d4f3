"""Verify solid mechanics and coupled problems: statics, motion, heat, mixtures, topology, real meshes; write the table.

python -m benchmarks.mechanics                # measures what these sources have not measured yet, writes the document
python -m benchmarks.mechanics --only beam    # rows whose section or name holds a word
python -m benchmarks.mechanics --fresh        # measures again
python -m benchmarks.mechanics --missing      # only what has never been measured, whatever has changed since
python -m benchmarks.mechanics --write        # measures nothing, writes the document from what is kept in runs/
python -m benchmarks.mechanics --list         # names the rows

The tables stand in docs/verification.md beside those of benchmarks.physics and benchmarks.solvers.
"""

from __future__ import annotations

import sys

import torch

from benchmarks.verification import command, mechanics_rows


def main() -> int:
    torch.set_num_threads(1)
    return command(__doc__ or "", mechanics_rows())


if __name__ == "__main__":
    sys.exit(main())
