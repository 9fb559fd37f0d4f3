"""The element sections of an unstructured CGNS zone: cells with their element numbers, by type.

Source: CGNS, "Standard Interface Data Structures", conventions for the numbering of nodes and table of ElementType_t.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.cgns.tree import children, values
from graphpde.mesh.io.node_words import WORDS, columns
from graphpde.mesh.io.raw import Block, Unreadable, runs

_KINDS = {
    **{2: "vertex", 3: "line", 4: "line3", 5: "triangle", 6: "triangle6", 7: "quad", 8: "quad8", 9: "quad9"},
    **{10: "tetra", 11: "tetra10", 12: "pyramid", 21: "pyramid13", 13: "pyramid14", 14: "wedge", 15: "wedge15"},
    **{16: "wedge18", 17: "hexahedron", 18: "hexahedron20", 19: "hexahedron27", 24: "line4", 26: "triangle10"},
}
# types of higher order, taken at their corners: linear type and number of nodes
_CURVED = {
    **{25: ("triangle", 9), 27: ("quad", 12), 28: ("quad", 16), 29: ("tetra", 16), 30: ("tetra", 20)},
    **{31: ("pyramid", 21), 32: ("pyramid", 29), 33: ("pyramid", 30), 34: ("wedge", 24), 35: ("wedge", 38)},
    **{36: ("wedge", 40), 37: ("hexahedron", 32), 38: ("hexahedron", 56), 39: ("hexahedron", 64), 40: ("line", 5)},
    **{41: ("triangle", 12), 42: ("triangle", 15), 43: ("quad", 16), 44: ("quad", 25), 45: ("tetra", 22)},
    **{46: ("tetra", 34), 47: ("tetra", 35), 48: ("pyramid", 29), 49: ("pyramid", 50), 50: ("pyramid", 55)},
    **{51: ("wedge", 33), 52: ("wedge", 66), 53: ("wedge", 75), 54: ("hexahedron", 44), 55: ("hexahedron", 98)},
    56: ("hexahedron", 125),
}
_MIXED, _NGON, _NFACE = 20, 22, 23
_UPRIGHT = "0 1 2 3 4 5 6 7 01 12 23 03 04 15 26 37 45 56 67 47"
_PRISM = "0 1 2 3 4 5 01 12 02 03 14 25 34 45 35"
_WORDS = {
    "hexahedron20": _UPRIGHT,
    "hexahedron27": _UPRIGHT + " 0123 0145 1256 2367 0347 4567 01234567",
    "wedge15": _PRISM,
    "wedge18": _PRISM + " 0134 1245 0235",
}
# column k of a row in the order of this library is column _ORDER[kind][k] in the file
_ORDER = {kind: columns(kind, _WORDS.get(kind, words)) for kind, words in WORDS.items()}


class Cells(NamedTuple):
    """Cells of one type in one section, with their element numbers [m], and the name of the section."""

    block: Block
    ids: np.ndarray
    section: str


def sections(zone: Any, notes: list[str]) -> list[Cells]:
    """All cells of a zone; what had to be simplified is told in ``notes``.

    Raises:
        Unreadable: polyhedra, unknown types, lists that do not fit the range of element numbers.
    """
    found: list[Cells] = []
    for name, section in children(zone, "Elements_t").items():
        kind = int(_whole(values(section), name)[0])
        if kind == _NFACE:
            raise Unreadable(
                f"section '{name}' holds general polyhedra (NFACE_n), which have no finite element here; "
                "export tetrahedra, hexahedra, wedges and pyramids"
            )
        limits = _whole(_array(section, "ElementRange", name), name)
        nodes = _whole(_array(section, "ElementConnectivity", name), name)
        count = int(limits[1] - limits[0]) + 1 if len(limits) == 2 else 0
        if count < 1 or limits[0] < 1 or count > len(nodes):
            raise Unreadable(f"section '{name}' has elements {limits.tolist()} and {len(nodes)} numbers for them")
        if kind in (_MIXED, _NGON):
            starts = children(section).get("ElementStartOffset")
            rows = _by_offsets(kind, nodes, _whole(values(starts), name), count, name) if starts is not None else None
            grouped = rows or _by_counts(kind, nodes, count, name)
        else:
            grouped = {kind: (nodes.reshape(count, -1), np.arange(count))} if len(nodes) % count == 0 else {}
        if not grouped:
            raise Unreadable(f"section '{name}' lists {len(nodes)} numbers for {count} elements")
        for code, (corners, row) in grouped.items():
            found.append(Cells(_block(kind, code, corners, name, notes), row + int(limits[0]), name))
    return found


def _array(section: Any, name: str, where: str) -> np.ndarray:
    found = children(section).get(name)
    if found is None:
        raise Unreadable(f"section '{where}' has no {name}")
    return values(found)


def _whole(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype.kind not in "iu" or not array.size:
        raise Unreadable(f"section '{name}' holds something other than whole numbers")
    return array.reshape(-1).astype(np.int64)


def _by_offsets(
    kind: int, nodes: np.ndarray, starts: np.ndarray, count: int, name: str
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Rows and their places by type (MIXED) or number of corners (NGON_n), where the starts of all rows are listed."""
    sizes = np.diff(starts)
    if len(starts) != count + 1 or starts[0] != 0 or starts[-1] != len(nodes) or sizes.min() < 1:
        raise Unreadable(f"the ElementStartOffset of section '{name}' does not fit its {len(nodes)} numbers")
    keys = nodes[starts[:-1]] if kind == _MIXED else sizes
    first = 1 if kind == _MIXED else 0
    out = {}
    for key in np.unique(keys).tolist():
        rows = np.flatnonzero(keys == key)
        width = _width(key, name) if kind == _MIXED else _corners(key, name)
        if (sizes[rows] != width + first).any():
            raise Unreadable(f"an element of section '{name}' has another number of nodes than its type")
        out[key] = (nodes[starts[rows][:, None] + first + np.arange(width)], rows)
    return out


def _by_counts(kind: int, nodes: np.ndarray, count: int, name: str) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """The same where each row begins with its type or number of corners (before version 4)."""
    parts: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    place = 0

    def width(key: int) -> int:
        return 1 + (_width(key, name) if kind == _MIXED else _corners(key, name))

    for (key,), rows in runs(nodes, count, (0,), width, f"section '{name}'"):
        parts.setdefault(key, []).append((rows[:, 1:], np.arange(place, place + len(rows))))
        place += len(rows)
    return {key: (np.concatenate([a for a, _ in p]), np.concatenate([b for _, b in p])) for key, p in parts.items()}


def _width(code: int, name: str) -> int:
    """Number of nodes of an element type."""
    if code in _CURVED:
        return _CURVED[code][1]
    if code not in _KINDS:
        raise Unreadable(f"section '{name}' holds elements of type {code}, which have no cell type here")
    return CELLS[_KINDS[code]].nodes


def _corners(count: int, name: str) -> int:
    if count < 3:
        raise Unreadable(f"section '{name}' holds polygons with {count} corners")
    return count


def _block(kind: int, code: int, nodes: np.ndarray, name: str, notes: list[str]) -> Block:
    """Cells in the order of this library, numbered from 0."""
    nodes = nodes - 1
    if kind == _NGON:
        return Block("polygon", nodes)
    if nodes.shape[1] != _width(code, name):
        raise Unreadable(f"section '{name}' has {nodes.shape[1]} nodes per element, expected {_width(code, name)}")
    if code in _CURVED:
        linear, count = _CURVED[code]
        notes.append(f"{len(nodes)} {linear} cells with {count} nodes are taken at their corners")
        return Block(linear, nodes[:, : CELLS[linear].nodes])
    known = _KINDS[code]
    return Block(known, nodes[:, _ORDER[known]] if known in _ORDER else nodes)
