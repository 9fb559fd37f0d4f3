"""Reader of legacy VTK files (.vtk), text and binary, versions 1 to 5: unstructured, polygonal, structured data sets.

Source: VTK file formats, "Simple Legacy Formats" (binary numbers are big-endian); the OFFSETS and CONNECTIVITY arrays
of version 5.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from graphpde.mesh.io.raw import RawMesh, Unreadable, numbers
from graphpde.mesh.io.text_lines import letters
from graphpde.mesh.io.vtk.cells import blocks_of, is_before, structured
from graphpde.mesh.io.vtk.sets import restore

_TYPES = {
    **{"char": "i1", "signed_char": "i1", "unsigned_char": "u1", "short": "i2", "unsigned_short": "u2", "int": "i4"},
    **{"unsigned_int": "u4", "long": "i8", "unsigned_long": "u8", "float": "f4", "double": "f8", "vtkidtype": "i4"},
    **{"vtktypeint64": "i8", "vtktypeuint64": "u8", "vtktypeint32": "i4", "bit": "u1"},
}
_NOT_FINITE = re.compile(rb"(?:nan|inf)\b", re.IGNORECASE)
_POLY = {"VERTICES": 2, "LINES": 4, "POLYGONS": 7, "TRIANGLE_STRIPS": 6}
_WIDTHS = {"VECTORS": 3, "NORMALS": 3, "TENSORS": 9, "TENSORS6": 6, "GLOBAL_IDS": 1, "PEDIGREE_IDS": 1}


class _Reader:
    """A position in the file; lines of words and arrays of numbers follow one another."""

    def __init__(self, data: bytes):
        self.data, self.position = data, 0
        version, title = self.line(), self.line(keep_empty=True)
        if not version.lower().startswith("# vtk datafile"):
            raise Unreadable(f"it does not begin with '# vtk DataFile Version' but with '{version[:30]}'")
        self.title, self.old = title, is_before(version, (5, 1))
        form = self.line().strip().upper()
        if form not in ("ASCII", "BINARY"):
            raise Unreadable(f"its third line is '{form[:20]}', expected ASCII or BINARY")
        self.binary = form == "BINARY"

    def line(self, keep_empty: bool = False) -> str:
        """The next line with something on it; "" at the end of the file."""
        while self.position < len(self.data):
            stop = self.data.find(b"\n", self.position)
            stop = len(self.data) if stop < 0 else stop
            text = self.data[self.position : stop].decode("latin-1").strip()
            self.position = stop + 1
            if text or keep_empty:
                return text
        return ""

    def array(self, count: int, kind: str, what: str) -> np.ndarray:
        """The next ``count`` numbers; text ends where the next word stands."""
        name = _TYPES.get(kind.lower())
        if name is None:
            raise Unreadable(f"{what} has the type '{kind}', which is not read")
        if count < 0 or count > 8 * len(self.data):
            raise Unreadable(f"{what} declares {count} numbers, which the file cannot hold")
        if kind.lower() == "bit" and self.binary:
            return np.unpackbits(self._bytes(-(-count // 8), "u1", what))[:count]
        if self.binary:
            return self._bytes(count, name, what)
        stop = self._word()
        values = numbers(self.data[self.position : stop], np.float64, what)
        if len(values) != count:
            raise Unreadable(f"{what} has {len(values)} numbers, expected {count}; the file seems to be cut off")
        self.position = stop
        if name[0] == "f":
            return values
        limit = 2.0**53  # beyond it a float does not hold every integer
        if len(values) and not np.abs(values).max() < limit:
            raise Unreadable(f"{what} holds numbers that are too large or not finite")
        return values.astype(np.int64)

    def _word(self) -> int:
        """Where the next line that begins with a word does, or the end of the file."""
        data = self.data
        for place in letters(data, self.position):
            start = place
            while start and data[start - 1] in b" \t":
                start -= 1
            if (not start or data[start - 1] == ord("\n")) and not _NOT_FINITE.match(data, place):
                return start
        return len(data)

    def _bytes(self, count: int, name: str, what: str) -> np.ndarray:
        kind = np.dtype(">" + name)
        if self.position + count * kind.itemsize > len(self.data):
            raise Unreadable(f"{what} declares more bytes than the file holds; it seems to be cut off")
        out = np.frombuffer(self.data, kind, count, self.position)
        self.position += count * kind.itemsize
        return out.astype(kind.newbyteorder("="))


class _Grid:
    """What the sections of the data set say."""

    def __init__(self) -> None:
        self.points: np.ndarray | None = None
        self.dimensions: list[int] = []
        self.spacing, self.origin = [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]
        self.axes: dict[str, np.ndarray] = {}
        self.cells: list[tuple[np.ndarray, np.ndarray, int]] = []  # ends, points, VTK type or -1
        self.codes: np.ndarray | None = None
        self.data: dict[str, dict[str, np.ndarray]] = {"POINT_DATA": {}, "CELL_DATA": {}}
        self.fields: dict[str, np.ndarray] = {}
        self.notes: list[str] = []


def read(path: Path) -> RawMesh:
    """Read a .vtk file.

    Raises:
        Unreadable: another file, damaged or cut sections, counts that do not agree, no usable cells.
    """
    reader, grid = _Reader(path.read_bytes()), _Grid()
    words = reader.line().split()
    if len(words) < 2 or words[0].upper() != "DATASET":
        raise Unreadable("it has no DATASET line")
    dataset = words[1].upper()
    target: tuple[str, int] | None = None
    while line := reader.line():
        words = line.split()
        key = words[0].upper()
        try:
            if key in ("POINT_DATA", "CELL_DATA"):
                target = (key, int(words[1]))
            elif key == "METADATA":
                while reader.line(keep_empty=True):
                    pass
            elif target is not None:
                if not _attribute(reader, grid, key, words, target):
                    break
            else:
                _geometry(reader, grid, key, words)
        except (IndexError, ValueError) as error:
            if isinstance(error, Unreadable):
                raise
            raise Unreadable(f"the line '{line[:60]}' is not complete") from None
    return _assemble(grid, dataset, reader.old)


def _geometry(reader: _Reader, grid: _Grid, key: str, words: list[str]) -> None:
    if key == "POINTS":
        grid.points = reader.array(3 * int(words[1]), words[2], "POINTS").astype(np.float64).reshape(-1, 3)
    elif key == "DIMENSIONS":
        grid.dimensions = [int(word) for word in words[1:4]]
    elif key in ("SPACING", "ASPECT_RATIO"):
        grid.spacing = [float(word) for word in words[1:4]]
    elif key == "ORIGIN":
        grid.origin = [float(word) for word in words[1:4]]
    elif key in ("X_COORDINATES", "Y_COORDINATES", "Z_COORDINATES"):
        grid.axes[key[0]] = reader.array(int(words[1]), words[2], key).astype(np.float64)
    elif key == "CELLS" or key in _POLY:
        ends, points = _connectivity(reader, key, int(words[1]), int(words[2]))
        grid.cells.append((ends, points, _POLY.get(key, -1)))
    elif key == "CELL_TYPES":
        grid.codes = reader.array(int(words[1]), "int", key).astype(np.int64)
    elif key == "FIELD":
        grid.fields |= _field(reader, int(words[2]))
    else:
        raise Unreadable(f"the section '{key[:30]}' is unknown")


def _connectivity(reader: _Reader, key: str, first: int, second: int) -> tuple[np.ndarray, np.ndarray]:
    """End of each cell's points [m] and all points [k], from either layout."""
    start = reader.position
    words = reader.line().split()
    if words and words[0].upper() == "OFFSETS":
        offsets = reader.array(first, words[1], f"{key} OFFSETS").astype(np.int64)
        words = reader.line().split()
        if not words or words[0].upper() != "CONNECTIVITY":
            raise Unreadable(f"{key} has OFFSETS and no CONNECTIVITY")
        points = reader.array(second, words[1], f"{key} CONNECTIVITY").astype(np.int64)
        return offsets[1:], points
    reader.position = start
    values = reader.array(second, "int", key).astype(np.int64)
    width = len(values) // first if first and len(values) % first == 0 else 0
    if width > 1 and (values[::width] == width - 1).all():
        rows = values.reshape(first, width)
        return np.arange(1, first + 1) * (width - 1), rows[:, 1:].reshape(-1)
    if not 0 <= first <= len(values):
        raise Unreadable(f"{key} declares {first} cells and {second} numbers, which are too few")
    starts = np.empty(first, dtype=np.int64)
    position = 0
    for cell in range(first):
        if position >= len(values) or values[position] < 0:
            raise Unreadable(f"{key} declares {first} cells and its numbers hold {cell}")
        starts[cell] = position
        position += 1 + int(values[position])
    if position != len(values):
        raise Unreadable(f"{key} declares {second} numbers and its cells use {position}")
    keep = np.ones(len(values), dtype=bool)
    keep[starts] = False
    return np.cumsum(values[starts]), values[keep]


def _field(reader: _Reader, count: int) -> dict[str, np.ndarray]:
    out = {}
    for _ in range(count):
        words = reader.line().split()
        if words and words[0].upper() == "METADATA":
            while reader.line(keep_empty=True):
                pass
            words = reader.line().split()
        name, width, rows = words[0], int(words[1]), int(words[2])
        if words[3].lower() == "string":
            raise Unreadable(f"the text array '{name}' is not read; save the file without it")
        values = reader.array(width * rows, words[3], f"array '{name}'")
        out[unquote(name)] = values.reshape(rows, width) if width > 1 else values
    return out


def _attribute(reader: _Reader, grid: _Grid, key: str, words: list[str], target: tuple[str, int]) -> bool:
    """One attribute of points or cells; False where the rest of the file cannot be followed."""
    place, count = target
    store = grid.data[place]
    if key == "FIELD":
        store.update({name: v for name, v in _field(reader, int(words[2])).items() if len(v) == count})
    elif key == "SCALARS":
        width = int(words[3]) if len(words) > 3 else 1
        start = reader.position
        if not reader.line().upper().startswith("LOOKUP_TABLE"):
            reader.position = start
        _keep(store, words[1], reader.array(width * count, words[2], f"array '{words[1]}'"), width)
    elif key in _WIDTHS:
        width = _WIDTHS[key]
        _keep(store, words[1], reader.array(width * count, words[2], f"array '{words[1]}'"), width)
    elif key == "TEXTURE_COORDINATES":
        width = int(words[2])
        _keep(store, words[1], reader.array(width * count, words[3], f"array '{words[1]}'"), width)
    elif key == "COLOR_SCALARS":
        width = int(words[2])
        kind = "unsigned_char" if reader.binary else "float"
        _keep(store, words[1], reader.array(width * count, kind, f"array '{words[1]}'"), width)
    elif key == "LOOKUP_TABLE":
        reader.array(4 * int(words[2]), "unsigned_char" if reader.binary else "float", "LOOKUP_TABLE")
    else:
        grid.notes.append(f"the data from '{key[:30]}' on were not read")
        return False
    return True


def _keep(store: dict[str, np.ndarray], name: str, values: np.ndarray, width: int) -> None:
    store[unquote(name)] = values.reshape(-1, width) if width > 1 else values


def _assemble(grid: _Grid, dataset: str, old: bool) -> RawMesh:
    notes: list[str] = []
    if dataset in ("STRUCTURED_POINTS", "STRUCTURED_GRID", "RECTILINEAR_GRID"):
        points, blocks = structured(dataset, grid.dimensions, grid.points, grid.axes, (grid.spacing, grid.origin))
        sources = [np.arange(len(block.nodes)) for block in blocks]
    elif dataset in ("UNSTRUCTURED_GRID", "POLYDATA"):
        if grid.points is None or not grid.cells:
            raise Unreadable("it has no POINTS or no cells")
        points = grid.points
        if dataset == "POLYDATA":
            codes = np.concatenate([np.full(len(ends), code) for ends, _, code in grid.cells])
        elif grid.codes is None or len(grid.codes) != len(grid.cells[0][0]):
            raise Unreadable("CELL_TYPES is missing or does not fit CELLS")
        else:
            codes = grid.codes
        shift = np.cumsum([0, *(len(nodes) for _, nodes, _ in grid.cells)])
        ends = np.concatenate([ends + first for (ends, _, _), first in zip(grid.cells, shift)])
        points_of_cells = np.concatenate([nodes for _, nodes, _ in grid.cells])
        blocks, sources, notes = blocks_of(codes, ends, points_of_cells, old=old)
        if notes and not blocks:
            raise Unreadable(f"none of its cells can be used: {'; '.join(notes)}")
    else:
        raise Unreadable(f"the data set {dataset[:30]} is not read")
    raw = RawMesh(points, blocks, notes=[*grid.notes, *notes])
    raw.point_data = {name: v for name, v in grid.data["POINT_DATA"].items() if len(v) == len(points)}
    total = sum(int((source[1:] != source[:-1]).sum()) + 1 for source in sources if len(source))  # each is sorted
    for name, values in grid.data["CELL_DATA"].items():
        if len(values) >= total and all(not len(s) or s.max() < len(values) for s in sources):
            raw.cell_data[name] = [values[source] for source in sources]
    restore(raw, grid.fields, sources)
    return raw
