"""Writer of VTK unstructured grids (.vtu): zlib-compressed base64 arrays with 64-bit headers, for ParaView and back.

Named sets are stored exactly, in the FieldData block (see ``sets``); ``space_dim`` beside them keeps a flat surface
in 3-D apart from a plane mesh. Points always have three coordinates, as VTK asks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary
from xml.sax.saxutils import quoteattr

import numpy as np
import torch

from graphpde.errors import OutputError, ShapeError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.aside import written_aside
from graphpde.mesh.io.vtk.arrays import TYPES, encode
from graphpde.mesh.io.vtk.cells import as_in_old_files
from graphpde.mesh.io.vtk.sets import stored
from graphpde.mesh.mesh import Mesh

_NAMES = {np.dtype(code): name for name, code in TYPES.items()}
_GRIDS: WeakKeyDictionary[Mesh, bytes] = WeakKeyDictionary()  # a mesh never changes: its encoded grid serves all frames

Data = Mapping[str, Any] | None


def write_vtu(
    path: str | os.PathLike[str], mesh: Mesh, point_data: Data = None, cell_data: Data = None, *, sets: bool = False
) -> None:
    """Write a mesh with fields; made to be called once per frame.

    Args:
        path: the file, replaced only when complete.
        point_data, cell_data: name -> values [n], [n, c] or [m], [m, c]; numbers or booleans, no complex ones.
        sets: store the named sets too, so that ``read_mesh`` gives them back exactly.

    Raises:
        ShapeError: values that do not fit the points or cells. OutputError: the file cannot be written, or a field has
            a name with letters that XML has no place for.
    """
    parts = [_head(mesh, sets)]
    if mesh not in _GRIDS:
        _GRIDS[mesh] = _grid(mesh)
    parts.append(_GRIDS[mesh])
    for tag, data, count in (("PointData", point_data, mesh.n), ("CellData", cell_data, mesh.n_cells)):
        arrays = [_array(name, field_values(name, values, count, tag)) for name, values in (data or {}).items()]
        parts.append(b"<%s>\n%s</%s>\n" % (tag.encode(), b"".join(arrays), tag.encode()))
    parts.append(b"</Piece>\n</UnstructuredGrid>\n</VTKFile>\n")
    with written_aside(path) as aside:
        aside.write_bytes(b"".join(parts))


def write(path: Path, mesh: Mesh, point_data: dict[str, Any], cell_data: dict[str, Any]) -> list[str]:
    """Write all that a mesh has; the letters that XML has no place for become underscores.

    Returns:
        A sentence if names had to change.
    """
    from graphpde.mesh.io.labels import labels

    points, told = labels(point_data, _label)
    cells, more = labels(cell_data, _label)
    nodal = {points[name]: values for name, values in point_data.items()}
    write_vtu(path, mesh, nodal, {cells[name]: values for name, values in cell_data.items()}, sets=True)
    return [*told, *more, *labels(mesh.tags, _label)[1]]


def _label(name: str) -> str:
    from graphpde.mesh.io.labels import xml_label

    return xml_label(name) if name else name


def _head(mesh: Mesh, sets: bool) -> bytes:
    field = b""
    if sets:
        from graphpde.mesh.io.labels import labels

        found = stored(mesh)
        names, _ = labels(found, _label)
        arrays = [_array(names[name], values, tuples=True) for name, values in found.items()]
        field = b"<FieldData>\n%s</FieldData>\n" % b"".join(arrays)
    return (
        b'<?xml version="1.0"?>\n<VTKFile type="UnstructuredGrid" version="1.0" byte_order="LittleEndian" '
        b'header_type="UInt64" compressor="vtkZLibDataCompressor">\n<UnstructuredGrid>\n' + field
    )


def _grid(mesh: Mesh) -> bytes:
    points = np.zeros((mesh.n, 3))
    points[:, : mesh.space_dim] = mesh.points.detach().cpu().numpy()
    nodes = [as_in_old_files(kind, v.numpy()) for kind, v in mesh.cells.items()]
    sizes = np.concatenate([np.full(len(v), v.shape[1]) for v in nodes])
    codes = np.concatenate([np.full(len(v), CELLS[kind].vtk, dtype=np.uint8) for kind, v in mesh.cells.items()])
    arrays = (
        _array("connectivity", np.concatenate([v.reshape(-1) for v in nodes])),
        _array("offsets", np.cumsum(sizes)),
        _array("types", codes),
    )
    return b'<Piece NumberOfPoints="%d" NumberOfCells="%d">\n<Points>\n%s</Points>\n<Cells>\n%s</Cells>\n' % (
        mesh.n,
        mesh.n_cells,
        _array("Points", points),
        b"".join(arrays),
    )


def field_values(name: str, values: Any, count: int, tag: str) -> np.ndarray:
    """A field as numbers of 8 to 64 bits, [n] or [n, c].

    Args:
        count: number of points or cells. tag: "PointData" or "CellData".

    Raises:
        ShapeError: complex numbers, or values that do not fit the points or cells.
    """
    array = torch.as_tensor(values).detach().cpu()
    if array.is_complex():
        raise ShapeError(f"field '{name}' is complex; write its real and imaginary part as two fields")
    if array.dtype in (torch.float16, torch.bfloat16):
        array = array.float()
    if array.dim() not in (1, 2) or len(array) != count:
        what = "points" if tag == "PointData" else "cells"
        raise ShapeError(
            f"field '{name}' has shape {list(array.shape)}, expected [{count}] or [{count}, c] for the {what}"
        )
    out = array.numpy()
    return out.astype(np.int8) if out.dtype == bool else out


def _array(name: str, values: np.ndarray, tuples: bool = False) -> bytes:
    values = np.ascontiguousarray(values)
    if values.dtype not in _NAMES:
        values = values.astype(np.int64 if values.dtype.kind in "iu" else np.float64)
    shape = f' NumberOfComponents="{values.shape[1]}"' if values.ndim == 2 else ""
    shape += f' NumberOfTuples="{len(values)}"' if tuples else ""
    if _label(name) != name:
        raise OutputError(f"the name {name!r} cannot stand in XML; expected printable letters")
    label = quoteattr(name, {"\n": "&#10;", "\t": "&#9;"})
    head = f'<DataArray type="{_NAMES[values.dtype]}" Name={label}{shape} format="binary">\n'
    return head.encode() + encode(values) + b"\n</DataArray>\n"
