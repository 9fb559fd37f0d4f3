"""Reader of Medit meshes (.mesh, .meshb), the format of Mmg, Feflo, Gmsh and FreeFem.

The last column of each section is a reference: it becomes a set named by the number. ``Corners``, ``Ridges`` and the
``Required...`` sections, which list rows of other sections, become sets of these names.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.medit import binary as medit_binary
from graphpde.mesh.io.medit import text as medit_text
from graphpde.mesh.io.medit.table import ELEMENTS, MARKS, stated_order
from graphpde.mesh.io.medit.text import Content
from graphpde.mesh.io.raw import Block, CellSet, RawMesh, Unreadable, integers, listed

REFERENCES = "medit:ref"  # name of the data that hold the references
_NUMBERS = 10_000  # more references than this number things, they do not name sets


def read(path: Path) -> RawMesh:
    """Read a text or binary file, told apart by its first bytes.

    References that are zero in all cells of one dimension say nothing there. A reference of vertices names a set only
    if it is not zero and no element has it: usually they repeat those of the elements around.

    Raises:
        Unreadable: cut or damaged, an unknown keyword, a number of a vertex or row that does not exist.
    """
    data = path.read_bytes()
    binary = data[:4] in medit_binary.MAGIC
    content = medit_binary.sections(data) if binary else medit_text.sections(data)
    vertices = content.rows.get("Vertices")
    if vertices is None:
        raise Unreadable("it has no Vertices")
    raw = RawMesh(vertices[:, : content.dim], [])
    numbers = integers(vertices[:, content.dim], "the references of the vertices")
    raw.point_data[REFERENCES] = numbers
    names = _elements(raw, content)
    _marks(raw, content, names)
    _references(raw, numbers)
    if content.skipped:
        raw.notes.append(f"sections not carried over: {listed(f'{k} ({n})' for k, n in content.skipped.items())}")
    if not content.ended:
        raw.notes.append("it has no End: were it cut off between two sections, that could not be seen")
    return raw


def _elements(raw: RawMesh, content: Content) -> list[str]:
    """Append the cells with their references; the section of each block is returned."""
    orders = dict(stated_order(name, rows) for name, rows in content.rows.items() if name.endswith("Ordering"))
    parts: list[np.ndarray | None] = []
    names = []
    for name, rows in content.rows.items():
        if name not in ELEMENTS or not len(rows):
            continue
        kind, width, order = ELEMENTS[name]
        nodes = _within(rows[:, :width], len(raw.points), name, "vertex")
        order = orders.get(name, order)
        if CELLS[kind].nodes < width:
            raw.notes.append(f"{len(nodes)} cells of section {name} are taken at their corners")
            nodes = nodes[:, : CELLS[kind].nodes]
        raw.blocks.append(Block(kind, nodes[:, order] if order else nodes))
        parts.append(rows[:, width])
        names.append(name)
    raw.cell_data[REFERENCES] = parts
    return names


def _within(numbers: np.ndarray, count: int, name: str, what: str) -> np.ndarray:
    """Numbers from 1 as numbers from 0."""
    if numbers.size and not 1 <= numbers.min() <= numbers.max() <= count:
        bad = int(numbers.min()) if numbers.min() < 1 else int(numbers.max())
        raise Unreadable(f"section {name} names {what} {bad}, expected 1..{count}")
    return numbers - 1


def _marks(raw: RawMesh, content: Content, names: list[str]) -> None:
    """Sets from the sections that list rows of others."""
    for mark, base in MARKS.items():
        rows = content.rows.get(mark)
        if rows is None or not len(rows):
            continue
        if base == "Vertices":
            raw.point_sets.append((mark, _within(rows[:, 0], len(raw.points), mark, "vertex")))
            continue
        block = next((names.index(s) for s in (base, f"{base}P2", f"{base}Q2") if s in names), None)
        if block is None:
            raw.notes.append(f"section {mark} lists {len(rows)} rows of {base}, of which there are none")
            continue
        ids = _within(rows[:, 0], len(raw.blocks[block].nodes), mark, "row")
        raw.cell_sets.append(CellSet(mark, [ids if k == block else None for k in range(len(names))]))


def _references(raw: RawMesh, vertices: np.ndarray) -> None:
    """Sets from the references of elements and vertices."""
    parts = [part for part in raw.cell_data[REFERENCES] if part is not None]
    dims = [CELLS[block.kind].dim for block in raw.blocks]
    telling = {dim for dim, part in zip(dims, parts) if part.any()}
    members: dict[int, list[np.ndarray | None]] = {}
    for number, (dim, part) in enumerate(zip(dims, parts)):
        if dim in telling:
            for value, rows in _groups(part, raw.notes, f"{raw.blocks[number].kind} cells"):
                members.setdefault(value, [None] * len(parts))[number] = rows
    raw.cell_sets += [CellSet(str(value), slots) for value, slots in sorted(members.items())]
    own = ~np.isin(vertices, [0, *members])
    if own.any():
        ids = np.flatnonzero(own)
        raw.point_sets += [(str(value), ids[rows]) for value, rows in _groups(vertices[ids], raw.notes, "vertices")]


def _groups(values: np.ndarray, notes: list[str], what: str) -> list[tuple[int, np.ndarray]]:
    """Each value with the rows that have it."""
    order = np.argsort(values, kind="stable")
    distinct, first = np.unique(values[order], return_index=True)
    if len(distinct) > _NUMBERS:
        notes.append(f"the {what} have {len(distinct)} different references, too many for sets; they are kept as data")
        return []
    return list(zip(distinct.tolist(), np.split(order, first[1:])))
