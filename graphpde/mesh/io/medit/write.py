"""Writer of Medit meshes: .mesh as text, .meshb in binary form.

An element has one reference, so each combination of named sets gets a number; a set whose name is a number keeps it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from graphpde.core.graph import TagSet
from graphpde.errors import OutputError
from graphpde.mesh.io.labels import flattened
from graphpde.mesh.io.medit.binary import layout, row_type
from graphpde.mesh.io.medit.table import ELEMENTS, KEYWORDS, MARK_DIMS, MARKS, SECTIONS
from graphpde.mesh.io.overlaps import combinations
from graphpde.mesh.io.raw import listed
from graphpde.mesh.mesh import Mesh

_SHOWN = 20  # numbers and names in the sentence that says which is which
_LARGE = 2**31 - 1  # positions of 32 bits end here


class _Section(NamedTuple):
    """Elements of one section: points from 0 [k, w], numbers of the entities [k], references [k]."""

    name: str
    nodes: np.ndarray
    ids: np.ndarray
    references: np.ndarray


def write(path: Path, mesh: Mesh, point_data: dict[str, Any], cell_data: dict[str, Any]) -> list[str]:
    """Write cells, lower entities that are in sets, and points; references say which sets they are in.

    Returns:
        Which number stands for which sets, unless all sets are numbers that keep theirs.

    Raises:
        OutputError: cells that Medit does not know.
    """
    if other := [f"{len(nodes)} {kind}" for kind, nodes in mesh.cells.items() if kind not in SECTIONS]:
        raise OutputError(
            f"cannot write '{path.name}': Medit has no section for {listed(other)}; write a .vtu file instead"
        )
    binary = path.suffix.lower() == ".meshb"
    listed_by_name = {name for name in MARKS if not binary or KEYWORDS[name.lower()].code > 0}
    numbers = _Numbers(mesh)
    sections: list[_Section] = []
    marks: dict[str, np.ndarray] = {}
    for dim in range(mesh.dim, 0, -1):
        parts = _entities(mesh, dim)
        tags = {name: tag for name, tag in _of(mesh, dim).items() if name in listed_by_name}
        marked = {name: rows for name, tag in tags.items() if (rows := _marked(name, tag, parts)) is not None}
        references = numbers.of(dim, marked, np.concatenate([ids for _, _, ids in parts]))
        sections += [_Section(name, nodes, ids, references[ids]) for name, nodes, ids in parts]
        marks |= marked
    tags = {name: tag for name, tag in _of(mesh, 0).items() if name in listed_by_name}
    points = {name: tag.ids.numpy() for name, tag in tags.items() if MARKS[name] == "Vertices"}
    references = numbers.of(0, points, np.arange(mesh.n))
    x = np.zeros((mesh.n, max(2, mesh.space_dim)))
    x[:, : mesh.space_dim] = mesh.points.detach().cpu().numpy()
    listing = {name: 1 + rows for name, rows in {**points, **marks}.items()}
    path.write_bytes((_binary if binary else _text)(x, references, sections, listing))
    return numbers.told() + flattened(mesh)


def _of(mesh: Mesh, dim: int) -> dict[str, TagSet]:
    """The sets of one dimension that have members."""
    return {name: tag for name, tag in mesh.tags.items() if tag.dim == dim and len(tag.ids)}


def _entities(mesh: Mesh, dim: int) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Section, points and numbers of all cells, or of those lower entities that are in a set."""
    if dim == mesh.dim:
        starts = np.cumsum([0, *(len(nodes) for nodes in mesh.cells.values())]).tolist()
        return [
            (SECTIONS[kind], nodes.numpy(), np.arange(start, start + len(nodes)))
            for (kind, nodes), start in zip(mesh.cells.items(), starts)
        ]
    tags = _of(mesh, dim).values()
    ids = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *(tag.ids.numpy() for tag in tags)]))
    nodes = mesh.entities(dim).nodes.numpy()[ids]
    widths = (nodes >= 0).sum(axis=1)
    kinds = {2: "Edges", 3: "Triangles", 4: "Quadrilaterals"}
    parts = [(kinds[w], nodes[widths == w][:, :w], ids[widths == w]) for w in np.unique(widths).tolist()]
    return parts or [("Edges", np.empty((0, 2), dtype=np.int64), ids)]


def _marked(name: str, tag: TagSet, parts: list[tuple[str, np.ndarray, np.ndarray]]) -> np.ndarray | None:
    """Rows of the set within its section if it is one that Medit lists by name; None for others."""
    base = MARKS[name]
    if MARK_DIMS[base] != tag.dim:
        return None
    own = [ids for section, _, ids in parts if section.startswith(base)]
    if len(own) != 1 or not np.isin(tag.ids.numpy(), own[0]).all():
        return None
    return np.searchsorted(own[0], tag.ids.numpy())


class _Numbers:
    """The references of all dimensions: names that are numbers keep them, all else gets the next free one."""

    def __init__(self, mesh: Mesh):
        self.mesh = mesh
        self.taken = {value for name, tag in mesh.tags.items() if (value := _value(name, tag.dim)) is not None}
        self.names: list[str] = []
        self.empty = [name for name, tag in mesh.tags.items() if not len(tag.ids)]
        self.next = 1

    def of(self, dim: int, marked: dict[str, np.ndarray], written: np.ndarray) -> np.ndarray:
        """Reference of each entity of a dimension; those ``written`` tell whether some are in no set."""
        tags = {name: tag for name, tag in _of(self.mesh, dim).items() if name not in marked}
        count = self.mesh.n if dim == 0 else int(written.max(initial=-1)) + 1
        labels, found = combinations(count, [tag.ids.numpy() for tag in tags.values()])
        names = list(tags)
        bare = bool((labels[written] == 0).any())
        values, told = [0], []
        for combination in found[1:]:
            own = _value(names[combination[0]], dim) if len(combination) == 1 else None
            if own == 0 and (dim == 0 or bare or len(found) == 2):
                own = None  # zero would read as "in no set"
            value = self._fresh() if own is None else own
            values.append(value)
            if own is None:
                told.append(f"{' and '.join(names[k] for k in combination)} = {value}")
        self.names += told
        return np.array(values)[labels]

    def _fresh(self) -> int:
        while self.next in self.taken:
            self.next += 1
        self.taken.add(self.next)
        return self.next

    def told(self) -> list[str]:
        """The sentences about names that became numbers, and about sets without members."""
        out = []
        if self.names:
            out.append(f"Medit keeps numbers, not names: {listed(self.names, _SHOWN)} (0 = in no set)")
        if self.empty:
            out.append(f"sets without members were left out: {listed(self.empty)}")
        return out


def _value(name: str, dim: int) -> int | None:
    """The number that a name stands for, also with the dimension that reading adds to numbers used twice."""
    plain = name.removesuffix(f":{dim}d")
    digits = plain.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10) or str(int(plain)) != plain:
        return None
    return int(plain)


def _text(x: np.ndarray, references: np.ndarray, sections: list[_Section], marks: dict[str, np.ndarray]) -> bytes:
    out = [f"MeshVersionFormatted 2\nDimension {x.shape[1]}\nVertices\n{len(x)}\n"]
    rows = zip(x.tolist(), references.tolist())
    out.append("".join(f"{' '.join(map(repr, place))} {reference}\n" for place, reference in rows))
    for name, nodes, _, own in sections:
        if len(nodes):
            table = np.column_stack([_ordered(name, nodes) + 1, own]).tolist()
            out.append(f"{name}\n{len(nodes)}\n" + "".join(f"{' '.join(map(str, row))}\n" for row in table))
    for name, ids in marks.items():
        out.append(f"{name}\n{len(ids)}\n" + "".join(f"{k}\n" for k in ids.tolist()))
    return "".join([*out, "End\n"]).encode()


def _binary(x: np.ndarray, references: np.ndarray, sections: list[_Section], marks: dict[str, np.ndarray]) -> bytes:
    size = x.nbytes + 4 * len(x) + sum(4 * nodes.size + 4 * len(nodes) + 32 for _, nodes, _, _ in sections) + 1024
    version = 2 if size + sum(4 * len(ids) + 32 for ids in marks.values()) < _LARGE else 3
    types, dim = layout("<", version), x.shape[1]
    parts = [types.word.type(1).tobytes(), types.word.type(version).tobytes()]
    at = 8

    def add(name: str, body: bytes) -> None:
        nonlocal at
        at += types.word.itemsize + types.position.itemsize + len(body)
        stop = 0 if name == "End" else at
        parts.extend(
            (np.array(KEYWORDS[name.lower()].code, types.word).tobytes(), np.array(stop, types.position).tobytes())
        )
        parts.append(body)

    def table(name: str, *columns: np.ndarray) -> None:
        kind = row_type(KEYWORDS[name.lower()], dim, types)
        rows = np.empty(len(columns[0]), kind)
        for field, values in zip(kind.names or (), columns):
            rows[field] = values.reshape(len(values), -1)
        add(name, np.array(len(rows), types.integer).tobytes() + rows.tobytes())

    add("Dimension", np.array(dim, types.word).tobytes())
    table("Vertices", x, references)
    for name, nodes, _, own in sections:
        if len(nodes):
            table(name, *(_ordered(name, nodes) + 1).T, own)
    for name, ids in marks.items():
        table(name, ids)
    add("End", b"")
    return b"".join(parts)


def _ordered(name: str, nodes: np.ndarray) -> np.ndarray:
    order = ELEMENTS[name].order
    return nodes[:, np.argsort(order)] if order else nodes
