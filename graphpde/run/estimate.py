"""How much memory and disk a run takes, before it starts."""

from __future__ import annotations

import math
from typing import NamedTuple

from graphpde.config import Setup


class Estimate(NamedTuple):
    """Bytes, right within a factor of about two.

    Attributes:
        memory: at the largest moment, beside the libraries. disk: of everything written.
    """

    memory: int
    disk: int


def estimate(setup: Setup) -> Estimate:
    """The memory and disk of a run; a direct factorisation counts with the fill of nested dissection.

    Reference: George 1973, SIAM J. Numer. Anal. 10 (fill n log n in the plane, n^(4/3) in space).
    """
    space, n, c = setup.space, setup.space.n, setup.u0.shape[-1]
    width = setup.u0.element_size()
    edges, mesh = space.edges.n_edges, space.mesh
    structure = 24 * mesh.n + sum(8 * nodes.numel() for nodes in mesh.cells.values())
    operators = edges * (3 * width + 2 * 8) + 4 * n * width
    stages = 10 if setup.stepper is None or setup.stepper.implicit else 12
    states = stages * n * c * width
    fill = 0.0
    if (setup.stepper is None or setup.stepper.implicit) and setup.config.solver.method in ("auto", "direct"):
        per_row = edges / max(n, 1) + 1
        entries = n * (31 * math.log2(max(n, 2)) / 2 if per_row < 10 else 8 * n ** (1 / 3))
        fill = 12 * max(entries, edges)
    cells = sum((nodes.shape[1] * 8 + 9) * len(nodes) for nodes in mesh.cells.values())
    frame = 24 * mesh.n + cells + 8 * mesh.n * c
    frames = len(setup.times)
    disk = frames * (frame + 2 * n * c * width) + 5_000_000
    return Estimate(int(2 * structure + operators + states + fill), int(disk))
