"""Reader of VTK's unstructured grids (.vtu), every encoding, and of the sets that the writer stores in them.

Named sets stand in the FieldData block as integer arrays ``set:NAME``: dimension, width, then cell or point numbers
(width 0) or the corner points of each facet or edge (width w, padded with -1). ``space_dim`` stands beside them.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from graphpde.mesh.io.raw import CellSet, FacetSet, RawMesh, Unreadable
from graphpde.mesh.io.vtk_xml import Piece, VtkFile, joined, within

PREFIX = "set:"
SPACE = "space_dim"


def read(path: Path) -> RawMesh:
    """Read a .vtu file: text, base64 or raw, inline or appended, plain, zlib, LZ4 or LZMA; several pieces become one.

    Raises:
        Unreadable: another kind of VTK file, damaged or cut arrays, counts that do not agree, no usable cells.
    """
    file = VtkFile(path.read_bytes(), "UnstructuredGrid")
    raw, sources = joined([_piece(file, node) for node in file.root.iter("Piece")])
    _named(raw, file, sources)
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


def _named(raw: RawMesh, file: VtkFile, sources: list[np.ndarray]) -> None:
    """The sets that this library's writer stores; arrays of other programs are left alone."""
    arrays = {node.get("Name", ""): node for node in file.root.iterfind("UnstructuredGrid/FieldData/DataArray")}
    if SPACE not in arrays:
        return
    raw.space_dim = int(file.array(arrays[SPACE]).reshape(-1)[0])
    count = max((int(source.max()) + 1 for source in sources if len(source)), default=0)
    block_of, row_of = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    for number, source in enumerate(sources):
        block_of[source], row_of[source] = number, np.arange(len(source))
    for name, node in arrays.items():
        if not name.startswith(PREFIX):
            continue
        values = file.array(node).reshape(-1).astype(np.int64)
        label = name[len(PREFIX) :]
        if len(values) < 2 or (values[1] > 0 and (len(values) - 2) % values[1]):
            raise Unreadable(f"the set '{label}' is damaged")
        dim, width, body = int(values[0]), int(values[1]), values[2:]
        if width:
            raw.facet_sets.append(FacetSet(label, dim, body.reshape(-1, width)))
        elif dim == 0:
            raw.point_sets.append((label, body))
        else:
            if len(body) and not 0 <= body.min() <= body.max() < count:
                raise Unreadable(f"the set '{label}' names cells that do not exist")
            members = [row_of[body[block_of[body] == number]] for number in range(len(sources))]
            raw.cell_sets.append(CellSet(label, list(members)))
