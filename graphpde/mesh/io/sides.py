"""Facets and edges by the cell that owns them and their number in it, counted as a format counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from graphpde.mesh.cells import CELLS
from graphpde.mesh.mesh import Mesh

Sides = Mapping[str, Sequence[tuple[int, ...]]]


def sides_of(mesh: Mesh, dim: int, ids: Tensor, table: Sides) -> tuple[np.ndarray, np.ndarray]:
    """The first cell that owns each entity [k], and the number of the entity in it [k], both counted from 0.

    Args:
        dim: of the entities: that of facets, or 1. ids: their numbers [k].
        table: linear cell type -> the corners of its sides in the order of the format.
    """
    known = mesh.entities(dim)
    cells, local = known.cells[ids, 0].numpy(), known.local[ids].numpy()
    numbers = np.empty_like(local)
    for linear, nodes, start in mesh.corners():
        own = CELLS[linear].facets if dim == mesh.dim - 1 else CELLS[linear].edges
        theirs = [frozenset(side) for side in table[linear]]
        here = (cells >= start) & (cells < start + len(nodes))
        numbers[here] = np.array([theirs.index(frozenset(side)) for side in own])[local[here]]
    return cells, numbers
