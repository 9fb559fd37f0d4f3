"""Reader of Nastran bulk data: points and elements in small, large and free fields; property numbers become sets.

Source: MSC Nastran Quick Reference Guide, "Bulk data entries" (format of entries; GRID, CTETRA, CPENTA, CHEXA, ...).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.nastran_systems import Systems
from graphpde.mesh.io.raw import Block, CellSet, RawMesh, Unreadable, listed, positions, real_number, whole_number
from graphpde.mesh.io.references import inside

_DEPTH = 8
_LINE = 1 << 16  # characters; honest lines have 80
_EXPONENT = re.compile(r"(?<=[0-9.])([+-]\d+)$")  # 1.5-3 means 1.5e-3


class _Element(NamedTuple):
    """An element entry: its linear type, the field of its property or -1, the field of its first point."""

    kind: str
    group: int
    first: int


_ELEMENTS = {
    **{name: _Element("triangle", 1, 2) for name in ("CTRIA3", "CTRIAR", "CTRIA6", "CTRAX3", "CPLSTN3", "CPLSTS3")},
    **{
        name: _Element("quad", 1, 2) for name in ("CQUAD4", "CQUADR", "CQUAD8", "CQUAD", "CSHEAR", "CPLSTN4", "CPLSTS4")
    },
    **{name: _Element("line", 1, 2) for name in ("CROD", "CTUBE", "CBAR", "CBEAM", "CBEND")},
    **{name: _Element("pyramid", 1, 2) for name in ("CPYRAM", "CPYRA")},
    "CTETRA": _Element("tetra", 1, 2),
    "CPENTA": _Element("wedge", 1, 2),
    "CHEXA": _Element("hexahedron", 1, 2),
    "CONROD": _Element("line", -1, 1),
}
_HIGHER = {
    **{"triangle": ("triangle6", 6), "quad": ("quad8", 8), "tetra": ("tetra10", 10), "pyramid": ("pyramid13", 13)},
    **{"wedge": ("wedge15", 15), "hexahedron": ("hexahedron20", 20)},
}
# upright edges come before the top ones
_ORDER = {"hexahedron20": [*range(12), 16, 17, 18, 19, 12, 13, 14, 15], "wedge15": [*range(9), 12, 13, 14, 9, 10, 11]}
# entries that begin like elements and are no cells, silently; others are named
_OTHERS = ("CORD", "CONM", "CONV", "CAERO", "CSET", "CMASS", "CDAMP", "CHBDY", "CYJOIN", "CASECC", "CSUPER", "CYSYM")


def read(path: Path) -> RawMesh:
    """Read a bulk data deck; INCLUDE is followed inside the folder of the deck.

    Raises:
        Unreadable: an undefined coordinate system, a missing include, a field that is no number.
    """
    ids: list[int] = []
    points: list[list[float]] = []
    rows: dict[str, list[list[int]]] = {}
    groups: dict[str, list[int]] = {}
    lost: Counter[str] = Counter()
    systems, of_point, default = Systems(), [], ""  # type: Systems, list[int], str
    for name, fields in _entries(_lines(path, path.parent, 0)):
        try:
            if name == "GRID":
                ids.append(whole_number(fields[0]))
                points.append([_real(field) for field in fields[2:5]])
                of_point.append(whole_number(fields[1] or default or "0"))
            elif name.startswith("CORD2"):
                systems.define(
                    name,
                    whole_number(fields[0]),
                    whole_number(fields[1] or "0"),
                    [_real(field) for field in fields[2:11]],
                )
            elif name == "GRDSET":
                default = fields[1]
            elif name in _ELEMENTS:
                element = _ELEMENTS[name]
                kind, nodes = _nodes(name, element, fields)
                rows.setdefault(kind, []).append(nodes)
                group = fields[element.group] if element.group >= 0 else ""
                groups.setdefault(kind, []).append(whole_number(group or "0"))
            elif name[:1] == "C" and not name.startswith(_OTHERS):
                lost[name] += 1
        except ValueError:
            raise Unreadable(f"the entry {name} {', '.join(fields[:5])} has a field that is no number") from None
    x = systems.to_basic(np.array(of_point, dtype=np.int64), np.array(points, dtype=np.float64).reshape(-1, 3))
    return _assemble(np.array(ids, dtype=np.int64), x, rows, groups, lost)


def _lines(path: Path, folder: Path, depth: int) -> Iterator[str]:
    """Lines of the bulk data section without comments, includes put in."""
    if depth > _DEPTH:
        raise Unreadable(f"INCLUDE goes more than {_DEPTH} files deep; a file seems to include itself")
    text = path.read_text("latin-1").splitlines()
    begin = next((k for k, line in enumerate(text) if line.strip().upper().startswith("BEGIN BULK")), -1)
    for line in text[begin + 1 :]:
        if len(line) > _LINE:
            raise Unreadable(f"it has a line of {len(line)} characters, which no deck has")
        line = line.partition("$")[0].rstrip().expandtabs(8)
        upper = line.lstrip().upper()
        if upper.startswith("ENDDATA"):
            return
        if upper.startswith("INCLUDE"):
            name = line.strip()[7:].strip().strip("'\"")
            yield from _lines(inside(folder, name, "INCLUDE"), folder, depth + 1)
        elif line:
            yield line


def _entries(lines: Iterator[str]) -> Iterator[tuple[str, list[str]]]:
    """(name, fields) of each entry, continuation lines joined; a line always stands for eight (large: four) fields."""
    name, fields = "", []  # type: str, list[str]
    for line in lines:
        head = (line.split(",")[0] if "," in line else line[:8]).strip()
        if head[:1] in ("", "+", "*"):
            fields += _fields(line, head)
            continue
        if name:
            yield name, [*fields, *[""] * 8]
        name, fields = head.rstrip("*").upper(), _fields(line, head)
    if name:
        yield name, [*fields, *[""] * 8]


def _fields(line: str, head: str) -> list[str]:
    large = "*" in head
    count = 4 if large else 8
    if "," in line:
        words = [word.strip() for word in line.split(",")[1 : 1 + count]]
        return words + [""] * (count - len(words))
    width = 16 if large else 8
    return [line[8 + k * width : 8 + (k + 1) * width].strip() for k in range(count)]


def _real(field: str) -> float:
    if not field:
        return 0.0
    text = field.upper().replace("D", "E")
    return real_number(text if "E" in text else _EXPONENT.sub(r"E\1", text))


def _nodes(name: str, element: _Element, fields: list[str]) -> tuple[str, list[int]]:
    """Cell type and points of an entry; with all its mid-side points it is quadratic, with some of them linear."""
    count = CELLS[element.kind].nodes
    corners = [whole_number(field) for field in fields[element.first : element.first + count]]
    kind, full = _HIGHER.get(element.kind, ("", 0))
    rest = fields[element.first + count : element.first + full]
    solid_or_named = CELLS[element.kind].dim == 3 or name in ("CTRIA6", "CQUAD8")
    if full and solid_or_named and len(rest) == full - count and all(field.isdigit() and int(field) for field in rest):
        nodes = corners + [whole_number(field) for field in rest]
        return kind, [nodes[k] for k in _ORDER[kind]] if kind in _ORDER else nodes
    return element.kind, corners


def _assemble(
    ids: np.ndarray,
    points: np.ndarray,
    rows: dict[str, list[list[int]]],
    groups: dict[str, list[int]],
    lost: Counter,
) -> RawMesh:
    raw = RawMesh(points, [])
    for kind, nodes in rows.items():
        raw.blocks.append(Block(kind, positions(ids, np.array(nodes, dtype=np.int64), "point")))
    raw.cell_data["nastran:ref"] = [np.array(groups[kind], dtype=np.int64) for kind in rows]
    members: dict[int, list[np.ndarray | None]] = {}
    for number, kind in enumerate(rows):
        values = np.array(groups[kind])
        for value in np.unique(values[values > 0]).tolist():
            members.setdefault(value, [None] * len(rows))[number] = np.flatnonzero(values == value)
    raw.cell_sets = [CellSet(str(value), slots) for value, slots in sorted(members.items())]
    if lost:
        names = listed(f"{count} {name}" for name, count in lost.items())
        raw.notes.append(f"{sum(lost.values())} elements without a cell type here were left out: {names}")
    return raw
