"""PLY surfaces (Stanford polygon files): points, faces, strips and their properties, read and written.

Source: Turk, "The PLY polygon file format", 1994; ``tristrips`` as in the files of the Stanford scanning repository.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from graphpde.errors import OutputError
from graphpde.mesh.io.labels import flattened
from graphpde.mesh.io.ply.header import TYPES
from graphpde.mesh.io.ply.rows import EXACT, Column, Lists, tables
from graphpde.mesh.io.raw import Block, RawMesh, Unreadable, integers, listed
from graphpde.mesh.io.vtk.vtu_write import field_values
from graphpde.mesh.mesh import Mesh

_CORNERS = ("vertex_indices", "vertex_index")
_READ = ("vertex", "face", "tristrips")
_KINDS = {1: "vertex", 2: "line", 3: "triangle", 4: "quad"}
_WIDTHS = {"line": 2, "triangle": 3, "quad": 4}
_NAMES = {kind: name for name, kind in TYPES.items() if name.isalpha()}
_PLAIN = "".join(set(map(chr, range(33, 127))) - {"%"})  # what a name may hold as it is; all else becomes %XX


def read(path: Path) -> RawMesh:
    """Read a .ply file; properties of vertices and faces become data, lists of one length columns of one array.

    A text file cut within its very last number cannot be told from a whole one.

    Raises:
        Unreadable: another file, damaged or cut, without coordinates or without faces.
    """
    found = tables(path.read_bytes())
    n, vertices = found.get("vertex", (0, {}))
    if not n or not any(found.get(name, (0, {}))[0] for name in ("face", "tristrips")):
        held = listed(f"{rows} {name[:20]}" for name, (rows, _) in found.items() if rows) or "nothing"
        raise Unreadable(f"it has no vertices or no faces, but holds {held}; a mesh needs both")
    raw = RawMesh(_points(vertices), [])
    raw.point_data, ragged = _fields(vertices, ("x", "y", "z"))
    _faces(raw, *found.get("face", (0, {})))
    _strips(raw, *found.get("tristrips", (0, {})))
    left_out = [f"{rows} {name[:20]}" for name, (rows, _) in found.items() if rows and name not in _READ]
    if left_out:
        raw.notes.append(f"only vertices and faces are read; these were left out: {listed(left_out)}")
    if ragged:
        raw.notes.append(f"lists of differing lengths at the vertices were left out: {listed(ragged)}")
    return raw


def _points(vertices: dict[str, Column]) -> np.ndarray:
    axes = [vertices[axis] for axis in "xyz" if axis in vertices]
    if "x" not in vertices or "y" not in vertices or any(isinstance(axis, Lists) for axis in axes):
        raise Unreadable(f"its vertices have the properties {listed(vertices)}, expected numbers x, y and z")
    return np.stack([np.asarray(axis, dtype=np.float64) for axis in axes], axis=1)


def _corners(columns: dict[str, Column], what: str) -> tuple[str, Lists]:
    """The list of points of each row: its name, its values as integers."""
    for name in _CORNERS:
        column = columns.get(name)
        if isinstance(column, Lists):
            values = column.values
            return name, Lists(column.lengths, integers(values, what) if values.dtype.kind == "f" else values)
    raise Unreadable(f"{what} are not there: no list {_CORNERS[0]} among the properties {listed(columns)}")


def _faces(raw: RawMesh, rows: int, columns: dict[str, Column]) -> None:
    """Add the faces, one block for each number of corners, and their data."""
    if not rows:
        return
    name, (lengths, values) = _corners(columns, "the points of its faces")
    starts = np.cumsum(lengths) - lengths
    order = np.argsort(lengths, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1)
    sources = []
    for faces in sorted(groups, key=lambda group: int(group[0])):
        width = int(lengths[faces[0]])
        if width:
            raw.blocks.append(Block(_KINDS.get(width, "polygon"), values[starts[faces][:, None] + np.arange(width)]))
            sources.append(faces)
        else:
            raw.notes.append(f"{len(faces)} of {rows} faces have no corners and were left out")
    data, ragged = _fields(columns, (name,))
    raw.cell_data = {own: [array[faces] for faces in sources] for own, array in data.items()}
    if ragged:
        raw.notes.append(f"lists of differing lengths at the faces were left out: {listed(ragged)}")


def _strips(raw: RawMesh, rows: int, columns: dict[str, Column]) -> None:
    """Add the triangles of strips; -1 ends a strip and begins another, and each strip turns its own way."""
    if not rows:
        return
    _, (lengths, values) = _corners(columns, "the points of its tristrips")
    values = values.astype(np.int64)
    place = np.arange(len(values))
    begins = np.zeros(len(values) + 1, dtype=bool)
    begins[np.cumsum(lengths) - lengths] = True
    begins[1:] |= values == -1
    begin = np.maximum.accumulate(np.where(begins[:-1], place, 0))
    last = np.flatnonzero((place - begin >= 2) & (values != -1))
    nodes = values[last[:, None] + np.array([-2, -1, 0])]
    odd = (last - begin[last]) % 2 == 1
    nodes[odd] = nodes[odd][:, [1, 0, 2]]
    stitches = (nodes == np.roll(nodes, 1, axis=1)).any(axis=1)  # a point named twice joins two strips
    raw.blocks.append(Block("triangle", nodes[~stitches]))
    for parts in raw.cell_data.values():
        parts.append(None)
    if stitches.any():
        raw.notes.append(f"{int(stitches.sum())} triangles of strips name a point twice and were left out")


def _fields(columns: dict[str, Column], others: tuple[str, ...]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays [m] and [m, c] of all columns but the others, and the names of lists that are no array."""
    out: dict[str, np.ndarray] = {}
    ragged = []
    for raw_name, column in columns.items():
        name = unquote(raw_name)
        if raw_name in others:
            continue
        if name in out:
            raise Unreadable(f"its header declares the property '{name[:40]}' twice")
        if not isinstance(column, Lists):
            out[name] = column
        elif (column.lengths != column.lengths[:1]).any():
            ragged.append(name)
        elif len(column.values):
            out[name] = column.values.reshape(len(column.lengths), -1)
    return out, ragged


def write(path: Path, mesh: Mesh, point_data: dict[str, Any], cell_data: dict[str, Any]) -> list[str]:
    """Write lines, triangles and quadrilaterals in binary little-endian form with coordinates in double precision.

    Fields become properties of their own number type, those with several components lists of one length.

    Raises:
        OutputError: other cells, a field without a name or with whole numbers beyond 2^53.
        ShapeError: values that do not fit the points or cells.
    """
    if other := [f"{len(nodes)} {kind}" for kind, nodes in mesh.cells.items() if kind not in _WIDTHS]:
        raise OutputError(
            f"cannot write '{path.name}': PLY holds lines, triangles and quadrilaterals, not {listed(other)}; "
            f"write a .vtu file instead"
        )
    points = [_arrays(path, name, values, mesh.n, "PointData") for name, values in point_data.items()]
    cells = [_arrays(path, name, values, mesh.n_cells, "CellData") for name, values in cell_data.items()]
    x = np.zeros((mesh.n, 3))
    x[:, : mesh.space_dim] = mesh.points.detach().cpu().numpy()
    header = ["ply", "format binary_little_endian 1.0", "comment graphpde", f"element vertex {mesh.n}"]
    header += [f"property double {axis}" for axis in "xyz"] + [line for line, _ in points]
    header += [f"element face {mesh.n_cells}", f"property list uchar int {_CORNERS[0]}", *(line for line, _ in cells)]
    with open(path, "wb") as out:
        out.write("".join(f"{line}\n" for line in [*header, "end_header"]).encode("ascii"))
        out.write(_record([x, *(array for _, parts in points for array in parts)]))
        stop = 0
        for nodes in mesh.cells.values():
            rows, stop = slice(stop, stop + len(nodes)), stop + len(nodes)
            width = np.full(len(nodes), nodes.shape[1], dtype=np.uint8)
            fields = (array[rows] for _, parts in cells for array in parts)
            out.write(_record([width, nodes.numpy().astype(np.int32), *fields]))
    return flattened(mesh)


def _arrays(path: Path, name: str, values: Any, count: int, tag: str) -> tuple[str, list[np.ndarray]]:
    """The line of the header for a field, and its columns."""
    array = field_values(name, values, count, tag)
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        largest = max(int(array.max(initial=0)), -int(array.min(initial=0)))
        if largest > EXACT:
            raise OutputError(f"cannot write '{path.name}': field '{name}' holds whole numbers beyond 2^53; write .vtu")
        array = array.astype(np.int32 if largest < 2**31 else np.float64)
    label = quote(name, safe=_PLAIN)
    if label in ("x", "y", "z", *_CORNERS):
        label = f"%{ord(label[0]):02X}{label[1:]}"
    if not label:
        raise OutputError(f"cannot write '{path.name}': a field has no name")
    kind = _NAMES[array.dtype.str[1:]]
    if array.ndim == 1:
        return f"property {kind} {label}", [array]
    width = array.shape[1]
    length = "uchar" if width < 256 else "int"
    lengths = np.full(count, width, dtype=TYPES[length])
    return f"property list {length} {kind} {label}", [lengths, array]


def _record(arrays: list[np.ndarray]) -> bytes:
    """Arrays [m] and [m, c] side by side, row by row."""
    kinds = [(f"c{k}", array.dtype.newbyteorder("<"), array.shape[1:]) for k, array in enumerate(arrays)]
    table = np.empty(len(arrays[0]), dtype=kinds)
    for k, array in enumerate(arrays):
        table[f"c{k}"] = array
    return table.tobytes()
