"""Reader of I-DEAS universal files: nodes, elements and groups; parabolic elements are put into the order of VTK.

Sources: SDRC I-DEAS Test Universal File Format, datasets 15, 781 and 2411 (nodes), 780 and 2412 (elements, beams with
one more record), 2417 to 2477 (groups), 164 (units), 2420 (coordinate systems), as collected by the Structural
Dynamics Research Laboratory, University of Cincinnati.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from graphpde.mesh.io.raw import Block, CellSet, RawMesh, Unreadable, integers, listed, numbers, positions

_NODES = ("15", "781", "2411")
_GROUPS = {  # numbers per entity in the lists of groups
    **dict.fromkeys(("2417", "2429", "2430", "2432"), 2),
    **dict.fromkeys(("2435", "2452", "2467", "2477"), 4),
}
_NODE, _ELEMENT = 7, 8  # entity type codes


class _Layout(NamedTuple):
    """Columns of the first record of an element: property and material number, number of nodes; its width."""

    group: int
    material: int
    nodes: int
    width: int


_ELEMENTS = {"2412": _Layout(2, 3, 5, 6), "780": _Layout(3, 5, 7, 8)}
_BEAMS = (11, 21, 22, 23, 24)  # with a record of orientation and cross sections before the nodes
_FAMILIES = {
    **dict.fromkeys((*_BEAMS, 31, 32), "line"),
    **{ten + k: "triangle" for ten in (40, 50, 60, 80, 90) for k in (1, 2)},
    **{ten + k: "quad" for ten in (40, 50, 60, 80, 90) for k in (4, 5)},
    **{72: "triangle", 74: "triangle", 71: "quad", 75: "quad", 300: "quad"},
    **dict.fromkeys((111, 112, 113, 114, 115, 116, 118), "solid"),
}
# by family and number of nodes: the type, and which column of the file stands in each of its columns
_KINDS: dict[tuple[str, int], tuple[str, list[int]]] = {
    ("line", 2): ("line", [0, 1]),
    ("line", 3): ("line3", [0, 2, 1]),
    ("triangle", 3): ("triangle", [0, 1, 2]),
    ("triangle", 6): ("triangle6", [0, 2, 4, 1, 3, 5]),
    ("triangle", 7): ("triangle7", [0, 2, 4, 1, 3, 5, 6]),
    ("quad", 4): ("quad", [0, 1, 2, 3]),
    ("quad", 8): ("quad8", [0, 2, 4, 6, 1, 3, 5, 7]),
    ("quad", 9): ("quad9", [0, 2, 4, 6, 1, 3, 5, 7, 8]),
    ("solid", 4): ("tetra", [0, 1, 2, 3]),
    ("solid", 6): ("wedge", [0, 1, 2, 3, 4, 5]),
    ("solid", 8): ("hexahedron", [0, 1, 2, 3, 4, 5, 6, 7]),
    ("solid", 10): ("tetra10", [0, 2, 4, 9, 1, 3, 5, 6, 7, 8]),
    ("solid", 13): ("pyramid13", [0, 2, 4, 6, 12, 1, 3, 5, 7, 8, 9, 10, 11]),
    ("solid", 15): ("wedge15", [0, 2, 4, 9, 11, 13, 1, 3, 5, 10, 12, 14, 6, 7, 8]),
    ("solid", 20): (
        "hexahedron20",
        [0, 2, 4, 6, 12, 14, 16, 18, 1, 3, 5, 7, 13, 15, 17, 19, 8, 9, 10, 11],
    ),
}


def read(path: Path) -> RawMesh:
    """Read a .unv file; groups become sets of their names, or of their numbers where they have none.

    Raises:
        Unreadable: a dataset that is cut, an undefined or repeated label, points in a local coordinate system.
    """
    found: dict[str, list[list[str]]] = {}
    for number, lines in _datasets(path.read_text("latin-1").splitlines()):
        found.setdefault(number, []).append(lines)
    if not found:
        raise Unreadable("it has no datasets; universal files hold them between lines of -1")
    moved, unmoved = _systems(found.pop("2420", []))
    parts = [_nodes(lines, number, moved, unmoved) for number in _NODES for lines in found.pop(number, [])]
    ids = np.concatenate([np.empty(0, dtype=np.int64), *(part[0] for part in parts)])
    raw = RawMesh(np.concatenate([np.empty((0, 3)), *(part[1] for part in parts)]), [])
    positions(ids, ids[:0], "node")
    labels = [
        part for number in _ELEMENTS for lines in found.pop(number, []) for part in _elements(raw, lines, number, ids)
    ]
    lost = 0
    for number in _GROUPS:
        for lines in found.pop(number, []):
            lost += _groups(raw, lines, number, ids, labels)
    if lost:
        raw.notes.append(f"{lost} members of groups are neither nodes nor elements and were left out")
    for lines in found.pop("164", []):
        words = lines[0].split() if lines else []  # a number, the name, how temperatures are meant
        raw.notes.append(f"its unit system is '{' '.join(words[1:-1])}'")
    found.pop("151", None)  # title and date
    if found:
        raw.notes.append(f"datasets {listed(sorted(found, key=int))} were not used")
    return raw


def _datasets(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """(number, lines) of each dataset."""
    # an integer field that holds -1 alone reaches to column 10, the mark of a dataset only to column 6
    marks = [k for k, line in enumerate(lines) if line.strip() == "-1" and len(line.rstrip()) < 10]
    if len(marks) % 2:
        raise Unreadable("its last dataset has no end (-1); the file seems to be cut off")
    previous = -1
    for begin, end in zip(marks[::2], marks[1::2]):
        if stray := next((line for line in lines[previous + 1 : begin] if line.strip()), ""):
            raise Unreadable(f"the line '{stray.strip()[:40]}' stands outside of all datasets")
        number = lines[begin + 1].split()[:1] if end > begin + 1 else []
        if not number or not number[0].isdecimal() or not number[0].isascii():
            raise Unreadable(f"the dataset of line {begin + 1} has no number, or a binary one")
        yield str(int(number[0])), lines[begin + 2 : end]
        previous = end
    if stray := next((line for line in lines[previous + 1 :] if line.strip()), ""):
        raise Unreadable(f"the line '{stray.strip()[:40]}' stands outside of all datasets")


def _reals(lines: list[str], what: str) -> np.ndarray:
    """Numbers that Fortran wrote: the exponent may be D."""
    return numbers(" ".join(lines).replace("D", "E").replace("d", "e"), np.float64, what)


def _systems(datasets: list[list[str]]) -> tuple[set[int], set[int]]:
    """Numbers of the coordinate systems that are not the global one, and of those that are."""
    moved: set[int] = set()
    unmoved: set[int] = set()
    for lines in datasets:
        for first in range(2, len(lines), 6):  # behind number and name of the part: head, name, four rows of three
            head = numbers(lines[first], np.int64, "dataset 2420")
            rows = _reals(lines[first + 2 : first + 6], "dataset 2420")
            if len(head) < 2 or len(rows) != 12:
                raise Unreadable("dataset 2420 (coordinate systems) is not complete")
            same = head[1] == 0 and np.array_equal(rows.reshape(4, 3), np.eye(4, 3))
            (unmoved if same else moved).add(int(head[0]))
    return moved, unmoved


def _nodes(lines: list[str], number: str, moved: set[int], unmoved: set[int]) -> tuple[np.ndarray, np.ndarray]:
    """Labels [n] and coordinates [n, 3]."""
    values = _reals(lines, f"dataset {number}")
    if len(values) % 7:
        raise Unreadable(f"dataset {number} has {len(values)} numbers, expected 4 and 3 coordinates for each node")
    rows = values.reshape(-1, 7)
    used = set(np.unique(integers(rows[:, 1], "coordinate systems of nodes")).tolist())
    # dataset 2411 holds coordinates of the part whatever the system; the older ones hold them in the system
    local = used & moved if number == "2411" else used - unmoved - {0, 1} | used & moved
    if local:
        raise Unreadable(f"points are given in coordinate system {min(local)}; save it in the global system")
    return integers(rows[:, 0], "labels of nodes"), rows[:, 4:]


def _elements(raw: RawMesh, lines: list[str], number: str, ids: np.ndarray) -> list[np.ndarray]:
    """Append the blocks of a dataset; the labels of the elements of each block."""
    layout = _ELEMENTS[number]
    labels = []
    for (code, count), rows in _runs(numbers(" ".join(lines), np.int64, f"dataset {number}"), layout, number):
        family = _FAMILIES.get(code, "")
        nodes = rows[:, -count:]
        if (family, count) in _KINDS:
            kind, order = _KINDS[family, count]
            raw.blocks.append(Block(kind, positions(ids, nodes[:, order], "node")))
        else:  # will be left out under this name; its nodes may be no nodes at all
            raw.blocks.append(Block(f"type-{code}", np.zeros_like(nodes)))
        for name, column in (("unv:property", layout.group), ("unv:material", layout.material)):
            raw.cell_data.setdefault(name, []).append(rows[:, column])
        labels.append(rows[:, 0])
    return labels


def _runs(values: np.ndarray, layout: _Layout, number: str) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """((type, nodes), rows [k, width]) of consecutive elements of one type; the dataset does not count them."""
    position = 0
    while position < len(values):
        head = values[position : position + layout.width]
        if len(head) < layout.width or head[layout.nodes] < 1:
            raise Unreadable(f"an element of dataset {number} is not complete")
        key = int(head[1]), int(head[layout.nodes])
        width = layout.width + (3 if key[0] in _BEAMS else 0) + key[1]
        size = 64
        while True:  # look ahead in growing steps: the work stays proportional to the length of the run
            rows = values[position : position + size * width]
            rows = rows[: len(rows) // width * width].reshape(-1, width)
            same = (rows[:, 1] == key[0]) & (rows[:, layout.nodes] == key[1])
            if len(rows) < size or not same.all():
                break
            size *= 4
        run = len(rows) if same.all() else int(np.argmin(same))
        if run == 0:
            raise Unreadable(f"the last element of dataset {number} has fewer than {key[1]} nodes")
        yield key, rows[:run]
        position += run * width


def _groups(raw: RawMesh, lines: list[str], number: str, ids: np.ndarray, labels: list[np.ndarray]) -> int:
    """Append the sets of a dataset; how many members are of other kinds."""
    each = _GROUPS[number]
    owner = np.repeat(np.arange(len(labels)), [len(part) for part in labels])
    start = np.cumsum([0, *(len(part) for part in labels)])
    known = np.concatenate([np.empty(0, dtype=np.int64), *labels])
    position, lost = 0, 0
    while position < len(lines):
        if not lines[position].strip():
            position += 1
            continue
        head = numbers(lines[position], np.int64, f"dataset {number}")
        count = int(head[-1]) if len(head) == 8 else -1
        body = lines[position + 2 : position + 2 + (count * each + 7) // 8] if count >= 0 else []
        values = numbers(" ".join(body), np.int64, f"dataset {number}")
        if count < 0 or len(lines) < position + 2 or len(values) != count * each:
            raise Unreadable(f"a group of dataset {number} does not have the {max(count, 0)} members that it declares")
        name = lines[position + 1].strip() or str(int(head[0]))
        position += 2 + len(body)
        members = values.reshape(-1, each)
        points = positions(ids, members[members[:, 0] == _NODE, 1], "node")
        cells = positions(known, members[members[:, 0] == _ELEMENT, 1], "element")
        if len(points):
            raw.point_sets.append((name, points))
        if len(cells) or not len(points):
            parts = [cells[owner[cells] == b] - start[b] for b in range(len(labels))]
            raw.cell_sets.append(CellSet(name, [part if len(part) else None for part in parts]))
        lost += len(members) - len(points) - len(cells)
    return lost
