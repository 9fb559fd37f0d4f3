"""Node, side, element and edge sets of Exodus II files.

Source: Schoof and Yarberry 1994, "EXODUS II: A Finite Element Data Model", SAND92-2137, tables for the numbering of
sides; the sides of triangles in 3-D as in ``ex_get_side_set_node_list`` of the library.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.raw import CellSet, FacetSet, RawMesh, Unreadable

SIDES: dict[str, tuple[tuple[int, ...], ...]] = {
    "line": ((0,), (1,)),
    "triangle": ((0, 1), (1, 2), (2, 0)),
    "quad": ((0, 1), (1, 2), (2, 3), (3, 0)),
    "tetra": ((0, 1, 3), (1, 2, 3), (0, 2, 3), (0, 1, 2)),
    "hexahedron": ((0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (0, 3, 7, 4), (0, 1, 2, 3), (4, 5, 6, 7)),
    "wedge": ((0, 1, 4, 3), (1, 2, 5, 4), (0, 2, 5, 3), (0, 1, 2), (3, 4, 5)),
    "pyramid": ((0, 1, 4), (1, 2, 4), (2, 3, 4), (0, 3, 4), (0, 1, 2, 3)),
}


def is_shell(element: str, space_dim: int) -> bool:
    """Whether sides 1 and 2 of elements of that name are the two faces of the cell, before its edges."""
    name = element.upper()
    return "SHELL" in name or (space_dim == 3 and name.startswith("TRI"))


def named(file: Any, what: str, count: int) -> list[str]:
    """The names of blocks or sets, "" where there is none."""
    key = f"{what}_names"
    names = words(file.variables[key][:])[:count] if key in file.variables else []
    return names + [""] * (count - len(names))


def labelled(file: Any, what: str, count: int) -> list[str]:
    """The names of blocks or sets; where there is none, the number."""
    ids = file.variables[f"{what}_prop1"][:].tolist() if f"{what}_prop1" in file.variables else range(1, count + 1)
    return [name or str(number) for name, number in zip(named(file, what, count), ids)]


def words(rows: np.ndarray) -> list[str]:
    """Rows of single letters as text."""
    return [b"".join(row).split(b"\0")[0].decode("utf-8", "replace").strip() for row in rows]


def size(file: Any, dimension: str) -> int:
    """The size of a dimension, 0 if there is none of that name."""
    return len(file.dimensions[dimension]) if dimension in file.dimensions else 0


def node_sets(raw: RawMesh, file: Any) -> None:
    """Sets of nodes by name or number."""
    for number, label in enumerate(labelled(file, "ns", size(file, "num_node_sets")), 1):
        if f"node_ns{number}" in file.variables:
            raw.point_sets.append((label, file.variables[f"node_ns{number}"][:].astype(np.int64) - 1))


def element_sets(raw: RawMesh, file: Any, starts: np.ndarray) -> None:
    """Sets of elements.

    Args:
        starts: number of the first element of each block, and of all elements.

    Raises:
        Unreadable: one names an element that does not exist.
    """
    for number, label in enumerate(labelled(file, "els", size(file, "num_elem_sets")), 1):
        if f"elem_els{number}" not in file.variables:
            continue
        elements = _whole(file.variables[f"elem_els{number}"], starts[-1], f"element set '{label}' names elements")
        owner = np.searchsorted(starts, elements, side="right") - 1
        members = [elements[owner == b] - starts[b] for b in range(len(raw.blocks))]
        raw.cell_sets.append(CellSet(label, list(members)))


def edge_sets(raw: RawMesh, file: Any) -> None:
    """Sets of edges, which the edge blocks list by their nodes.

    Raises:
        Unreadable: one names an edge that does not exist.
    """
    blocks = [f"ebconn{k}" for k in range(1, size(file, "num_ed_blk") + 1) if f"ebconn{k}" in file.variables]
    edges = [file.variables[key][:, :2].astype(np.int64) - 1 for key in blocks]
    ends = np.concatenate(edges) if edges else np.empty((0, 2), dtype=np.int64)
    for number, label in enumerate(labelled(file, "es", size(file, "num_edge_sets")), 1):
        if f"edge_es{number}" in file.variables:
            ids = _whole(file.variables[f"edge_es{number}"], len(ends), f"edge set '{label}' names edges")
            raw.facet_sets.append(FacetSet(label, 1, ends[ids]))


def side_sets(raw: RawMesh, file: Any, starts: np.ndarray, shells: list[bool]) -> None:
    """Sets of sides of elements.

    Args:
        starts: number of the first element of each block, and of all elements. shells: whether the elements of each
            block have two faces before their edges.

    Raises:
        Unreadable: one names an element that does not exist.
    """
    for number, label in enumerate(labelled(file, "ss", size(file, "num_side_sets")), 1):
        if f"elem_ss{number}" not in file.variables:
            continue
        elements = _whole(file.variables[f"elem_ss{number}"], starts[-1], f"side set '{label}' names elements")
        sides = file.variables[f"side_ss{number}"][:].astype(np.int64)
        cells: list[np.ndarray | None] = [None] * len(raw.blocks)
        owner = np.searchsorted(starts, elements, side="right") - 1
        lost = 0
        for b, side in np.unique(np.stack([owner, sides], 1), axis=0).tolist():
            rows = elements[(owner == b) & (sides == side)] - starts[b]
            kind = raw.blocks[b].kind
            if shells[b] and side <= 2:  # the two sides of a shell: the cell itself
                known = cells[b]
                cells[b] = rows if known is None else np.union1d(known, rows)
                continue
            local = side - 3 if shells[b] else side - 1
            table = SIDES.get(CELLS[kind].corners, ())
            if 0 <= local < len(table):
                nodes = raw.blocks[b].nodes[rows][:, list(table[local])]
                raw.facet_sets.append(FacetSet(label, CELLS[kind].dim - 1, nodes))
            else:
                lost += len(rows)
        if any(part is not None for part in cells):
            raw.cell_sets.append(CellSet(label, cells))
        if lost:
            raw.notes.append(f"{lost} sides of set '{label}' do not exist and were left out")


def _whole(variable: Any, limit: int, what: str) -> np.ndarray:
    """Numbers counted from 1 as numbers counted from 0."""
    ids = variable[:].astype(np.int64) - 1
    if len(ids) and not 0 <= ids.min() <= ids.max() < limit:
        raise Unreadable(f"{what} that do not exist")
    return ids
