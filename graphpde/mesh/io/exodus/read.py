"""Reader of Exodus II meshes through netCDF4: element blocks, sets by name or number, fields of the first time step.

Source: Schoof and Yarberry 1994, "EXODUS II: A Finite Element Data Model", SAND92-2137, tables for the numbering of
nodes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.exodus.bezier import is_bezier, lagrange
from graphpde.mesh.io.exodus.sets import edge_sets, element_sets, is_shell, labelled, named, node_sets, side_sets, words
from graphpde.mesh.io.raw import Block, CellSet, RawMesh, Unreadable

OWN = "graphpde_space_dim"  # marks the files of our writer, whose unnamed blocks only tell cell types apart
PARTS = "graphpde_components"  # on a list of names: how many of them form each field, 0 for one without a second axis

_FAMILIES = {
    **{"TET": "tetra", "HEX": "hexahedron", "WED": "wedge", "PRI": "wedge", "PYR": "pyramid", "TRI": "triangle"},
    **{"QUA": "quad", "SHE": "quad", "BAR": "line", "BEA": "line", "TRU": "line", "EDG": "line", "LIN": "line"},
    **{"SPH": "vertex", "CIR": "vertex", "POI": "vertex", "NOD": "vertex"},
}
# column k of a row in VTK order is column ORDER[kind][k] of the row in the file: upright edges come before the top ones
ORDER = {
    "hexahedron20": [*range(12), 16, 17, 18, 19, 12, 13, 14, 15],
    "hexahedron27": [*range(12), 16, 17, 18, 19, 12, 13, 14, 15, 23, 24, 25, 26, 21, 22, 20],
    "wedge15": [*range(9), 12, 13, 14, 9, 10, 11],
    "wedge18": [*range(9), 12, 13, 14, 9, 10, 11, 15, 16, 17],
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
    own = OWN in file.ncattrs()
    raw.space_dim = int(file.getncattr(OWN)) if own else None
    count = len(file.dimensions["num_el_blk"])
    labels = named(file, "eb", count) if own else labelled(file, "eb", count)
    if not numbers:
        raise Unreadable("it has no element block")
    bezier = any(is_bezier(file.variables[f"connect{number}"]) for number in numbers)
    if bezier:
        raw.points, raw.blocks, raw.notes = lagrange(file, numbers, raw.points)
    shells = []
    for number in numbers:
        variable = file.variables[f"connect{number}"]
        name = str(getattr(variable, "elem_type", "")).upper()
        shells.append(is_shell(name, len(file.dimensions["num_dim"])))
        if not bezier:
            kind = _kind(name, variable.shape[1])
            rows = variable[:].astype(np.int64) - 1
            raw.blocks.append(Block(kind, rows[:, ORDER[kind]] if kind in ORDER else rows))
    starts = np.cumsum([0, *(len(block.nodes) for block in raw.blocks)])
    for b, number in enumerate(numbers):
        members: list[np.ndarray | None] = [None] * len(numbers)
        members[b] = np.arange(len(raw.blocks[b].nodes))
        if labels[number - 1]:
            raw.cell_sets.append(CellSet(labels[number - 1], members))
    side_sets(raw, file, starts, shells)
    element_sets(raw, file, starts)
    _fields(raw, file, numbers)
    if bezier:
        if raw.point_data or "num_node_sets" in file.dimensions:
            raw.notes.append("sets and fields of control points were left out")
        raw.point_data.clear()
    else:
        node_sets(raw, file)
        edge_sets(raw, file)
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


def _fields(raw: RawMesh, file: Any, numbers: list[int]) -> None:
    """Nodal and element variables at the last time; the others are named in a note."""
    variables, steps = file.variables, len(file.dimensions["time_step"]) if "time_step" in file.dimensions else 0
    if steps > 1:
        times = np.asarray(variables["time_whole"][:]) if "time_whole" in variables else np.zeros(0)
        at = f" (t = {float(times[-1]):g})" if len(times) == steps else ""
        raw.notes.append(f"it holds {steps} time steps; the fields are those of the last{at}")
    if not steps:
        return
    for name, ids, one in _groups(variables, "name_nod_var"):
        if all(f"vals_nod_var{number}" in variables for number in ids):
            parts = [np.asarray(variables[f"vals_nod_var{number}"][-1]) for number in ids]
            raw.point_data[name] = parts[0] if one else np.stack(parts, 1)
        elif "vals_nod_var" in variables:
            raw.point_data[name] = np.asarray(variables["vals_nod_var"][-1][ids[0] - 1])
    for name, ids, one in _groups(variables, "name_elem_var"):
        found: list[np.ndarray | None] = []
        for block in numbers:
            keys = [f"vals_elem_var{number}eb{block}" for number in ids]
            parts = [np.asarray(variables[key][-1]) for key in keys if key in variables]
            found.append(None if len(parts) < len(keys) else parts[0] if one else np.stack(parts, 1))
        if any(part is not None for part in found):
            raw.cell_data[name] = found


def _groups(variables: Any, key: str) -> list[tuple[str, list[int], bool]]:
    """(name, numbers of the variables, whether it is one without a second axis) of each field."""
    if key not in variables:
        return []
    names = words(variables[key][:])
    alone = [(name, [number], True) for number, name in enumerate(names, 1)]
    if PARTS not in variables[key].ncattrs():
        return alone
    counts = np.asarray(variables[key].getncattr(PARTS)).reshape(-1)
    if counts.dtype.kind not in "iu" or counts.min() < 0 or np.maximum(counts, 1).sum() != len(names):
        return alone
    stops = np.cumsum(np.maximum(counts, 1)).tolist()
    return [
        (
            names[start] if not many else names[start].removesuffix(suffixes(many)[0]),
            [*range(start + 1, stop + 1)],
            not many,
        )
        for start, stop, many in zip([0, *stops], stops, counts.tolist(), strict=False)
    ]


def suffixes(count: int) -> list[str]:
    """What is put behind the name of a field for each of its components; ParaView joins those with letters again."""
    return [f"_{axis}" for axis in "xyz"[:count]] if count in (2, 3) else [f"_{k}" for k in range(1, count + 1)]
