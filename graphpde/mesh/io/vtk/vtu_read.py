"""Reader of VTK's unstructured grids (.vtu), every encoding, and of the sets that the writer stores in them.

The sets stand in the FieldData block; see ``sets``.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from graphpde.mesh.io.raw import RawMesh, Unreadable
from graphpde.mesh.io.vtk.sets import is_stored, restore
from graphpde.mesh.io.vtk.xml import Piece, VtkFile, joined, within


def read(path: Path) -> RawMesh:
    """Read a .vtu file: text, base64 or raw, inline or appended, plain, zlib, LZ4 or LZMA; several pieces become one.

    Raises:
        Unreadable: another kind of VTK file, damaged or cut arrays, counts that do not agree, no usable cells.
    """
    file = VtkFile(path.read_bytes(), "UnstructuredGrid")
    raw, sources = joined([_piece(file, node) for node in file.root.iter("Piece")], old=file.old)
    arrays = {node.get("Name", ""): node for node in file.root.iterfind("UnstructuredGrid/FieldData/DataArray")}
    restore(raw, {name: file.array(node) for name, node in arrays.items() if is_stored(name)}, sources)
    return raw


def _piece(file: VtkFile, node: ElementTree.Element) -> Piece:
    cells = node.find("Cells")
    if cells is None:
        raise Unreadable("a Piece has no Points or no Cells")
    x = file.points(node)
    part = {array.get("Name"): array for array in cells.iter("DataArray")}
    found = []
    for name in ("types", "offsets", "connectivity"):
        if name not in part:
            raise Unreadable(f"the cells have no array '{name}'")
        values = file.array(part[name]).reshape(-1)
        if name != "connectivity" and len(values) != int(node.get("NumberOfCells", "-1")):
            raise Unreadable(f"array '{name}' has {len(values)} entries for {node.get('NumberOfCells')} cells")
        found.append(values.astype(np.int64))
    codes, stops, connectivity = found
    data = [file.data(node, tag, count) for tag, count in (("PointData", len(x)), ("CellData", len(codes)))]
    return Piece(x, codes, stops, within(connectivity, len(x)), data[0], data[1])
