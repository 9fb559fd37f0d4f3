"""Reader of AVS-UCD text files: nodes, cells with their material numbers as sets, data of nodes and cells.

Source: AVS Developer's Guide, "UCD file format" (volume cells begin with their top).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.raw import Block, RawMesh, Unreadable, numbers, positions, whole_number
from graphpde.mesh.io.tag_arrays import tag_sets

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


def read(path: Path) -> RawMesh:
    """Read an .inp, .avs or .ucd file in text form.

    Raises:
        Unreadable: fewer lines than its counts say, an unknown cell type, an undefined node.
    """
    lines = [line.split() for line in path.read_text("latin-1").splitlines() if not line.lstrip().startswith("#")]
    lines = [words for words in lines if words]
    try:
        n, m, node_data, cell_data = (whole_number(word) for word in lines[0][:4])
        if min(n, m) < 0 or len(lines) < 1 + n + m:
            raise Unreadable(f"it declares {n} nodes and {m} cells and has {len(lines)} lines; it seems to be cut off")
        ids = np.array([whole_number(words[0]) for words in lines[1 : 1 + n]], dtype=np.int64)
        points = _floats([words[1:4] for words in lines[1 : 1 + n]], 3)
        raw, sources, cells = _cells(lines[1 + n : 1 + n + m], ids, points)
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


def _cells(lines: list[list[str]], ids: np.ndarray, points: np.ndarray) -> tuple[RawMesh, list[np.ndarray], np.ndarray]:
    rows: dict[str, list[tuple[int, int, list[int]]]] = {}
    for number, words in enumerate(lines):
        if words[2] not in _KINDS:
            raise Unreadable(f"cell type '{words[2]}' is not one of {', '.join(_KINDS)}")
        kind, order = _KINDS[words[2]]
        nodes = [whole_number(word) for word in words[3:]]
        if len(nodes) != CELLS[kind].nodes:
            raise Unreadable(f"a {words[2]} cell has {len(nodes)} nodes, expected {CELLS[kind].nodes}")
        rows.setdefault(kind, []).append((number, whole_number(words[1]), [nodes[k] for k in order]))
    raw = RawMesh(points, [])
    for kind, found in rows.items():
        raw.blocks.append(Block(kind, positions(ids, np.array([row[2] for row in found], dtype=np.int64), "node")))
    raw.cell_data["avsucd:material"] = [np.array([row[1] for row in found], dtype=np.int64) for found in rows.values()]
    raw.cell_sets = tag_sets(raw, "avsucd:material", {})
    sources = [np.array([row[0] for row in found]) for found in rows.values()]
    return raw, sources, np.array([whole_number(words[0]) for words in lines], dtype=np.int64)


def _data(lines: list[list[str]], start: int, ids: np.ndarray, what: str) -> tuple[dict[str, np.ndarray], int]:
    """Named components, one line of values per node or cell; the position after them."""
    widths = [whole_number(word) for word in lines[start][1:]]
    names = [" ".join(words).partition(",")[0].strip() for words in lines[start + 1 : start + 1 + len(widths)]]
    first = start + 1 + len(widths)
    table = _floats(lines[first : first + len(ids)], 1 + sum(widths))
    values = np.empty((len(ids), sum(widths)))
    values[positions(ids, table[:, 0].astype(np.int64), what)] = table[:, 1:]
    parts = np.split(values, np.cumsum(widths)[:-1], axis=1)
    return {name: part[:, 0] if part.shape[1] == 1 else part for name, part in zip(names, parts)}, first + len(ids)


def _floats(rows: list[list[str]], width: int) -> np.ndarray:
    """The numbers of some lines [k, width]."""
    if any(len(words) != width for words in rows):
        raise ValueError
    return numbers(" ".join(" ".join(words) for words in rows), np.float64, "a line").reshape(-1, width)
