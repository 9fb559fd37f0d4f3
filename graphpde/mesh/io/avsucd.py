"""Reader of AVS-UCD text files: nodes, cells with their material numbers as sets, data of nodes and cells.

Source: AVS Developer's Guide, "UCD file format" (volume cells begin with their top).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.raw import Block, RawMesh, Unreadable, numbers, positions, whole_number
from graphpde.mesh.io.tag_arrays import tag_sets
from graphpde.mesh.io.text_lines import Lines, plain

_KINDS = {
    "pt": ("vertex", [0]),
    "line": ("line", [0, 1]),
    "tri": ("triangle", [0, 1, 2]),
    "quad": ("quad", [0, 1, 2, 3]),
    "tet": ("tetra", [0, 1, 3, 2]),
    "pyr": ("pyramid", [1, 2, 3, 4, 0]),
    "prism": ("wedge", [3, 4, 5, 0, 1, 2]),
    "hex": ("hexahedron", [4, 5, 6, 7, 0, 1, 2, 3]),
}
_SIZES = np.array([CELLS[kind].nodes for kind, _ in _KINDS.values()])
_LONGEST = max(map(len, _KINDS))


def read(path: Path) -> RawMesh:
    """Read an .inp, .avs or .ucd file in text form.

    Raises:
        Unreadable: fewer lines than its counts say, an unknown cell type, an undefined node.
    """
    lines = Lines(plain(path.read_bytes()))
    lines.drop(lines.text[lines.first] == ord("#"))
    try:
        n, m, node_data, cell_data = (whole_number(word) for word in _words(lines, 0)[:4])
        if min(n, m) < 0 or len(lines) < 1 + n + m:
            raise Unreadable(f"it declares {n} nodes and {m} cells and has {len(lines)} lines; it seems to be cut off")
        if (lines.words[1 : 1 + n] < 4).any():
            raise IndexError
        points = numbers(lines.leading(1, 1 + n, 4), np.float64, "a line").reshape(-1, 4)[:, 1:]
        ids = numbers(lines.leading(1, 1 + n, 1), np.int64, "a line")
        raw, sources, cells = _cells(lines, 1 + n, 1 + n + m, ids, points)
        rest = 1 + n + m
        if node_data:
            found, rest = _data(lines, rest, ids, "node")
            raw.point_data.update(found)
        if cell_data:
            found, rest = _data(lines, rest, cells, "cell")
            for name, values in found.items():
                raw.cell_data[name] = [values[source] for source in sources]
    except (ValueError, IndexError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable("a line is not complete or holds something that is not a number") from None
    return raw


def _words(lines: Lines, number: int) -> list[str]:
    return lines.line(number).decode("latin-1").split()


def _cells(
    lines: Lines, begin: int, end: int, ids: np.ndarray, points: np.ndarray
) -> tuple[RawMesh, list[np.ndarray], np.ndarray]:
    """The mesh, for each of its blocks the listed cell that each cell came from, and the numbers of all cells."""
    words = lines.words[begin:end]
    if (words < 3).any():
        raise IndexError
    kinds = _kinds(lines, begin, end)
    wrong = np.flatnonzero(words != 3 + _SIZES[kinds])
    if len(wrong):
        word, size = list(_KINDS)[kinds[wrong[0]]], _SIZES[kinds[wrong[0]]]
        raise Unreadable(f"a {word} cell has {words[wrong[0]] - 3} nodes, expected {size}")
    values = numbers(lines.stretch(begin, end), np.int64, "a line")
    start = np.cumsum(words - 1) - (words - 1)  # the type is gone
    raw, sources, materials = RawMesh(points, []), [], []
    codes, first = np.unique(kinds, return_index=True)
    for code in codes[np.argsort(first)].tolist():
        kind, order = list(_KINDS.values())[code]
        sources.append(np.flatnonzero(kinds == code))
        rows = values[start[sources[-1]][:, None] + np.arange(2 + len(order))]
        raw.blocks.append(Block(kind, positions(ids, rows[:, 2:][:, order], "node")))
        materials.append(rows[:, 1])
    raw.cell_data["avsucd:material"] = materials
    raw.cell_sets = tag_sets(raw, "avsucd:material", {})
    return raw, sources, values[start]


def _kinds(lines: Lines, begin: int, end: int) -> np.ndarray:
    """The type of each of these lines as its number in the table [k]; the words that say it become blanks."""
    place = lines.place(begin, end, 2)
    letters = lines.text[np.minimum(place[:, None] + np.arange(_LONGEST + 1), len(lines.text) - 1)]
    code = np.full(len(place), -1)
    for number, word in enumerate(_KINDS):
        own = (letters[:, : len(word)] == list(word.encode())).all(axis=1) & (letters[:, len(word)] <= 32)
        code[own] = number
        lines.text[place[own][:, None] + np.arange(len(word))] = ord(" ")
    if (code < 0).any():
        word = _words(lines, begin + int(np.argmax(code < 0)))[2]
        raise Unreadable(f"cell type '{word}' is not one of {', '.join(_KINDS)}")
    return code


def _data(lines: Lines, start: int, ids: np.ndarray, what: str) -> tuple[dict[str, np.ndarray], int]:
    """Named components, one line of values per node or cell; the position after them."""
    widths = [whole_number(word) for word in _words(lines, start)[1:]]
    names = [" ".join(_words(lines, start + 1 + k)).partition(",")[0].strip() for k in range(len(widths))]
    first = start + 1 + len(widths)
    if min(widths, default=0) < 0:
        raise ValueError
    table = _floats(lines, first, first + len(ids), 1 + sum(widths))
    values = np.empty((len(ids), sum(widths)))
    values[positions(ids, table[:, 0].astype(np.int64), what)] = table[:, 1:]
    parts = np.split(values, np.cumsum(widths)[:-1], axis=1)
    return {name: part[:, 0] if part.shape[1] == 1 else part for name, part in zip(names, parts)}, first + len(ids)


def _floats(lines: Lines, begin: int, end: int, width: int) -> np.ndarray:
    """The numbers of some lines [k, width]."""
    if len(lines) < end or (lines.words[begin:end] != width).any():
        raise IndexError
    return numbers(lines.stretch(begin, end), np.float64, "a line").reshape(-1, width)
