"""Reader of VTK's unstructured grids (.vtu), every encoding, and of the sets that the writer stores in them.

Named sets stand in the FieldData block as integer arrays ``set:NAME``: dimension, width, then cell or point numbers
(width 0) or the corner points of each facet or edge (width w, padded with -1). ``space_dim`` stands beside them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from graphpde.mesh.io.raw import CellSet, FacetSet, RawMesh, Unreadable
from graphpde.mesh.io.vtk_arrays import TYPES, Codec
from graphpde.mesh.io.vtk_cells import blocks_of

PREFIX = "set:"
SPACE = "space_dim"


class _Piece(NamedTuple):
    """One piece of the grid: points [n, 3], per cell its type and the end of its points, the connectivity, data."""

    points: np.ndarray
    codes: np.ndarray
    stops: np.ndarray
    connectivity: np.ndarray
    point_data: dict[str, np.ndarray]
    cell_data: dict[str, np.ndarray]


class _File:
    """The XML tree, its appended bytes and how to decode an array."""

    def __init__(self, data: bytes):
        for word in (b"<!DOCTYPE", b"<!ENTITY"):
            if word in data[:65536]:
                raise Unreadable(f"it holds a {word.decode()} declaration, which a VTK file has no use for")
        self.appended, self.is_raw = b"", False
        start = data.find(b"<AppendedData")
        if start >= 0:
            mark = data.find(b"_", data.find(b">", start))
            stop = data.rfind(b"</AppendedData>")
            if mark < 0 or stop < mark:
                raise Unreadable("the appended data have no end; the file seems to be cut off")
            self.is_raw = b"raw" in data[start:mark]
            self.appended = data[mark + 1 : stop]
            data = data[:start] + data[stop + len(b"</AppendedData>") :]
        try:
            self.root = ElementTree.fromstring(data)
        except ElementTree.ParseError as error:
            raise Unreadable(f"the XML is broken ({error}); the file seems to be cut off or damaged") from None
        kind = self.root.get("type")
        if self.root.tag != "VTKFile" or kind != "UnstructuredGrid":
            raise Unreadable(f"it holds {kind or self.root.tag}, expected an UnstructuredGrid")
        order = ">" if self.root.get("byte_order", sys.byteorder)[:1].lower() == "b" else "<"
        header = TYPES.get(self.root.get("header_type") or "UInt32")
        if header not in ("u4", "u8"):
            raise Unreadable(f"header type {self.root.get('header_type')} is not one of UInt32 and UInt64")
        self.codec = Codec(order, header, self.root.get("compressor"))
        starts = [int(a.get("offset", "0")) for a in self.root.iter("DataArray") if a.get("format") == "appended"]
        self.starts = np.unique([*starts, len(self.appended)])

    def array(self, node: ElementTree.Element) -> np.ndarray:
        """The values of a DataArray, [k] or [k, components]."""
        what = f"array '{node.get('Name', '?')}'"
        kind, form = node.get("type", ""), node.get("format", "ascii")
        if kind not in TYPES:
            raise Unreadable(f"{what} has type {kind or '(none)'}, expected one of {', '.join(TYPES)}")
        if form == "appended":
            start = int(node.get("offset", "0"))
            later = self.starts[self.starts > start]
            if start < 0 or not len(later):
                raise Unreadable(f"{what} starts outside the appended data")
            part = self.appended[start : later[0]]
            values = (self.codec.raw if self.is_raw else self.codec.base64)(part, kind, what)
        elif form == "binary":
            values = self.codec.base64((node.text or "").encode(), kind, what)
        else:
            values = self.codec.text(node.text or "", kind, what)
        width = int(node.get("NumberOfComponents") or 1)
        if width < 1 or len(values) % width:
            raise Unreadable(f"{what} has {len(values)} values, which is no multiple of its {width} components")
        return values.reshape(-1, width) if width > 1 else values


def read(path: Path) -> RawMesh:
    """Read a .vtu file: text, base64 or raw, inline or appended, uncompressed, zlib or lzma; several pieces become one.

    Raises:
        Unreadable: another kind of VTK file, damaged or cut arrays, counts that do not agree, no usable cells.
    """
    file = _File(path.read_bytes())
    pieces = [_piece(file, node) for node in file.root.iter("Piece")]
    if not pieces:
        raise Unreadable("it has no Piece")
    shifts = np.cumsum([0, *(len(piece.points) for piece in pieces)])
    ends = np.cumsum([0, *(len(piece.connectivity) for piece in pieces)])
    blocks, sources, notes = blocks_of(
        np.concatenate([piece.codes for piece in pieces]),
        np.concatenate([piece.stops + end for piece, end in zip(pieces, ends)]),
        np.concatenate([piece.connectivity + shift for piece, shift in zip(pieces, shifts)]),
    )
    if notes and not blocks:
        raise Unreadable(f"none of its cells can be used: {'; '.join(notes)}")
    raw = RawMesh(np.concatenate([piece.points for piece in pieces]), blocks, notes=notes)
    for name in pieces[0].point_data:
        if all(name in piece.point_data for piece in pieces):
            raw.point_data[name] = np.concatenate([piece.point_data[name] for piece in pieces])
    for name in pieces[0].cell_data:
        if all(name in piece.cell_data for piece in pieces):
            values = np.concatenate([piece.cell_data[name] for piece in pieces])
            raw.cell_data[name] = [values[source] for source in sources]
    _named(raw, file, sources)
    return raw


def _piece(file: _File, node: ElementTree.Element) -> _Piece:
    points, cells = node.find("Points"), node.find("Cells")
    coordinates = points.find("DataArray") if points is not None else None
    if coordinates is None or cells is None:
        raise Unreadable("a Piece has no Points or no Cells")
    x = file.array(coordinates)
    if x.ndim != 2 or len(x) != int(node.get("NumberOfPoints", "-1")):
        raise Unreadable(f"the points have shape {list(x.shape)}, expected [{node.get('NumberOfPoints')}, 3]")
    part = {array.get("Name"): array for array in cells.iter("DataArray")}
    found = []
    for name in ("types", "offsets", "connectivity"):
        if name not in part:
            raise Unreadable(f"the cells have no array '{name}'")
        values = file.array(part[name]).reshape(-1)
        if name != "connectivity" and len(values) != int(node.get("NumberOfCells", "-1")):
            raise Unreadable(f"array '{name}' has {len(values)} entries for {node.get('NumberOfCells')} cells")
        found.append(values.astype(np.int64))
    if found[2].size and not 0 <= found[2].min() <= found[2].max() < len(x):
        raise Unreadable(f"a cell names point {found[2].max()} or {found[2].min()}, expected 0..{len(x) - 1}")
    data: list[dict[str, np.ndarray]] = []
    for tag, count in (("PointData", len(x)), ("CellData", len(found[0]))):
        arrays = {}
        for array in node.iterfind(f"{tag}/DataArray"):
            if array.get("type") in TYPES:
                values = file.array(array)
                if len(values) != count:
                    raise Unreadable(f"array '{array.get('Name')}' has {len(values)} rows, expected {count}")
                arrays[array.get("Name", "")] = values
        data.append(arrays)
    return _Piece(x, found[0], found[1], found[2], data[0], data[1])


def _named(raw: RawMesh, file: _File, sources: list[np.ndarray]) -> None:
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
