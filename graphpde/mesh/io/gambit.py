"""Reader of Gambit neutral files: nodes, cells, element groups, boundary sets of nodes and of sides of cells.

Source: Fluent Inc., GAMBIT User's Guide, appendix C "GAMBIT neutral file format" (sections C.1.2 and C.2: records, node
and face numbering). The corners of bricks and pyramids run row by row, and so do all nodes of higher orders; that order
is checked against the coordinates before it is trusted.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.raw import Block, CellSet, FacetSet, RawMesh, Unreadable, integers, numbers, positions, runs

_END = "ENDOFSECTION"
# by type and number of nodes: our type, and which node of the file stands in each of its columns
_KINDS: dict[tuple[int, int], tuple[str, list[int]]] = {
    (1, 2): ("line", [0, 1]),
    (1, 3): ("line3", [0, 2, 1]),
    (2, 4): ("quad", [0, 1, 2, 3]),
    (2, 8): ("quad8", [0, 2, 4, 6, 1, 3, 5, 7]),
    (2, 9): ("quad9", [0, 2, 4, 6, 1, 3, 5, 7, 8]),
    (3, 3): ("triangle", [0, 1, 2]),
    (3, 6): ("triangle6", [0, 2, 4, 1, 3, 5]),
    (3, 7): ("triangle7", [0, 2, 4, 1, 3, 5, 6]),
    (4, 8): ("hexahedron", [0, 1, 3, 2, 4, 5, 7, 6]),
    (4, 20): ("hexahedron20", [0, 2, 7, 5, 12, 14, 19, 17, 1, 4, 6, 3, 13, 16, 18, 15, 8, 9, 11, 10]),
    (4, 27): (
        "hexahedron27",
        [0, 2, 8, 6, 18, 20, 26, 24, 1, 5, 7, 3, 19, 23, 25, 21, 9, 11, 17, 15, 12, 14, 10, 16, 4, 22, 13],
    ),
    (5, 6): ("wedge", [0, 1, 2, 3, 4, 5]),
    (5, 15): ("wedge15", [0, 2, 5, 9, 11, 14, 1, 4, 3, 10, 13, 12, 6, 7, 8]),
    (5, 18): ("wedge18", [0, 2, 5, 12, 14, 17, 1, 4, 3, 13, 16, 15, 6, 8, 11, 7, 10, 9]),
    (6, 4): ("tetra", [0, 1, 2, 3]),
    (6, 10): ("tetra10", [0, 2, 5, 9, 1, 4, 3, 6, 7, 8]),
    (7, 5): ("pyramid", [0, 1, 3, 2, 4]),
    (7, 13): ("pyramid13", [0, 2, 7, 5, 12, 1, 4, 6, 3, 8, 9, 11, 10]),
    (7, 14): ("pyramid14", [0, 2, 8, 6, 13, 1, 5, 7, 3, 9, 10, 12, 11, 4]),
}
# sides in the order of the manual, in our corners
_SIDES: dict[str, list[tuple[int, ...]]] = {
    "line": [(0,), (1,)],
    "triangle": [(0, 1), (1, 2), (2, 0)],
    "quad": [(0, 1), (1, 2), (2, 3), (3, 0)],
    "hexahedron": [(0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7), (1, 0, 3, 2), (4, 5, 6, 7)],
    "wedge": [(0, 1, 4, 3), (1, 2, 5, 4), (2, 0, 3, 5), (0, 2, 1), (3, 4, 5)],
    "tetra": [(1, 0, 2), (0, 1, 3), (1, 2, 3), (2, 0, 3)],
    "pyramid": [(0, 3, 2, 1), (0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4)],
}


def read(path: Path) -> RawMesh:
    """Read a .neu file; groups and boundary sets become sets of their names.

    Raises:
        Unreadable: a section that is cut, counts that do not agree, an unknown cell, node or side.
    """
    lines = [line for line in path.read_text("latin-1").splitlines() if not line.startswith("/")]
    sections = _sections(lines)
    counts = _counts(sections.pop(0)[1])
    by_name: dict[str, list[list[str]]] = {}
    for name, body in sections:
        by_name.setdefault(name, []).append(body)
    nodes = by_name.pop("NODAL COORDINATES", [])
    cells = by_name.pop("ELEMENTS/CELLS", [])
    if len(nodes) != 1 or len(cells) != 1:
        raise Unreadable(f"it has {len(nodes)} sections of nodes and {len(cells)} of cells, expected one of each")
    values = numbers(" ".join(nodes[0]), np.float64, "section NODAL COORDINATES").reshape(-1)
    if len(values) != counts["NUMNP"] * (1 + counts["NDFCD"]):
        raise Unreadable(
            f"section NODAL COORDINATES has {len(values)} numbers, expected {counts['NUMNP']} nodes of "
            f"{counts['NDFCD']} coordinates"
        )
    rows = values.reshape(counts["NUMNP"], 1 + counts["NDFCD"])
    ids = integers(rows[:, 0], "numbers of nodes")
    raw = RawMesh(rows[:, 1:], [], space_dim=counts["NDFCD"])
    labels = _cells(raw, cells[0], counts["NELEM"], ids)
    groups, bounds = by_name.pop("ELEMENT GROUP", []), by_name.pop("BOUNDARY CONDITIONS", [])
    for what, found, key in (("element groups", groups, "NGRPS"), ("boundary sets", bounds, "NBSETS")):
        if len(found) != counts[key]:
            raise Unreadable(f"it declares {counts[key]} {what} and has {len(found)}; it seems to be cut off")
    for body in groups:
        _group(raw, body, labels)
    for body in bounds:
        _boundary(raw, body, ids, labels)
    raw.notes += [f"section {name} was not used" for name in by_name]
    return raw


def _sections(lines: list[str]) -> list[tuple[str, list[str]]]:
    """(name, lines) of each section."""
    out = []
    while lines:
        if not lines[0].strip():
            lines = lines[1:]
            continue
        end = next((k for k, line in enumerate(lines) if line.strip() == _END), -1)
        if end < 0:
            raise Unreadable(f"its section '{lines[0].strip()[:30]}' has no {_END}; the file seems to be cut off")
        words = lines[0].split()
        # the version of the format stands behind the name
        out.append((" ".join(words[:-1] if words[-1][0].isdigit() else words).upper(), lines[1:end]))
        lines = lines[end + 1 :]
    if not out or out[0][0] != "CONTROL INFO":
        raise Unreadable("it does not begin with the section CONTROL INFO as Gambit neutral files do")
    return out


def _counts(body: list[str]) -> dict[str, int]:
    names = ["NUMNP", "NELEM", "NGRPS", "NBSETS", "NDFCD", "NDFVL"]
    at = next((k for k, line in enumerate(body) if line.split() == names), len(body))
    values = numbers(" ".join(body[at + 1 :]), np.int64, "section CONTROL INFO")
    if len(values) != 6 or values.min() < 0 or values[4] not in (2, 3):
        raise Unreadable(f"its section CONTROL INFO does not give {', '.join(names)} with NDFCD = 2 or 3")
    return dict(zip(names, values.tolist()))


def _cells(raw: RawMesh, body: list[str], count: int, ids: np.ndarray) -> list[np.ndarray]:
    """Append the blocks of cells; the numbers of the cells of each block."""
    labels = []
    values = numbers(" ".join(body), np.int64, "section ELEMENTS/CELLS")
    for (code, size), rows in runs(values, count, (1, 2), _width, "section ELEMENTS/CELLS"):
        kind, order = _KINDS[code, size]
        nodes = positions(ids, rows[:, 3:][:, order], "node")
        _check_order(raw.points, kind, nodes)
        raw.blocks.append(Block(kind, nodes))
        labels.append(rows[:, 0])
    return labels


def _width(code: int, size: int) -> int:
    if (code, size) not in _KINDS:
        raise Unreadable(f"cells of type {code} with {size} nodes are not known")
    return 3 + size


def _check_order(points: np.ndarray, kind: str, nodes: np.ndarray) -> None:
    """Refuse mid-side nodes that are not near the middle of their edge in most cells."""
    corners = CELLS[kind].corners
    if kind == corners:
        return
    ends = np.array(CELLS[corners].edges)  # in the order of the mid-side nodes
    a, b = points[nodes[:, ends[:, 0]]], points[nodes[:, ends[:, 1]]]
    first = CELLS[corners].nodes
    middle = points[nodes[:, first : first + len(ends)]]
    off = np.linalg.norm(middle - (a + b) / 2, axis=-1)
    if np.median(off > np.linalg.norm(b - a, axis=-1) / 4):
        raise Unreadable(f"the mid-side nodes of its {kind} cells do not lie on the edges that the format says")


def _locate(labels: list[np.ndarray], asked: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each block: which of the asked cells lie in it, and their rows."""
    start = np.cumsum([0, *(len(part) for part in labels)])
    found = positions(np.concatenate([np.empty(0, dtype=np.int64), *labels]), asked, "cell")
    inside = [np.flatnonzero((found >= a) & (found < b)) for a, b in pairwise(start)]
    return [(here, found[here] - a) for here, a in zip(inside, start)]


def _group(raw: RawMesh, body: list[str], labels: list[np.ndarray]) -> None:
    words = body[0].replace(":", ": ").split() if body else []
    if len(body) < 2 or words[::2] != ["GROUP:", "ELEMENTS:", "MATERIAL:", "NFLAGS:"]:
        raise Unreadable("an element group does not begin with GROUP, ELEMENTS, MATERIAL and NFLAGS")
    number, count, _, flags = numbers(" ".join(words[1::2]), np.int64, "an element group").tolist()
    values = numbers(" ".join(body[2:]), np.int64, f"element group {number}")
    if min(count, flags) < 0 or len(values) != flags + count:
        raise Unreadable(f"element group {number} has {len(values)} numbers, expected {flags} flags and {count} cells")
    rows = [rows for _, rows in _locate(labels, values[flags:])]
    raw.cell_sets.append(CellSet(body[1].strip() or str(number), [part if len(part) else None for part in rows]))


def _boundary(raw: RawMesh, body: list[str], ids: np.ndarray, labels: list[np.ndarray]) -> None:
    name, tail = _boundary_head(body[0] if body else "")
    fixed = 3 if tail[0] else 1
    count, width = int(tail[1]), fixed + int(tail[2])
    values = numbers(" ".join(body[1:]), np.float64, f"boundary set '{name}'")
    if len(values) != count * width:
        raise Unreadable(f"boundary set '{name}' has {len(values)} numbers, expected {count} entries of {width}")
    rows = integers(values.reshape(count, width)[:, :fixed], f"entries of boundary set '{name}'")
    if tail[2]:
        raw.notes.append(f"the values of boundary set '{name}' were not used")
    if not tail[0]:
        raw.point_sets.append((name, positions(ids, rows[:, 0], "node")))
        return
    for block, (here, cells) in zip(raw.blocks, _locate(labels, rows[:, 0])):
        sides = _SIDES[CELLS[block.kind].corners]
        if not len(here):
            continue
        if rows[here, 2].min() < 1 or rows[here, 2].max() > len(sides):
            raise Unreadable(f"boundary set '{name}' names a side of a {block.kind} that is not in 1..{len(sides)}")
        for number, side in enumerate(sides, 1):
            chosen = cells[rows[here, 2] == number]
            if len(chosen):
                corners = block.nodes[chosen][:, list(side)]
                raw.facet_sets.append(FacetSet(name, CELLS[block.kind].dim - 1, corners))


def _boundary_head(line: str) -> tuple[str, list[int]]:
    """Name and numbers of the first record of a boundary set: a field of 32 characters, or one word."""
    words = line.split()
    for name, tail in ((line[:32].strip(), line[32:].split()), ("".join(words[:1]), words[1:])):
        if len(tail) >= 3 and all(word.lstrip("-").isdecimal() and word.isascii() for word in tail):
            counts = [int(word) for word in tail]
            if counts[0] in (0, 1) and min(counts[1:3]) >= 0:
                return name or "boundary", counts
    raise Unreadable("a boundary set does not begin with its name, its type (0 or 1), entries and values")
