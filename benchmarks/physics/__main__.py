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

import sys

from benchmarks.verification import command, every_row, physics_rows

__all__ = ["every_row", "main"]


def main() -> int:
    return command(__doc__ or "", physics_rows())


if __name__ == "__main__":
    sys.exit(main())
