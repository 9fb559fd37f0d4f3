"""Reader of VTK's surfaces (.vtp, PolyData): vertices, lines, polygons and strips in every encoding.

Source: VTK file formats, "PolyData"; vtkPolyData for the order of the cell data: vertices, lines, polygons, strips.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from graphpde.mesh.io.raw import RawMesh, Unreadable
from graphpde.mesh.io.vtk.xml import Piece, VtkFile, joined, within

_PARTS = {"Verts": 2, "Lines": 4, "Polys": 7, "Strips": 6}  # in the order of the cell data, with their VTK types


def read(path: Path) -> RawMesh:
    """Read a .vtp file; strips become triangles, poly-lines lines, several pieces one mesh.

    Raises:
        Unreadable: another kind of VTK file, damaged or cut arrays, counts that do not agree, no usable cells.
    """
    file = VtkFile(path.read_bytes(), "PolyData")
    return joined([_piece(file, node) for node in file.root.iter("Piece")])[0]


def _piece(file: VtkFile, node: ElementTree.Element) -> Piece:
    x = file.points(node)
    none = np.empty(0, dtype=np.int64)
    codes, stops, connectivity, length = [none], [none], [none], 0
    for tag, code in _PARTS.items():
        count = int(node.get(f"NumberOf{tag}") or 0)
        part = {array.get("Name"): array for array in node.iterfind(f"{tag}/DataArray")}
        if not part and not count:
            continue
        if "offsets" not in part or "connectivity" not in part:
            raise Unreadable(f"the {tag} lack the array 'offsets' or 'connectivity'")
        ends = file.array(part["offsets"]).reshape(-1).astype(np.int64)
        nodes = file.array(part["connectivity"]).reshape(-1).astype(np.int64)
        if len(ends) != count:
            raise Unreadable(f"array 'offsets' has {len(ends)} entries for {count} {tag}")
        if len(nodes) != (ends[-1] if count else 0):
            raise Unreadable(f"the {tag} have {len(nodes)} point numbers, expected {ends[-1] if count else 0}")
        codes.append(np.full(count, code))
        stops.append(ends + length)
        connectivity.append(within(nodes, len(x)))
        length += len(nodes)
    kinds = np.concatenate(codes)
    data = [file.data(node, tag, count) for tag, count in (("PointData", len(x)), ("CellData", len(kinds)))]
    return Piece(x, kinds, np.concatenate(stops), np.concatenate(connectivity), data[0], data[1])
