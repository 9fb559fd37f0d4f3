"""Reader of the file pairs of TetGen and Triangle: nodes, cells, markers and attributes, and the facets beside them.

Sources: Si, TetGen manual, section 5.2 (.node, .ele, .face files; order of second-order nodes); Shewchuk, Triangle,
"node files", "ele files", "edge files".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from graphpde.mesh.io.raw import Block, RawMesh, Unreadable, integers, numbers, positions
from graphpde.mesh.io.references import inside
from graphpde.mesh.io.tag_arrays import tag_sets, whole
from graphpde.mesh.io.text_lines import Lines, plain

# by dimension and nodes per cell: our type, and which node of the file stands in each of its columns
_KINDS = {
    (2, 3): ("triangle", [0, 1, 2]),
    (2, 6): ("triangle6", [0, 1, 2, 5, 3, 4]),  # the fourth node lies opposite to the first
    (3, 4): ("tetra", [0, 1, 2, 3]),
    (3, 10): ("tetra10", [0, 1, 2, 3, 6, 7, 9, 5, 8, 4]),
}
_FACETS = {2: (".edge", "line", 2), 3: (".face", "triangle", 3)}


def read(path: Path) -> RawMesh:
    """Read a .node or .ele file together with the other one and, where there is one, the .face or .edge file.

    Region numbers of cells and markers of facets and nodes become sets named by their number; marker 0 means none.

    Raises:
        Unreadable: the other file is missing, counts do not agree, a node is not defined.
    """
    head, rows = _table(_beside(path, ".node"), 4)
    dim, attributes, markers = head[1:4]
    if dim not in (2, 3) or markers not in (0, 1):
        raise Unreadable(f"its nodes have dimension {dim} and {markers} markers, expected 2 or 3 and 0 or 1")
    _check_width(rows, 1 + dim + attributes + markers, ".node")
    ids = integers(rows[:, 0], "numbers of nodes")
    raw = RawMesh(rows[:, 1 : 1 + dim], [], space_dim=dim)
    raw.point_data = {f"tetgen:attr{k + 1}": rows[:, 1 + dim + k] for k in range(attributes)}
    if markers:
        raw.point_data["tetgen:ref"] = integers(rows[:, -1], "markers of nodes")
    _cells(raw, _beside(path, ".ele"), ids, dim)
    _facets(raw, path, ids, dim)
    raw.cell_sets = tag_sets(raw, "tetgen:ref", {}) if "tetgen:ref" in raw.cell_data else []
    if markers:
        of_node = raw.point_data["tetgen:ref"]
        raw.point_sets = [(str(m), np.flatnonzero(of_node == m)) for m in np.unique(of_node[of_node != 0]).tolist()]
    return raw


def _beside(path: Path, extension: str) -> Path:
    if path.suffix.lower() == extension:
        return path
    name = path.stem + extension
    if not (path.parent / name).exists():
        raise Unreadable(f"it needs the file '{name}', which is not beside it")
    return inside(path.parent, name, f"the pair of '{path.name}'")


def _table(path: Path, count: int) -> tuple[list[int], np.ndarray]:
    """The numbers of the first line, filled with zeros up to ``count``, and the rows behind it."""
    lines = Lines(plain(path.read_bytes()), b"#")
    what = f"'{path.name}'"
    head = numbers(lines.line(0), np.int64, f"the first line of {what}").tolist() if len(lines) else []
    if not head or min(head) < 0 or len(head) > count:
        raise Unreadable(f"{what} does not begin with a line of at most {count} counts")
    if len(lines) != 1 + head[0]:
        raise Unreadable(f"{what} declares {head[0]} rows and has {len(lines) - 1}; it seems to be cut off")
    if head[0] and (lines.words[1:] != lines.words[1]).any():
        raise Unreadable(f"the rows of {what} differ in length")
    values = numbers(lines.stretch(1, len(lines)), np.float64, what)
    return head + [0] * (count - len(head)), values.reshape(head[0], -1) if head[0] else np.empty((0, 0))


def _check_width(rows: np.ndarray, width: int, extension: str) -> None:
    if not len(rows):
        raise Unreadable(f"its {extension} file has no rows")
    if rows.shape[1] != width:
        raise Unreadable(f"the rows of its {extension} file have {rows.shape[1]} numbers, expected {width}")


def _cells(raw: RawMesh, path: Path, ids: np.ndarray, dim: int) -> None:
    (_, size, attributes), rows = _table(path, 3)
    if (dim, size) not in _KINDS:
        known = " or ".join(str(nodes) for d, nodes in _KINDS if d == dim)
        raise Unreadable(f"its cells have {size} nodes in {dim}-D, expected {known}")
    _check_width(rows, 1 + size + attributes, ".ele")
    kind, order = _KINDS[dim, size]
    nodes = integers(rows[:, 1 : 1 + size], "numbers of nodes")
    raw.blocks.append(Block(kind, positions(ids, nodes[:, order], "node")))
    for k in range(attributes):
        values = rows[:, 1 + size + k]
        raw.cell_data[f"tetgen:ref{k + 1 if k else ''}"] = [values.astype(np.int64) if whole(values) else values]


def _facets(raw: RawMesh, path: Path, ids: np.ndarray, dim: int) -> None:
    extension, kind, corners = _FACETS[dim]
    if not (path.parent / (path.stem + extension)).exists():
        return
    (_, markers), rows = _table(inside(path.parent, path.stem + extension, f"the pair of '{path.name}'"), 2)
    if not len(rows):
        return
    # second-order facets name three more nodes before the marker, and cells on both sides may follow behind it
    middle = corners * (corners - 1) // 2 if dim == 3 else 0
    layouts = {1 + corners + markers + more + sides: more for more in (0, middle) for sides in (0, 2)}
    if rows.shape[1] not in layouts or markers not in (0, 1):
        raise Unreadable(f"the rows of its {extension} file have {rows.shape[1]} numbers, expected {min(layouts)}")
    values = integers(rows, f"numbers of its {extension} file")
    if markers:
        marker = values[:, 1 + corners + layouts[rows.shape[1]]]
        values = values[marker != 0]
        for name, parts in raw.cell_data.items():
            parts.append(marker[marker != 0] if name == "tetgen:ref" else None)
        raw.cell_data.setdefault("tetgen:ref", [None, marker[marker != 0]])
    raw.blocks.append(Block(kind, positions(ids, values[:, 1 : 1 + corners], "node")))
