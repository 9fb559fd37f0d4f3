"""What VTK's XML files have in common: the tree, inline and appended arrays, pieces of points, cells and data."""

from __future__ import annotations

import sys
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from graphpde.mesh.io.raw import RawMesh, Unreadable
from graphpde.mesh.io.vtk.arrays import TYPES, Codec
from graphpde.mesh.io.vtk.cells import blocks_of, is_before
from graphpde.mesh.io.xml_tree import parse, without_texts


class Piece(NamedTuple):
    """One piece of the grid: points [n, 3], per cell its type and the end of its points, the connectivity, data."""

    points: np.ndarray
    codes: np.ndarray
    stops: np.ndarray
    connectivity: np.ndarray
    point_data: dict[str, np.ndarray]
    cell_data: dict[str, np.ndarray]


class VtkFile:
    """The XML tree, its appended bytes and how to decode an array.

    Args:
        data: the whole file. kind: the data set that it must hold, as in the attribute ``type`` of its root.

    Raises:
        Unreadable: broken XML, another data set, an unknown header type or compressor.
    """

    def __init__(self, data: bytes, kind: str):
        self.appended, self.is_raw, size = b"", False, len(data)
        start = data.find(b"<AppendedData")
        if start >= 0:
            mark = data.find(b"_", data.find(b">", start))
            stop = data.rfind(b"</AppendedData>")
            if mark < 0 or stop < mark:
                raise Unreadable("the appended data have no end; the file seems to be cut off")
            self.is_raw = b"raw" in data[start:mark]
            self.appended = data[mark + 1 : stop]
            data = data[:start] + data[stop + len(b"</AppendedData>") :]
        data, self.texts = without_texts(data, b"DataArray")
        self.root = parse(data)
        found = self.root.get("type")
        if self.root.tag != "VTKFile" or found != kind:
            article = "an" if kind[0] in "AEIOU" else "a"
            raise Unreadable(f"it holds {found or self.root.tag}, expected {article} {kind}")
        self.old = is_before(self.root.get("version", ""), (2, 1))
        order = ">" if self.root.get("byte_order", sys.byteorder)[:1].lower() == "b" else "<"
        header = TYPES.get(self.root.get("header_type") or "UInt32")
        if header not in ("u4", "u8"):
            raise Unreadable(f"header type {self.root.get('header_type')} is not one of UInt32 and UInt64")
        self.codec = Codec(order, header, self.root.get("compressor"), size)
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
            values = self.codec.base64(self._text(node), kind, what)
        else:
            values = self.codec.text(self._text(node), kind, what)
        width = int(node.get("NumberOfComponents") or 1)
        if width < 1 or len(values) % width:
            raise Unreadable(f"{what} has {len(values)} values, which is no multiple of its {width} components")
        return values.reshape(-1, width) if width > 1 else values

    def _text(self, node: ElementTree.Element) -> bytes:
        text = node.text or ""
        return self.texts[text] if text in self.texts else text.encode()

    def points(self, piece: ElementTree.Element) -> np.ndarray:
        """The points of a piece [n, 3].

        Raises:
            Unreadable: there are none, or not as many as the piece says.
        """
        node = piece.find("Points/DataArray")
        if node is None:
            raise Unreadable("a Piece has no Points or no Cells")
        x = self.array(node)
        if x.ndim != 2 or len(x) != int(piece.get("NumberOfPoints", "-1")):
            raise Unreadable(f"the points have shape {list(x.shape)}, expected [{piece.get('NumberOfPoints')}, 3]")
        return x

    def data(self, piece: ElementTree.Element, tag: str, count: int) -> dict[str, np.ndarray]:
        """The numeric arrays in ``PointData`` or ``CellData``, ``count`` rows each.

        Raises:
            Unreadable: an array has another number of rows.
        """
        arrays = {}
        for node in piece.iterfind(f"{tag}/DataArray"):
            if node.get("type") in TYPES:
                values = self.array(node)
                if len(values) != count:
                    raise Unreadable(f"array '{node.get('Name')}' has {len(values)} rows, expected {count}")
                arrays[node.get("Name", "")] = values
        return arrays


def within(connectivity: np.ndarray, n: int) -> np.ndarray:
    """The point numbers if all are of ``n`` points.

    Raises:
        Unreadable: one is not.
    """
    if connectivity.size and not 0 <= connectivity.min() <= connectivity.max() < n:
        raise Unreadable(f"a cell names point {connectivity.max()} or {connectivity.min()}, expected 0..{n - 1}")
    return connectivity


def joined(pieces: list[Piece], *, old: bool = False) -> tuple[RawMesh, list[np.ndarray]]:
    """The pieces as one raw mesh, and for each of its blocks the listed cell that each cell came from.

    Args:
        old: whether the file is of a version before 2.1.

    Raises:
        Unreadable: no piece, offsets that do not fit, no usable cells.
    """
    if not pieces:
        raise Unreadable("it has no Piece")
    shifts = np.cumsum([0, *(len(piece.points) for piece in pieces)])
    ends = np.cumsum([0, *(len(piece.connectivity) for piece in pieces)])
    blocks, sources, notes = blocks_of(
        np.concatenate([piece.codes for piece in pieces]),
        np.concatenate([piece.stops + end for piece, end in zip(pieces, ends)]),
        np.concatenate([piece.connectivity + shift for piece, shift in zip(pieces, shifts)]),
        old=old,
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
    return raw, sources
