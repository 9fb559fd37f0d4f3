"""Reader of libMesh's own text files (.xda) of versions 0.7 to 1.3, and of the older LIBM and DEAL layouts.

Source: libMesh, src/mesh/xdr_io.C (header, connectivity, side and node sets), legacy_xdr_io.C and xdr_mesh.C of release
0.9 (older layouts), enum_elem_type.h (types), and the classes of src/geom (order of nodes and sides).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.raw import Block, CellSet, FacetSet, RawMesh, Unreadable, numbers, runs

_KINDS = {
    **dict(
        enumerate(("line", "line3", "line4", "triangle", "triangle6", "quad", "quad8", "quad9", "tetra", "tetra10"))
    ),
    **{10: "hexahedron", 11: "hexahedron20", 12: "hexahedron27", 13: "wedge", 14: "wedge15", 15: "wedge18"},
    **{16: "pyramid", 17: "pyramid13", 18: "pyramid14", 27: "vertex", 30: "triangle", 31: "quad", 32: "quad8"},
    **{33: "triangle7", 38: "quad9"},
}
# upright edges come before the top ones, the face at the bottom before those around
_ORDER = {
    "hexahedron20": [*range(12), 16, 17, 18, 19, 12, 13, 14, 15],
    "hexahedron27": [*range(12), 16, 17, 18, 19, 12, 13, 14, 15, 24, 22, 21, 23, 20, 25, 26],
    "wedge15": [*range(9), 12, 13, 14, 9, 10, 11],
    "wedge18": [*range(9), 12, 13, 14, 9, 10, 11, 15, 16, 17],
}
_SIDES: dict[str, list[tuple[int, ...]]] = {
    "line": [(0,), (1,)],
    "triangle": [(0, 1), (1, 2), (2, 0)],
    "quad": [(0, 1), (1, 2), (2, 3), (3, 0)],
    "tetra": [(0, 2, 1), (0, 1, 3), (1, 2, 3), (2, 0, 3)],
    "hexahedron": [(0, 3, 2, 1), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7), (4, 5, 6, 7)],
    "wedge": [(0, 2, 1), (0, 1, 4, 3), (1, 2, 5, 4), (2, 0, 3, 5), (3, 4, 5)],
    "pyramid": [(0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4), (0, 3, 2, 1)],
}
_VERSIONS = ("0.7.0", "0.9.2", "0.9.6", "1.1.0", "1.3.0")


class _Lines:
    """The lines of the file without comments, taken one section after another."""

    def __init__(self, text: str):
        self.lines = [line.partition("#")[0].strip() for line in text.splitlines()]
        self.lines = [line for line in self.lines if line]
        self.next = 0

    def line(self, what: str) -> str:
        return self.take(1, what)[0]

    def take(self, count: int, what: str) -> list[str]:
        if self.next + count > len(self.lines):
            raise Unreadable(f"it ends before {what}; the file seems to be cut off")
        self.next += count
        return self.lines[self.next - count : self.next]

    def count(self, what: str) -> int:
        word = self.line(what).split()[0]
        if not (word.isdecimal() and word.isascii()):
            raise Unreadable(f"'{word[:20]}' stands where {what} should, expected a number")
        return int(word)

    def table(self, count: int, width: int, what: str) -> np.ndarray:
        """Whole numbers [count, width], one row a line."""
        values = numbers(" ".join(self.take(count, what)), np.int64, what)
        if len(values) != count * width:
            raise Unreadable(f"{what} has {len(values)} numbers, expected {count} rows of {width}")
        return values.reshape(count, width)

    def names(self, what: str) -> dict[int, str]:
        """Number -> name, three lines behind their count."""
        count = self.count(f"the number of names of {what}")
        if not count:
            return {}
        if self.count(f"the number of {what}") != count:
            raise Unreadable(f"the numbers and names of {what} differ in count")
        ids = numbers(self.line(f"the numbers of {what}"), np.int64, f"the numbers of {what}")
        if self.count(f"the number of {what}") != count or len(ids) != count:
            raise Unreadable(f"the numbers and names of {what} differ in count")
        line = self.line(f"the names of {what}")
        words = [word.strip() for word in line.split("\t") if word.strip()]
        words = words if len(words) == count else line.split()
        if len(words) != count:
            raise Unreadable(f"the numbers and names of {what} differ in count")
        return dict(zip(ids.tolist(), words))

    def end(self) -> None:
        if self.next < len(self.lines):
            raise Unreadable(f"it goes on with '{self.lines[self.next][:30]}' behind its last section")


def read(path: Path) -> RawMesh:
    """Read an .xda file; subdomains, side sets and node sets become sets of their names, or of their numbers.

    Raises:
        Unreadable: an adaptively refined mesh, a mesh in several files, another version, sections that are cut.
    """
    lines = _Lines(path.read_text("latin-1"))
    words = lines.line("its first line").split()
    if words[0] == "LIBM" or words[0] == "DEAL":
        return _older(lines, words)
    version = next((k for k, known in enumerate(_VERSIONS) if words[0].startswith(f"libMesh-{known}")), -1)
    if version < 0:
        raise Unreadable(f"it begins with '{words[0][:30]}', expected LIBM, DEAL or libMesh-{' or '.join(_VERSIONS)}")
    return _newer(lines, version)


def _newer(lines: _Lines, version: int) -> RawMesh:
    m, n = lines.count("the number of elements"), lines.count("the number of nodes")
    bounds, subdomains, processors, levels = lines.take(4, "its file specifications")
    if other := next((name for name in (bounds, subdomains, processors, levels) if name not in (".", "n/a")), ""):
        raise Unreadable(f"a part of it stands in the file '{other[:60]}'; save it as one file")
    sizes = lines.table(8, 1, "its type sizes")[:, 0] if version >= 1 else np.zeros(8, dtype=np.int64)
    names = lines.names("subdomains") if version >= 1 else {}
    if lines.count("the number of elements at level 0") != m:
        raise Unreadable("it is adaptively refined; save it from libMesh as Exodus (.e)")
    before = 1 + bool(sizes[1]) + (processors == ".")
    first = before + (subdomains == ".") + (levels == ".")
    values = numbers(" ".join(lines.take(m, "its last element")), np.int64, "the list of elements")
    raw, place, groups = RawMesh(np.empty((0, 3)), []), [], []
    for (code,), rows in runs(values, m, (0,), lambda code: first + _nodes(code), "the list of elements"):
        _append(raw, code, rows[:, first:], n)
        place.append(len(rows))
        groups.append(rows[:, before] if subdomains == "." else np.zeros(len(rows), dtype=np.int64))
    raw.points = _points(lines, n)
    _subdomains(raw, groups, names)
    if version >= 2 and lines.count("the mark of unique numbers"):
        lines.take(n, "the unique numbers of nodes")
    owner = np.arange(m)
    if bounds == ".":
        _side_sets(raw, lines, version, place, owner)
    elif lines.next < len(lines.lines) and lines.count("the number of side conditions"):
        raise Unreadable("it lists side conditions although its header says that there are none")
    lines.end()
    return raw


def _side_sets(raw: RawMesh, lines: _Lines, version: int, place: list[int], owner: np.ndarray) -> None:
    """Side sets, node sets and what else stands behind the nodes."""
    names = lines.names("side sets") if version >= 1 else {}
    sides = lines.table(lines.count("the number of side conditions"), 3, "the list of side conditions")
    _sides(raw, sides, place, owner, names)
    if version >= 1:
        names = lines.names("node sets")
        rows = lines.table(lines.count("the number of node conditions"), 2, "the list of node conditions")
        for value in np.unique(rows[:, 1]).tolist():
            members = rows[rows[:, 1] == value, 0]
            if members.min() < 0 or members.max() >= len(raw.points):
                raise Unreadable(f"node set {value} names a node that is not in 0..{len(raw.points) - 1}")
            raw.point_sets.append((names.get(value, str(value)), members))
    for what in ("edge", "shell face") if version >= 3 else ():
        lines.names(f"{what} sets")
        count = lines.count(f"the number of {what} conditions")
        lines.table(count, 3, f"the list of {what} conditions")
        if count:
            raw.notes.append(f"{count} {what} conditions were not used")


def _older(lines: _Lines, words: list[str]) -> RawMesh:
    """LIBM and DEAL: blocks of one type each, then nodes, then side conditions."""
    m, n, _, conditions, _, blocks = (
        lines.count(what)
        for what in ("the number of elements", "of nodes", "of weights", "of conditions", "of letters", "of blocks")
    )
    types = numbers(lines.line("its element types"), np.int64, "its element types").tolist()
    counts = numbers(lines.line("its block sizes"), np.int64, "its block sizes").tolist()
    if len(types) != blocks or min(counts, default=0) < 0 or sum(counts) != m:
        raise Unreadable(f"its header declares {m} elements in {blocks} blocks and lists {types} and {counts}")
    if len(counts) != blocks or (words[0] == "LIBM" and words[1:] not in ([], ["0"])):
        raise Unreadable("it is adaptively refined; save it from libMesh as Exodus (.e)")
    title = len(lines.lines) - lines.next - (m + n + conditions)  # two lines, of which blank ones were dropped
    lines.take(max(min(title, 2), 0), "its title")
    extra = 2 if words[0] == "LIBM" else 0  # own number and parent
    raw, place, own = RawMesh(np.empty((0, 3)), []), [], []
    for code, count in zip(types, counts):
        rows = lines.table(count, _nodes(code) + extra, "the list of elements")
        _append(raw, code, rows[:, : _nodes(code)], n)
        place.append(count)
        own.append(rows[:, -2] if extra else np.arange(count) + sum(place[:-1]))
    raw.points = _points(lines, n)
    ids = np.concatenate([np.empty(0, dtype=np.int64), *own])
    # libMesh numbers the elements anew in the order of their own numbers before it looks at the conditions
    _sides(raw, lines.table(conditions, 3, "the list of side conditions"), place, np.argsort(ids, kind="stable"), {})
    lines.end()
    return raw


def _nodes(code: int) -> int:
    if code not in _KINDS:
        raise Unreadable(f"element type {code} is not known; infinite and general elements are not read")
    return CELLS[_KINDS[code]].nodes


def _append(raw: RawMesh, code: int, rows: np.ndarray, n: int) -> None:
    kind = _KINDS[code]
    if rows.size and (rows.min() < 0 or rows.max() >= n):
        raise Unreadable(f"a {kind} names a node that is not in 0..{n - 1}")
    raw.blocks.append(Block(kind, rows[:, _ORDER[kind]] if kind in _ORDER else rows))


def _points(lines: _Lines, n: int) -> np.ndarray:
    values = numbers(" ".join(lines.take(n, "its last node")), np.float64, "the list of nodes")
    if len(values) != 3 * n:
        raise Unreadable(f"the list of nodes has {len(values)} numbers, expected {n} rows of 3")
    return values.reshape(n, 3)


def _subdomains(raw: RawMesh, groups: list[np.ndarray], names: dict[int, str]) -> None:
    """Sets of cells; subdomain 0 alone and without a name says nothing."""
    raw.cell_data["libmesh:subdomain"] = list(groups)
    values = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *groups])).tolist()
    for value in values if values != [0] or 0 in names else []:
        members = [np.flatnonzero(part == value) for part in groups]
        raw.cell_sets.append(CellSet(names.get(value, str(value)), [rows if len(rows) else None for rows in members]))


def _sides(raw: RawMesh, rows: np.ndarray, place: list[int], owner: np.ndarray, names: dict[int, str]) -> None:
    """Sets of sides from rows (element, side, set) [k, 3]; element e is the one listed at ``owner[e]``."""
    if not len(rows):
        return
    if rows[:, 0].min() < 0 or rows[:, 0].max() >= len(owner):
        raise Unreadable(f"a side condition names an element that is not in 0..{len(owner) - 1}")
    at = owner[rows[:, 0]]
    start = np.cumsum([0, *place])
    for block, low, high in zip(raw.blocks, start, start[1:]):
        here = (at >= low) & (at < high)
        sides = _SIDES.get(CELLS[block.kind].corners, [])
        if here.any() and (rows[here, 1].min() < 0 or rows[here, 1].max() >= len(sides)):
            raise Unreadable(f"a side condition names a side of a {block.kind} that is not in 0..{len(sides) - 1}")
        for value in np.unique(rows[here, 2]).tolist():
            for number, side in enumerate(sides):
                cells = at[here & (rows[:, 1] == number) & (rows[:, 2] == value)] - low
                if len(cells):
                    dim = CELLS[block.kind].dim - 1
                    raw.facet_sets.append(
                        FacetSet(names.get(value, str(value)), dim, block.nodes[cells][:, list(side)])
                    )
