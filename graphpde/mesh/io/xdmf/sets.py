"""Sets of faces and edges in XDMF: the cells that own them and their numbers in these cells, counted as VTK counts.

Source: XDMF Model and Format, "Set"; vtkTetra, vtkHexahedron, vtkWedge and vtkPyramid for the order of faces and edges,
which VTK's reader takes in the cell, also for edges beside a face.
"""

from __future__ import annotations

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.raw import FacetSet, Unreadable
from graphpde.mesh.io.xdmf.arrays import Arrays, Unsupported
from graphpde.mesh.io.xdmf.cells import Cells
from graphpde.mesh.io.xdmf.tree import Element

FACES: dict[str, tuple[tuple[int, ...], ...]] = {
    "tetra": ((0, 1, 3), (1, 2, 3), (2, 0, 3), (0, 2, 1)),
    "hexahedron": ((0, 4, 7, 3), (1, 2, 6, 5), (0, 1, 5, 4), (3, 7, 6, 2), (0, 3, 2, 1), (4, 5, 6, 7)),
    "wedge": ((0, 1, 2), (3, 5, 4), (0, 3, 4, 1), (1, 4, 5, 2), (2, 5, 3, 0)),
    "pyramid": ((0, 3, 2, 1), (0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4)),
}
_UPRIGHT = ((0, 4), (1, 5), (3, 7), (2, 6))
EDGES: dict[str, tuple[tuple[int, ...], ...]] = {
    kind: (*CELLS[kind].edges[:8], *_UPRIGHT) if kind == "hexahedron" else CELLS[kind].edges
    for kind in ("triangle", "quad", *FACES)
}


def read_set(arrays: Arrays, node: Element, name: str, cells: Cells) -> FacetSet:
    """The faces or edges of a set by their corners, in the point numbers of the grid.

    Raises:
        Unsupported: another layout than cells, faces and perhaps edges. Unreadable: it names what is not there.
    """
    edges = (node.get("SetType") or "").lower() == "edge"
    items = arrays.items(node)
    if len(items) != (3 if edges else 2):
        raise Unsupported(f"it has {len(items)} data items, expected {3 if edges else 2}")
    columns = [arrays.whole(item, f"the numbers of set '{name}'").reshape(-1) for item in items]
    owners, sides = columns[0], columns[-1]
    if len({len(column) for column in columns}) > 1:
        raise Unreadable(f"the set '{name}' lists {[len(column) for column in columns]} numbers, expected as many each")
    if owners.size and not 0 <= owners.min() <= owners.max() < cells.total:
        raise Unreadable(f"the set '{name}' names cell {owners.max()} or {owners.min()}, expected 0..{cells.total - 1}")
    dim, table = (1, EDGES) if edges else (2, FACES)
    return FacetSet(name, dim, _corners(cells, owners, sides, table, name))


def _corners(
    cells: Cells, owners: np.ndarray, sides: np.ndarray, table: dict[str, tuple[tuple[int, ...], ...]], name: str
) -> np.ndarray:
    """Corner points [k, w] of these sides, padded with -1."""
    out = np.full((len(owners), 4), -1)
    found = np.zeros(len(owners), dtype=bool)
    row_of = np.full(cells.total, -1)
    for block, source in zip(cells.blocks, cells.sources):
        linear = CELLS[block.kind].corners if block.kind in CELLS else ""
        if linear not in table:
            continue
        row_of[:] = -1
        row_of[source] = np.arange(len(source))
        here = row_of[owners] >= 0
        known = np.zeros(len(owners), dtype=bool)
        for number, side in enumerate(table[linear]):
            chosen = here & (sides == number)
            out[chosen, : len(side)] = block.nodes[row_of[owners[chosen]]][:, list(side)]
            known |= chosen
        if (here & ~known).any():
            raise Unreadable(f"the set '{name}' names side {sides[here & ~known][0]} of a {linear}, which has none")
        found |= here
    if not found.all():
        raise Unsupported(f"{int((~found).sum())} of its cells have no such sides")
    return out
