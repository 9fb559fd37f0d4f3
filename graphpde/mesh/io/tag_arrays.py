"""Named sets from integer cell arrays: a number per cell says which group it belongs to."""

from __future__ import annotations

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.raw import CellSet, RawMesh

# integer cell arrays that name sets, in the order of preference; further arrays stay plain data
TAG_ARRAYS = (
    *("gmsh:physical", "medit:ref", "netgen:index", "su2:tag", "nastran:ref", "avsucd:material", "ugrid:ref"),
    *("tetgen:ref", "flac3d:group", "cell_tags", "obj:group_ids", "material", "MaterialIDs", "attribute"),
)
# what readers call the numbers of sets, which the sets themselves say as well
NUMBERS = frozenset([*(name for name in TAG_ARRAYS if ":" in name), "gmsh:geometrical"])


def tag_sets(raw: RawMesh, array: str, named: dict[tuple[int, int], str]) -> list[CellSet]:
    """Sets from an integer cell array; ``named`` maps (number, dimension) to a name, others are called by their number.

    Values that are all zero in one dimension say nothing there and give no set.
    """
    parts = raw.cell_data[array]
    if not all(part is None or (part.ndim == 1 and whole(part)) for part in parts):
        return []
    dims = [dimension(block.kind) for block in raw.blocks]
    telling = {dim for dim, part in zip(dims, parts) if part is not None and part.any()}
    members: dict[str, list[np.ndarray | None]] = {}
    for number, (dim, part) in enumerate(zip(dims, parts)):
        if part is None or dim not in telling:
            continue
        for value in np.unique(part):
            name = named.get((int(value), dim), str(int(value)))
            members.setdefault(name, [None] * len(parts))[number] = np.flatnonzero(part == value)
    return [CellSet(name, slots) for name, slots in members.items()]


def whole(values: np.ndarray) -> bool:
    """Whether an array holds whole numbers."""
    return values.dtype.kind in "iub" or bool((np.isfinite(values) & (values == np.floor(values))).all())


def dimension(kind: str) -> int:
    """Dimension of a cell type by its name, including orders that the library does not know; -1 = unknown."""
    if kind in CELLS:
        return CELLS[kind].dim
    base = kind.rstrip("0123456789")
    return CELLS[base].dim if base in CELLS else 2 if base == "polygon" else -1
