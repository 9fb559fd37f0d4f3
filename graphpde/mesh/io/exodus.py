"""Reader of Exodus II meshes through netCDF4: element blocks, node and side sets by name or number, first time step.

Source: Schoof and Yarberry 1994, "EXODUS II: A Finite Element Data Model", SAND92-2137, tables for the numbering of
nodes and sides.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.exodus_bezier import is_bezier, lagrange
from graphpde.mesh.io.raw import Block, CellSet, FacetSet, RawMesh, Unreadable

_FAMILIES = {
    **{"TET": "tetra", "HEX": "hexahedron", "WED": "wedge", "PRI": "wedge", "PYR": "pyramid", "TRI": "triangle"},
    **{"QUA": "quad", "SHE": "quad", "BAR": "line", "BEA": "line", "TRU": "line", "EDG": "line", "LIN": "line"},
    **{"SPH": "vertex", "CIR": "vertex", "POI": "vertex", "NOD": "vertex"},
}
# column k of a row in VTK order is column ORDER[kind][k] of the row in the file: upright edges come before the top ones
_ORDER = {
    "hexahedron20": [*range(12), 16, 17, 18, 19, 12, 13, 14, 15],
    "hexahedron27": [*range(12), 16, 17, 18, 19, 12, 13, 14, 15, 23, 24, 25, 26, 21, 22, 20],
    "wedge15": [*range(9), 12, 13, 14, 9, 10, 11],
}
_SIDES: dict[str, tuple[tuple[int, ...], ...]] = {
    "line": ((0,), (1,)),
    "triangle": ((0, 1), (1, 2), (2, 0)),
    "quad": ((0, 1), (1, 2), (2, 3), (3, 0)),
    "tetra": ((0, 1, 3), (1, 2, 3), (0, 2, 3), (0, 1, 2)),
    "hexahedron": ((0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (0, 3, 7, 4), (0, 1, 2, 3), (4, 5, 6, 7)),
    "wedge": ((0, 1, 4, 3), (1, 2, 5, 4), (0, 2, 5, 3), (0, 1, 2), (3, 4, 5)),
    "pyramid": ((0, 1, 4), (1, 2, 4), (2, 3, 4), (0, 3, 4), (0, 1, 2, 3)),
}


def read(path: Path) -> RawMesh:
    """Read an Exodus II file.

    Raises:
        Unreadable: no usable block, elements without a cell type here. ModuleNotFoundError: netCDF4 is missing.
    """
    import netCDF4

    with netCDF4.Dataset(path) as file:
        file.set_auto_mask(False)
        return _content(file)


def _content(file: Any) -> RawMesh:
    for needed in ("num_nodes", "num_el_blk"):
        if needed not in file.dimensions:
            raise Unreadable(f"it is a netCDF file without the dimension {needed}; it is no Exodus mesh")
    raw = RawMesh(_points(file), [])
    numbers = [k for k in range(1, len(file.dimensions["num_el_blk"]) + 1) if f"connect{k}" in file.variables]
    labels = _labels(file, "eb", len(file.dimensions["num_el_blk"]))
    if not numbers:
        raise Unreadable("it has no element block")
    bezier = any(is_bezier(file.variables[f"connect{number}"]) for number in numbers)
    if bezier:
        raw.points, raw.blocks, raw.notes = lagrange(file, numbers, raw.points)
    shells = []
    for number in numbers:
        variable = file.variables[f"connect{number}"]
        name = str(getattr(variable, "elem_type", "")).upper()
        shells.append("SHELL" in name)
        if not bezier:
            kind = _kind(name, variable.shape[1])
            rows = variable[:].astype(np.int64) - 1
            raw.blocks.append(Block(kind, rows[:, _ORDER[kind]] if kind in _ORDER else rows))
    starts = np.cumsum([0, *(len(block.nodes) for block in raw.blocks)])
    for b, number in enumerate(numbers):
        members: list[np.ndarray | None] = [None] * len(numbers)
        members[b] = np.arange(len(raw.blocks[b].nodes))
        raw.cell_sets.append(CellSet(labels[number - 1], members))
    _side_sets(raw, file, starts, shells)
    _fields(raw, file, numbers)
    if bezier:
        if raw.point_data or "num_node_sets" in file.dimensions:
            raw.notes.append("sets and fields of control points were left out")
        raw.point_data.clear()
    else:
        _node_sets(raw, file)
    return raw


def _points(file: Any) -> np.ndarray:
    n, d = len(file.dimensions["num_nodes"]), len(file.dimensions["num_dim"])
    if "coord" in file.variables:
        return np.asarray(file.variables["coord"][:], dtype=np.float64).T
    names = [f"coord{axis}" for axis in "xyz"[:d]]
    if not all(name in file.variables for name in names):
        raise Unreadable(f"it lacks coordinates of its {n} nodes")
    return np.stack([np.asarray(file.variables[name][:], dtype=np.float64) for name in names], 1)


def _kind(name: str, width: int) -> str:
    base = _FAMILIES.get(name[:3])
    if base is None:
        raise Unreadable(f"elements of type {name or '(none)'} have no cell type here")
    kind = base if CELLS[base].nodes == width else f"{base}{width}"
    if name[:3] == "SHE" and width in (3, 6):
        kind = "triangle" if width == 3 else "triangle6"
    if kind not in CELLS:
        raise Unreadable(f"elements {name} with {width} nodes have no cell type here; export linear or quadratic ones")
    return kind


def _labels(file: Any, what: str, count: int) -> list[str]:
    """The names of blocks or sets; where there is none, the number."""
    names = [""] * count
    if f"{what}_names" in file.variables:
        rows = file.variables[f"{what}_names"][:]
        names = [b"".join(row).split(b"\0")[0].decode("utf-8", "replace").strip() for row in rows][:count]
    ids = file.variables[f"{what}_prop1"][:].tolist() if f"{what}_prop1" in file.variables else range(1, count + 1)
    return [name or str(number) for name, number in zip(names, ids)]


def _node_sets(raw: RawMesh, file: Any) -> None:
    count = len(file.dimensions["num_node_sets"]) if "num_node_sets" in file.dimensions else 0
    for number, label in enumerate(_labels(file, "ns", count), 1):
        if f"node_ns{number}" in file.variables:
            raw.point_sets.append((label, file.variables[f"node_ns{number}"][:].astype(np.int64) - 1))


def _side_sets(raw: RawMesh, file: Any, starts: np.ndarray, shells: list[bool]) -> None:
    count = len(file.dimensions["num_side_sets"]) if "num_side_sets" in file.dimensions else 0
    for number, label in enumerate(_labels(file, "ss", count), 1):
        if f"elem_ss{number}" not in file.variables:
            continue
        elements = file.variables[f"elem_ss{number}"][:].astype(np.int64) - 1
        sides = file.variables[f"side_ss{number}"][:].astype(np.int64)
        if len(elements) and not 0 <= elements.min() <= elements.max() < starts[-1]:
            raise Unreadable(f"side set '{label}' names elements that do not exist")
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
            table = _SIDES.get(CELLS[kind].corners, ())
            if 0 <= local < len(table):
                nodes = raw.blocks[b].nodes[rows][:, list(table[local])]
                raw.facet_sets.append(FacetSet(label, CELLS[kind].dim - 1, nodes))
            else:
                lost += len(rows)
        if any(part is not None for part in cells):
            raw.cell_sets.append(CellSet(label, cells))
        if lost:
            raw.notes.append(f"{lost} sides of set '{label}' do not exist and were left out")


def _fields(raw: RawMesh, file: Any, numbers: list[int]) -> None:
    """Nodal and element variables at the first time; the rest is named in a note."""
    variables, steps = file.variables, len(file.dimensions["time_step"]) if "time_step" in file.dimensions else 0
    if steps > 1:
        raw.notes.append(f"{steps - 1} further time steps were not read")
    if not steps:
        return
    for number, name in enumerate(_names(variables, "name_nod_var"), 1):
        if f"vals_nod_var{number}" in variables:
            raw.point_data[name] = np.asarray(variables[f"vals_nod_var{number}"][0])
        elif "vals_nod_var" in variables:
            raw.point_data[name] = np.asarray(variables["vals_nod_var"][0][number - 1])
    for number, name in enumerate(_names(variables, "name_elem_var"), 1):
        keys = [f"vals_elem_var{number}eb{k}" for k in numbers]
        if any(key in variables for key in keys):
            raw.cell_data[name] = [np.asarray(variables[key][0]) if key in variables else None for key in keys]


def _names(variables: Any, key: str) -> list[str]:
    if key not in variables:
        return []
    return [b"".join(row).split(b"\0")[0].decode("utf-8", "replace").strip() for row in variables[key][:]]
