"""Writer of legacy VTK files: binary, version 4.2, fields and named sets included.

Version 4.2 and not 5.1: every VTK since 5, every ParaView and meshio read it, while 5.1 needs VTK 9. The types are
those that have one size on all systems; ``long`` has not, so whole numbers that fit are written with 32 bits.

Source: VTK file formats, "Simple Legacy Formats" (binary numbers are big-endian, names of arrays are percent-encoded).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from graphpde.errors import OutputError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.vtk.cells import as_in_old_files
from graphpde.mesh.io.vtk.sets import stored
from graphpde.mesh.io.vtk.vtu_write import field_values
from graphpde.mesh.mesh import Mesh

_TYPES = {
    **{"i1": "char", "u1": "unsigned_char", "i2": "short", "i4": "int", "i8": "vtktypeint64"},
    **{"f4": "float", "f8": "double"},
}
_PLAIN = "!#$&'()*+,/:;<=>?@[\\]^`{|}"  # what names keep beside letters, digits and _.-~


def write(path: Path, mesh: Mesh, point_data: dict[str, Any], cell_data: dict[str, Any]) -> list[str]:
    """Write all that a mesh has; whole numbers of 64 bits that fit into 32 come back as such.

    Raises:
        OutputError: more points than 32-bit numbers count. ShapeError: a field that does not fit the mesh.
    """
    if mesh.n >= 2**31 or sum(nodes.numel() + len(nodes) for nodes in mesh.cells.values()) >= 2**31:
        raise OutputError(f"cannot write '{path.name}': it is too large for legacy VTK; write a .vtu file instead")
    points = {name: field_values(name, values, mesh.n, "PointData") for name, values in point_data.items()}
    cells = {name: field_values(name, values, mesh.n_cells, "CellData") for name, values in cell_data.items()}
    x = np.zeros((mesh.n, 3))
    x[:, : mesh.space_dim] = mesh.points.detach().cpu().numpy()
    parts = [b"# vtk DataFile Version 4.2\nwritten by graphpde\nBINARY\nDATASET UNSTRUCTURED_GRID\n"]
    parts += _fields(stored(mesh))
    parts += [b"POINTS %d double\n" % mesh.n, _bytes(x, "f8"), b"\n", *_cells(mesh)]
    for head, count, data in (("POINT_DATA", mesh.n, points), ("CELL_DATA", mesh.n_cells, cells)):
        if data:
            parts += [f"{head} {count}\n".encode(), *_fields(data)]
    path.write_bytes(b"".join(parts))
    return []


def _cells(mesh: Mesh) -> list[bytes]:
    rows, codes = [], []
    for kind, nodes in mesh.cells.items():
        table = np.empty((len(nodes), 1 + nodes.shape[1]), dtype=">i4")
        table[:, 0] = nodes.shape[1]
        table[:, 1:] = as_in_old_files(kind, nodes.numpy())
        rows.append(table.tobytes())
        codes.append(_bytes(np.full(len(nodes), CELLS[kind].vtk), "i4"))
    size = sum(len(row) for row in rows) // 4
    head = b"CELLS %d %d\n" % (mesh.n_cells, size)
    return [head, *rows, b"\nCELL_TYPES %d\n" % mesh.n_cells, *codes, b"\n"]


def _fields(data: dict[str, np.ndarray]) -> list[bytes]:
    """Arrays [n], [n, c] under their names."""
    parts = [b"FIELD FieldData %d\n" % len(data)]
    for name, values in data.items():
        kind = _type(values)
        width = values.shape[1] if values.ndim == 2 else 1
        label = quote(name, safe=_PLAIN) or "_"
        parts += [f"{label} {width} {len(values)} {_TYPES[kind]}\n".encode(), _bytes(values, kind), b"\n"]
    return parts


def _type(values: np.ndarray) -> str:
    kind = values.dtype.str[1:]
    if values.dtype.kind in "iu" and (kind == "i8" or kind not in _TYPES):
        low, high = int(values.min(initial=0)), int(values.max(initial=0))
        return "i4" if max(-low - 1, high) < 2**31 else "i8"
    return kind if kind in _TYPES else "f8"


def _bytes(values: np.ndarray, kind: str) -> bytes:
    return np.ascontiguousarray(values, dtype=">" + kind).tobytes()
