"""Files of VTK and Gmsh put together from the documents of the formats, apart from the writers of this library.

Source: VTK wiki, "VTK XML Formats"; VTK file formats, "Simple Legacy Formats"; Gmsh reference manual, "MSH file
format" and "Node ordering".
"""

from __future__ import annotations

import base64
import lzma
import zlib
from typing import Any, NamedTuple

import numpy as np

from tests.mesh.io_orders import places

NAMES = {"f8": "Float64", "f4": "Float32", "i8": "Int64", "i4": "Int32", "u1": "UInt8", "i2": "Int16", "u4": "UInt32"}
LEGACY = {"f8": "double", "f4": "float", "i8": "vtktypeint64", "i4": "int", "u1": "unsigned_char"}
_BLOCK = 64  # bytes, so that small arrays have several blocks


class Content(NamedTuple):
    """A grid as VTK lists it: points [n, 3], (type, points) of each cell, data."""

    points: np.ndarray
    cells: list[tuple[int, list[int]]]
    point_data: dict[str, np.ndarray]
    cell_data: dict[str, np.ndarray]


class Coding(NamedTuple):
    """How a .vtu stores its arrays: "ascii", "base64", "raw" or "appended"; "", "ZLib", "LZ4" or "LZMA"."""

    form: str
    compressor: str = ""
    header: str = "u4"
    order: str = "<"


def vtu(pieces: list[Content], coding: Coding, version: str = "1.0") -> bytes:
    """A .vtu file of some pieces."""
    form, compressor, header, order = coding
    appended = b""

    def array(name: str, kind: str, values: Any) -> str:
        nonlocal appended
        numbers = np.asarray(values, dtype=order + kind)
        width = numbers.shape[1] if numbers.ndim == 2 else 1
        head = f'<DataArray type="{NAMES[kind]}" Name="{name}" NumberOfComponents="{width}" format='
        if form == "ascii":
            return f'{head}"ascii">\n{" ".join(map(repr, numbers.reshape(-1).tolist()))}\n</DataArray>\n'
        first, second = _parts(numbers.tobytes(), np.dtype(order + header), compressor)
        text = base64.b64encode(first) + base64.b64encode(second) if compressor else base64.b64encode(first + second)
        if form == "base64":
            return f'{head}"binary">\n  {text.decode()}\n</DataArray>\n'
        start = len(appended)
        appended += first + second if form == "raw" else text
        return f'{head}"appended" offset="{start}"/>\n'

    index = "i8" if header == "u8" else "i4"
    body = ""
    for points, cells, point_data, cell_data in pieces:
        stops = np.cumsum([len(nodes) for _, nodes in cells])
        fields = [[array(k, v.dtype.str[1:], v) for k, v in data.items()] for data in (point_data, cell_data)]
        body += f'<Piece NumberOfPoints="{len(points)}" NumberOfCells="{len(cells)}">\n'
        body += f"<PointData>{''.join(fields[0])}</PointData><CellData>{''.join(fields[1])}</CellData>"
        body += f"<Points>{array('Points', 'f8', np.reshape(points, (-1, 3)))}</Points>\n<Cells>"
        body += array("connectivity", index, [node for _, nodes in cells for node in nodes])
        body += array("offsets", index, stops) + array("types", "u1", [code for code, _ in cells]) + "</Cells></Piece>"
    attributes = f'byte_order="{"Little" if order == "<" else "Big"}Endian" header_type="UInt{8 * int(header[1])}"'
    if compressor:
        attributes += f' compressor="vtk{compressor}DataCompressor"'
    out = f'<VTKFile type="UnstructuredGrid" version="{version}" {attributes}>\n<UnstructuredGrid>{body}'
    out += "</UnstructuredGrid>\n"
    if form in ("raw", "appended"):
        out += f'<AppendedData encoding="{"raw" if form == "raw" else "base64"}">\n_'
        return out.encode() + appended + b"\n</AppendedData>\n</VTKFile>\n"
    return (out + "</VTKFile>\n").encode()


def _parts(data: bytes, word: np.dtype, compressor: str) -> tuple[bytes, bytes]:
    """The header and what follows it."""
    if not compressor:
        return np.array([len(data)], word).tobytes(), data
    blocks = [_pack(data[k : k + _BLOCK], compressor) for k in range(0, len(data), _BLOCK)]
    head = [len(blocks), _BLOCK, len(data) % _BLOCK, *map(len, blocks)]
    return np.array(head, word).tobytes(), b"".join(blocks)


def _pack(data: bytes, compressor: str) -> bytes:
    if compressor == "LZ4":
        import lz4.block

        return lz4.block.compress(data, store_size=False)
    return zlib.compress(data) if compressor == "ZLib" else lzma.compress(data, preset=0)


class Legacy:
    """A legacy .vtk file that is written section by section."""

    def __init__(self, version: str, binary: bool, dataset: str):
        self.version, self.binary, self.parts = version, binary, [b""]
        self.line(f"# vtk DataFile Version {version}\na title\n{'BINARY' if binary else 'ASCII'}\nDATASET {dataset}")

    def line(self, text: str) -> None:
        self.parts.append(text.encode() + b"\n")

    def numbers(self, head: str, kind: str, values: Any) -> None:
        self.line(head)
        flat = np.asarray(values, dtype=">" + kind).reshape(-1)
        text = " ".join(map(repr, flat.tolist())).encode()
        self.parts.append((flat.tobytes() if self.binary else text) + b"\n")

    def lists(self, key: str, rows: list[list[int]]) -> None:
        """Lists of points in the layout of the version."""
        total = sum(map(len, rows))
        if self.version == "5.1":
            self.line(f"{key} {len(rows) + 1} {total}")
            self.numbers("OFFSETS vtktypeint64", "i8", np.cumsum([0, *map(len, rows)]))
            self.numbers("CONNECTIVITY vtktypeint64", "i8", [node for row in rows for node in row])
        else:
            flat = [number for row in rows for number in (len(row), *row)]
            self.numbers(f"{key} {len(rows)} {total + len(rows)}", "i4", flat)

    def data(self, place: str, count: int, arrays: dict[str, np.ndarray]) -> None:
        """Attributes: scalars, vectors and, where there are more, a field."""
        self.line(f"{place} {count}")
        for name, values in arrays.items():
            kind = values.dtype.str[1:]
            if values.ndim == 1:
                self.numbers(f"SCALARS {name} {LEGACY[kind]} 1\nLOOKUP_TABLE default", kind, values)
            elif values.shape[1] == 3:
                self.numbers(f"VECTORS {name} {LEGACY[kind]}", kind, values)
            else:
                self.line("FIELD FieldData 1")
                self.numbers(f"{name} {values.shape[1]} {len(values)} {LEGACY[kind]}", kind, values)

    def bytes(self) -> bytes:
        return b"".join(self.parts)


class Listed(NamedTuple):
    """A block of gmsh elements: dimension, entity, its groups, code, element numbers, node numbers."""

    dim: int
    entity: int
    groups: list[int]
    code: int
    tags: list[int]
    nodes: list[list[int]]


class Gmsh:
    """A .msh file of version 2.2 or 4.1, as text or in either byte order, with size_t of 4 or 8 bytes."""

    def __init__(self, version: str, order: str = "", size: int = 8):
        self.version, self.order, self.size, self.parts = version, order, size, [b""]
        self.parts.append(f"$MeshFormat\n{version} {int(bool(order))} {size}\n".encode())
        if order:
            self.parts.append(np.array(1, order + "i4").tobytes() + b"\n")
        self.parts.append(b"$EndMeshFormat\n")

    def row(self, *numbers: tuple[str, Any]) -> None:
        """Numbers of kinds "i" (int), "n" (size_t) and "f"; one line of text."""
        arrays = [np.asarray(values, dtype=float if kind == "f" else int).reshape(-1) for kind, values in numbers]
        if not self.order:
            self.parts.append((" ".join(repr(v) for array in arrays for v in array.tolist()) + "\n").encode())
            return
        kinds = {"i": "i4", "n": f"u{self.size}", "f": "f8"}
        self.parts += [a.astype(self.order + kinds[kind]).tobytes() for a, (kind, _) in zip(arrays, numbers)]

    def section(self, name: str) -> None:
        self.parts.append(f"${name}\n".encode())

    def end(self, name: str) -> None:
        self.parts.append(b"\n" * bool(self.order) + f"$End{name}\n".encode())

    def text(self, text: str) -> None:
        self.parts.append(text.encode())

    def names(self, names: dict[tuple[int, int], str]) -> None:
        rows = "".join(f'{dim} {number} "{name}"\n' for (dim, number), name in names.items())
        self.text(f"$PhysicalNames\n{len(names)}\n{rows}$EndPhysicalNames\n")

    def data(self, section: str, name: str, tags: list[int], values: np.ndarray) -> None:
        width = values.reshape(len(tags), -1).shape[1]
        self.text(f'${section}\n1\n"{name}"\n1\n0.5\n3\n0\n{width}\n{len(tags)}\n')
        for tag, row in zip(tags, values):
            self.row(("i", tag), ("f", row))
        self.end(section)

    def bytes(self) -> bytes:
        return b"".join(self.parts)


def msh2(order: str, tags: list[int], points: np.ndarray, blocks: list[Listed]) -> Gmsh:
    """Nodes and elements of version 2.2; an element of several groups is listed once for each, as Gmsh does."""
    out = Gmsh("2.2", order)
    out.section("Nodes")
    out.text(f"{len(tags)}\n")
    for tag, point in zip(tags, points):
        out.row(("i", tag), ("f", point))
    out.end("Nodes")
    listing = [(b, group, k) for b in blocks for group in (b.groups or [0]) for k in range(len(b.tags))]
    out.section("Elements")
    out.text(f"{len(listing)}\n")
    for block, group, k in listing:
        number = block.tags[k] + 1000 * (group != (block.groups or [0])[0])
        marks = [group, block.entity, 1, 1]  # one partition, the first
        if order:
            out.row(("i", [block.code, 1, len(marks), number, *marks, *block.nodes[k]]))
        else:
            out.row(("i", [number, block.code, len(marks), *marks, *block.nodes[k]]))
    out.end("Elements")
    return out


def msh4(order: str, size: int, tags: list[int], points: np.ndarray, blocks: list[Listed]) -> Gmsh:
    """Entities, partitioned entities, nodes in two blocks (the second with parameters) and elements of version 4.1."""
    out = Gmsh("4.1", order, size)
    dims = [[block for block in blocks if block.dim == dim] for dim in range(4)]
    for section in ("Entities", "PartitionedEntities"):
        out.section(section)
        if section == "PartitionedEntities":
            out.row(("n", [2]))
            out.row(("n", [1]), ("i", [7, 1]))
        out.row(("n", [len(own) for own in dims]))
        for dim, own in enumerate(dims):
            for block in own:
                shift = 100 if section == "PartitionedEntities" else 0
                parent = [("i", [dim, block.entity]), ("n", [1]), ("i", [1])] if shift else []
                groups = [("n", [len(block.groups)]), ("i", block.groups)]
                box = [("f", [0.0] * (3 if dim == 0 else 6))]
                out.row(("i", [block.entity + shift]), *parent, *box, *groups, *([("n", [0])] if dim else []))
        out.end(section)
    out.section("Nodes")
    half, top = len(tags) // 2, max(block.dim for block in blocks)
    out.row(("n", [2, len(tags), min(tags), max(tags)]))
    for parametric, part in ((0, slice(half)), (1, slice(half, None))):
        out.row(("i", [top, blocks[-1].entity, parametric]), ("n", [len(tags[part])]))
        for tag in tags[part]:
            out.row(("n", [tag]))
        for point in points[part]:
            out.row(("f", [*point, *[0.25] * (top * parametric)]))
    out.end("Nodes")
    out.section("Elements")
    every = [tag for block in blocks for tag in block.tags]
    out.row(("n", [len(blocks), len(every), min(every), max(every)]))
    for block in blocks:
        out.row(("i", [block.dim, block.entity + 100, block.code]), ("n", [len(block.tags)]))
        for tag, nodes in zip(block.tags, block.nodes):
            out.row(("n", [tag, *nodes]))
    out.end("Elements")
    return out


def nodes_at(kind: str, words: str) -> np.ndarray:
    """Places [k, 3] of nodes: "01" is the middle of these corners, "0/01" a third of the way from there to corner 0."""
    out = []
    for word in words.split():
        corner, _, around = word.rpartition("/")
        middle = places(kind, around)[0]
        out.append(middle + (places(kind, corner)[0] - middle) / 3 if corner else middle)
    return np.array(out)
