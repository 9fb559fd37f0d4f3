"""The sections of a gmsh file, text or binary, formats 2.x and 4.1, read into the numbering of the file.

Source: Gmsh reference manual, "MSH file format" and "MSH file format version 2 (Legacy)".
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from graphpde.mesh.io.gmsh.table import ELEMENTS, Element
from graphpde.mesh.io.raw import Unreadable, integers, numbers, runs


class Cursor:
    """Numbers one after another in one section, text or bytes; nothing is allocated before it is there."""

    def __init__(self, data: bytes, start: int, section: str, binary: bool, order: str, size: int):
        self.data, self.position, self.section, self.binary, self.order = data, start, section, binary, order
        self.index_type = f"{order}u{size}"
        if not binary:
            stop = data.find(b"$End" + section.encode(), start)
            if stop < 0:
                raise Unreadable(f"section ${section} is not closed by $End{section}; the file seems to be cut off")
            self.values = numbers(data[start:stop], np.float64, f"section ${section}")
            self.end, self.position = stop, 0

    def take(self, count: int, dtype: str = "f8") -> np.ndarray:
        """The next ``count`` numbers [count]: "i4", "f8" or the file's own index type "index"."""
        kind = np.dtype(self.index_type if dtype == "index" else self.order + dtype)
        if count < 0 or count > len(self.data):
            raise Unreadable(f"section ${self.section} declares {count} items, which the file cannot hold")
        if self.binary:
            if self.position + count * kind.itemsize > len(self.data):
                raise Unreadable(f"section ${self.section} ends too early; the file seems to be cut off")
            out = np.frombuffer(self.data, kind, count, self.position)
            self.position += count * kind.itemsize
            return out.astype(np.float64 if dtype == "f8" else np.int64)
        out = self.values[self.position : self.position + count]
        if len(out) < count:
            raise Unreadable(f"section ${self.section} ends too early; the file seems to be cut off")
        self.position += count
        return out if dtype == "f8" else integers(out, f"the counts and numbers of section ${self.section}")

    def one(self, dtype: str = "index") -> int:
        return int(self.take(1, dtype)[0])

    def close(self) -> int:
        """Position after the end of the section; what is left over in it is an error."""
        mark = b"$End" + self.section.encode()
        if self.binary:
            stop = self.data.find(mark, self.position, self.position + 16 + len(mark))
            if stop < 0:
                raise Unreadable(f"section ${self.section} is not closed by $End{self.section} where its counts say")
            return stop + len(mark)
        if self.position < len(self.values):
            raise Unreadable(
                f"section ${self.section} holds {len(self.values) - self.position} numbers more than its counts say"
            )
        return self.end + len(mark)


class Elements(NamedTuple):
    """Listed elements of one type: entities [k], groups [k, g] (0 = none), element tags [k], node tags [k, w]."""

    element: Element
    entities: np.ndarray
    groups: np.ndarray
    tags: np.ndarray
    nodes: np.ndarray


class Content:
    """What the sections of one file hold, in the numbering of the file."""

    def __init__(self) -> None:
        self.names: dict[tuple[int, int], str] = {}
        self.entities: dict[tuple[int, int], np.ndarray] = {}  # (dim, entity) -> physical groups
        self.tags: list[np.ndarray] = []
        self.points: list[np.ndarray] = []
        self.elements: list[Elements] = []
        self.data: list[tuple[str, str, np.ndarray, np.ndarray]] = []  # section, name, tags, values
        self.seen: set[str] = set()
        self.notes: list[str] = []


def read_section(content: Content, section: str, data: bytes, start: int, form: tuple[int, bool, str, int]) -> int:
    """Read one section into ``content``; the position after it."""
    version, binary, order, size = form
    once = section in ("Nodes", "Elements", "Entities", "PhysicalNames")
    if once and section in content.seen:
        raise Unreadable(f"section ${section} stands twice in the file")
    content.seen.add(section)
    if section == "PhysicalNames":
        return _names(content, data, start)
    if section in ("NodeData", "ElementData"):
        return _data(content, section, data, start, (binary, order))
    readers = {
        ("Nodes", 2): _nodes2,
        ("Elements", 2): _elements2,
        ("Entities", 4): _entities4,
        ("PartitionedEntities", 4): _entities4,
        ("Nodes", 4): _nodes4,
        ("Elements", 4): _elements4,
    }
    if (section, version) in readers:
        cursor = Cursor(data, start, section, binary, order, size)
        readers[section, version](content, cursor)
        return cursor.close()
    stop = data.find(b"$End" + section.encode("latin-1"), start)
    if stop < 0:
        raise Unreadable(f"section ${section} is not closed by $End{section}; the file seems to be cut off")
    if section in ("Periodic", "ElementNodeData"):
        content.notes.append(f"section ${section} was not used")
    return stop + 4 + len(section)


def _names(content: Content, data: bytes, start: int) -> int:
    stop = data.find(b"$EndPhysicalNames", start)
    if stop < 0:
        raise Unreadable("section $PhysicalNames is not closed; the file seems to be cut off")
    lines = [line for line in data[start:stop].decode("utf-8", "replace").splitlines() if line.strip()]
    for line in lines[1:]:
        words = line.split(None, 2)
        if len(words) < 3:
            raise Unreadable(f"the physical name '{line.strip()}' has no dimension, number and name")
        quoted = words[2].split('"')
        content.names[int(words[0]), int(words[1])] = quoted[1] if len(quoted) > 2 else words[2].strip()
    return stop + len(b"$EndPhysicalNames")


def _nodes2(content: Content, cursor: Cursor) -> None:
    count = cursor.one("i4") if not cursor.binary else _text_count(cursor)
    if not cursor.binary:
        rows = cursor.take(4 * count).reshape(count, 4)
        content.tags.append(integers(rows[:, 0], "node numbers"))
        content.points.append(rows[:, 1:])
        return
    raw = _records(cursor, count, [("tag", "i4"), ("x", "f8", 3)])
    content.tags.append(raw["tag"].astype(np.int64))
    content.points.append(raw["x"].astype(np.float64))


def _elements2(content: Content, cursor: Cursor) -> None:
    if cursor.binary:
        left = _text_count(cursor)
        while left > 0:
            code, count, tags = cursor.take(3, "i4").tolist()
            element = _element(code)
            width = 1 + tags + element.nodes
            if not 0 < count <= left:
                raise Unreadable(f"a block of {count} elements stands where {left} are left in section $Elements")
            _add2(content, element, cursor.take(count * width, "i4").reshape(count, width), 1, tags)
            left -= count
        return
    count = cursor.one("i4")
    values = integers(cursor.values[cursor.position :], "the numbers of section $Elements")
    for (code, tags), rows in runs(values, count, (1, 2), _width2, "section $Elements"):
        _add2(content, _element(code), rows, 3, tags)
    cursor.position = len(cursor.values)


def _width2(code: int, tags: int) -> int:
    if not 0 <= tags < 1000:
        raise Unreadable(f"an element has {tags} tags; the file seems to be damaged")
    return 3 + tags + _element(code).nodes


def _add2(content: Content, element: Element, rows: np.ndarray, first: int, tags: int) -> None:
    zero = np.zeros(len(rows), dtype=np.int64)
    physical = rows[:, first] if tags > 0 else zero
    entity = rows[:, first + 1] if tags > 1 else zero
    if tags > 2 and rows[:, first + 2].any():
        content.notes.append("element tags beyond group and entity (partitions) were not used")
    groups = np.abs(physical)[:, None]  # a negative group means reversed orientation
    content.elements.append(Elements(element, entity, groups, rows[:, 0], rows[:, first + tags :]))


def _entities4(content: Content, cursor: Cursor) -> None:
    partitioned = cursor.section == "PartitionedEntities"
    if partitioned:
        cursor.one()
        cursor.take(2 * cursor.one(), "i4")  # ghost entities
    for dim, count in enumerate(cursor.take(4, "index").tolist()):
        for _ in range(count):
            tag = cursor.one("i4")
            if partitioned:
                cursor.take(2, "i4")  # parent
                cursor.take(cursor.one(), "i4")  # partitions
            cursor.take(3 if dim == 0 else 6)
            content.entities[dim, tag] = cursor.take(cursor.one(), "i4")
            if dim > 0:
                cursor.take(cursor.one(), "i4")  # bounding entities


def _nodes4(content: Content, cursor: Cursor) -> None:
    blocks, total = cursor.take(4, "index")[:2].tolist()
    for _ in range(blocks):
        dim, _, parametric = cursor.take(3, "i4").tolist()
        count = cursor.one()
        content.tags.append(cursor.take(count, "index"))
        width = 3 + (dim if parametric else 0)
        content.points.append(cursor.take(count * width).reshape(count, width)[:, :3])
    if sum(map(len, content.tags)) != total:
        raise Unreadable(f"section $Nodes holds {sum(map(len, content.tags))} nodes and declares {total}")


def _elements4(content: Content, cursor: Cursor) -> None:
    blocks, total = cursor.take(4, "index")[:2].tolist()
    read = 0
    for _ in range(blocks):
        dim, entity, code = cursor.take(3, "i4").tolist()
        count, element = cursor.one(), _element(code)
        rows = cursor.take(count * (1 + element.nodes), "index").reshape(count, 1 + element.nodes)
        groups = np.abs(content.entities.get((dim, entity), np.empty(0, dtype=np.int64)))
        physical = np.broadcast_to(groups, (count, len(groups)))
        content.elements.append(Elements(element, np.full(count, entity), physical, rows[:, 0], rows[:, 1:]))
        read += count
    if read != total:
        raise Unreadable(f"section $Elements holds {read} elements and declares {total}")


def _element(code: int) -> Element:
    if code not in ELEMENTS:
        raise Unreadable(f"gmsh element type {code} is not supported; save the mesh with order 1 or 2")
    return ELEMENTS[code]


def _text_count(cursor: Cursor) -> int:
    """The count on a text line of its own before binary records."""
    stop = cursor.data.find(b"\n", cursor.position)
    count = int(cursor.data[cursor.position : stop])
    cursor.position = stop + 1
    return count


def _records(cursor: Cursor, count: int, fields: list) -> np.ndarray:
    kind = np.dtype([(name, cursor.order + code, *shape) for name, code, *shape in fields])
    if count < 0 or cursor.position + count * kind.itemsize > len(cursor.data):
        raise Unreadable(f"section ${cursor.section} declares {count} items, which the file cannot hold")
    out = np.frombuffer(cursor.data, kind, count, cursor.position)
    cursor.position += count * kind.itemsize
    return out


def _data(content: Content, section: str, data: bytes, start: int, form: tuple[bool, str]) -> int:
    """$NodeData or $ElementData: string, real and integer tags (step, components, count), then tag and values."""
    position, lines = start, []

    def line() -> str:
        nonlocal position
        stop = data.find(b"\n", position)
        if stop < 0:
            raise Unreadable(f"section ${section} is not closed; the file seems to be cut off")
        text = data[position:stop].decode("utf-8", "replace").strip()
        position = stop + 1
        return text

    for _ in range(3):
        lines.append([line() for _ in range(int(line()))])
    name = lines[0][0].strip('"') if lines[0] else section
    width, count = int(lines[2][1]), int(lines[2][2])
    cursor = Cursor(data, position, section, *form, 8)
    if cursor.binary:
        raw = _records(cursor, count, [("tag", "i4"), ("x", "f8", (width,))])
        tags, values = raw["tag"].astype(np.int64), raw["x"].astype(np.float64)
    else:
        rows = cursor.take(count * (1 + width)).reshape(count, 1 + width)
        tags, values = integers(rows[:, 0], f"the numbers of section ${section}"), rows[:, 1:]
    if any(kind == section and known == name for kind, known, _, _ in content.data):
        content.notes.append(f"a further time step of '{name}' was not read")
    else:
        content.data.append((section, name, tags, values[:, 0] if width == 1 else values))
    return cursor.close()
