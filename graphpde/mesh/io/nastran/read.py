"""Reader of Nastran bulk data: points and elements in small, large and free fields; property numbers become sets.

Source: MSC Nastran Quick Reference Guide, "Bulk data entries" (format of entries; GRID, CTETRA, CPENTA, CHEXA, ...).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.nastran.rows import at_once
from graphpde.mesh.io.nastran.systems import Systems
from graphpde.mesh.io.nastran.table import ELEMENTS, HIGHER, ORDER, Deck, Element, can_be_higher, is_lost
from graphpde.mesh.io.raw import Block, CellSet, RawMesh, Unreadable, listed, positions, real_number, whole_number
from graphpde.mesh.io.references import inside

_DEPTH = 8
_LINE = 1 << 16  # characters; honest lines have 80
_EXPONENT = re.compile(r"(?<=[0-9.])([+-]\d+)$")  # 1.5-3 means 1.5e-3


def read(path: Path) -> RawMesh:
    """Read a bulk data deck; INCLUDE is followed inside the folder of the deck.

    Raises:
        Unreadable: an undefined coordinate system, a missing include, a field that is no number.
    """
    systems = Systems()
    deck = at_once(path.read_bytes(), _LINE)
    if deck is None:
        deck = _one_by_one(_entries(_lines(path, path.parent, 0)), systems)
    else:
        _one_by_one(_entries(iter(deck.left)), systems)
    return _assemble(deck, systems.to_basic(deck.systems, deck.points))


def _one_by_one(entries: Iterator[tuple[str, list[str]]], systems: Systems) -> Deck:
    """What some entries say, whatever their form; coordinate systems go into ``systems``."""
    ids: list[int] = []
    points: list[list[float]] = []
    rows: dict[str, list[list[int]]] = {}
    groups: dict[str, list[int]] = {}
    lost: Counter[str] = Counter()
    of_point, default = [], ""  # type: list[int], str
    for name, fields in entries:
        try:
            if name == "GRID":
                ids.append(whole_number(fields[0]))
                points.append([_real(field) for field in fields[2:5]])
                of_point.append(whole_number(fields[1] or default or "0"))
            elif name.startswith("CORD2"):
                numbers = [_real(field) for field in fields[2:11]]
                systems.define(name, whole_number(fields[0]), whole_number(fields[1] or "0"), numbers)
            elif name == "GRDSET":
                default = fields[1]
            elif name in ELEMENTS:
                element = ELEMENTS[name]
                kind, nodes = _nodes(name, element, fields)
                rows.setdefault(kind, []).append(nodes)
                group = fields[element.group] if element.group >= 0 else ""
                groups.setdefault(kind, []).append(whole_number(group or "0"))
            elif is_lost(name):
                lost[name] += 1
        except ValueError:
            raise Unreadable(f"the entry {name} {', '.join(fields[:5])} has a field that is no number") from None
    return Deck(
        *(np.array(ids, dtype=np.int64), np.array(points, dtype=np.float64).reshape(-1, 3)),
        np.array(of_point, dtype=np.int64),
        {kind: np.array(nodes, dtype=np.int64) for kind, nodes in rows.items()},
        {kind: np.array(numbers, dtype=np.int64) for kind, numbers in groups.items()},
        *(lost, []),
    )


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


def _nodes(name: str, element: Element, fields: list[str]) -> tuple[str, list[int]]:
    """Cell type and points of an entry; with all its mid-side points it is quadratic, with some of them linear."""
    count = CELLS[element.kind].nodes
    corners = [whole_number(field) for field in fields[element.first : element.first + count]]
    kind, full = HIGHER.get(element.kind, ("", 0))
    rest = fields[element.first + count : element.first + full]
    complete = len(rest) == full - count and all(field.isdigit() and int(field) for field in rest)
    if can_be_higher(name, element.kind) and complete:
        nodes = corners + [whole_number(field) for field in rest]
        return kind, [nodes[k] for k in ORDER[kind]] if kind in ORDER else nodes
    return element.kind, corners


def _assemble(deck: Deck, points: np.ndarray) -> RawMesh:
    raw = RawMesh(points, [])
    for kind, nodes in deck.rows.items():
        raw.blocks.append(Block(kind, positions(deck.ids, nodes, "point")))
    raw.cell_data["nastran:ref"] = list(deck.groups.values())
    members: dict[int, list[np.ndarray | None]] = {}
    for number, values in enumerate(deck.groups.values()):
        for value in np.unique(values[values > 0]).tolist():
            members.setdefault(value, [None] * len(deck.rows))[number] = np.flatnonzero(values == value)
    raw.cell_sets = [CellSet(str(value), slots) for value, slots in sorted(members.items())]
    if deck.lost:
        names = listed(f"{count} {name}" for name, count in deck.lost.items())
        raw.notes.append(f"{sum(deck.lost.values())} elements without a cell type here were left out: {names}")
    return raw
