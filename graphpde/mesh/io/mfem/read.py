"""Reader of MFEM's own meshes: versions 1.0 to 1.3, nonconforming ones by their leaves, curved ones by their corners.

Sources: MFEM documentation, "Mesh formats" (mfem.org/mesh-formats); mesh/mesh_readers.cpp (sections), mesh/ncmesh.cpp
(refinement tree), fem/fe_coll.cpp (in H1 spaces the unknowns of the vertices come first).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.mfem.points import coordinates, curved, midpoints
from graphpde.mesh.io.raw import Block, CellSet, RawMesh, Unreadable, listed, numbers, runs

_KINDS = ("vertex", "line", "triangle", "quad", "tetra", "hexahedron", "wedge", "pyramid")
_SECTIONS = (
    *("dimension", "elements", "boundary", "attribute_sets", "bdr_attribute_sets", "vertices", "nodes"),
    *("vertex_parents", "coarse_elements", "root_state", "coordinates", "rank"),
    *("mfem_mesh_end", "mfem_serial_mesh_end", "communication_groups"),
)
_HEADER = re.compile(r"MFEM (NC |INLINE |NURBS |NC NURBS )?mesh v(\d+\.\d+)$")
_OTHER = {
    "INLINE ": "it describes a box instead of listing its cells; open it in MFEM and save it",
    "NURBS ": "its cells are NURBS patches, which have no finite element here",
    "NC NURBS ": "its cells are NURBS patches, which have no finite element here",
}


class _Cells(NamedTuple):
    """Consecutive cells of one type, their points and their attributes."""

    kind: str
    nodes: np.ndarray
    attributes: np.ndarray


def read(path: Path) -> RawMesh:
    """Read a .mesh file that begins with "MFEM"; attributes and attribute sets become sets of their number or name.

    Raises:
        Unreadable: NURBS and inline meshes, curved meshes whose points are not in an H1 space, sections that are cut.
    """
    lines = [line.strip() for line in path.read_text("utf-8", "replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    header = _HEADER.match(lines[0]) if lines else None
    if header is None:
        raise Unreadable("it does not begin with 'MFEM mesh v1.0' or a later version")
    if header[1] in _OTHER:
        raise Unreadable(_OTHER[header[1]])
    version = (header[1] or "") + header[2]
    if version not in ("1.0", "1.1", "1.2", "1.3", "NC 1.0"):
        raise Unreadable(f"it is of version {version}, expected 1.0 to 1.3 or NC 1.0")
    sections = _sections(lines[1:], version)
    if "dimension" not in sections or "elements" not in sections:
        raise Unreadable("it has no section 'dimension' or no section 'elements'; the file seems to be cut off")
    dim = int(_table(sections, "dimension")[0])
    leaves = _leaves(sections["elements"]) if version == "NC 1.0" else _list(_table(sections, "elements"), "elements")
    if any(CELLS[part.kind].dim != dim for part in leaves):
        raise Unreadable(f"it is of dimension {dim} and has cells of another")
    bounds = _list(_table(sections, "boundary"), "boundary") if "boundary" in sections else []
    raw = RawMesh(np.empty((0, 3)), [Block(part.kind, part.nodes) for part in (*leaves, *bounds)])
    _points(raw, sections, leaves, version)
    raw.cell_data["mfem:attribute"] = [part.attributes for part in (*leaves, *bounds)]
    for parts, first, name in ((leaves, 0, "attribute_sets"), (bounds, len(leaves), "bdr_attribute_sets")):
        _sets(raw, parts, first, _named(sections[name]) if name in sections else [])
    if "communication_groups" in sections or "mfem_serial_mesh_end" in sections:
        raw.notes.append("it is one part of a mesh that was divided among processors")
    return raw


def _sections(lines: list[str], version: str) -> dict[str, list[str]]:
    """Lines of each section by its name."""
    starts = [k for k, line in enumerate(lines) if line in _SECTIONS]
    if starts[:1] != [0]:
        raise Unreadable(
            f"'{lines[0][:30]}' stands where a section should begin" if lines else "it ends after its title"
        )
    names = [lines[k] for k in starts]
    ends = ("mfem_mesh_end", "mfem_serial_mesh_end")
    if version in ("1.2", "1.3") and not set(names) & set(ends):
        raise Unreadable("it has no 'mfem_mesh_end'; the file seems to be cut off")
    found: dict[str, list[str]] = {}
    for name, begin, end in zip(names, starts, [*starts[1:], len(lines)]):
        if name in found:
            raise Unreadable(f"its section '{name}' stands there twice")
        found[name] = lines[begin + 1 : end]
        if name in ends:
            if name == "mfem_mesh_end" and (found[name] or end < len(lines)):
                raise Unreadable("it goes on behind 'mfem_mesh_end'")
            break  # what follows divides the mesh among processors
    return found


def _table(sections: dict[str, list[str]], name: str) -> np.ndarray:
    values = numbers(" ".join(sections[name]), np.int64, f"section '{name}'")
    if not len(values) or values[0] < 0:
        raise Unreadable(f"its section '{name}' does not begin with a count")
    return values


def _list(values: np.ndarray, name: str) -> list[_Cells]:
    """Rows of attribute, geometry and points."""
    parts = runs(values[1:], int(values[0]), (1,), lambda code: 2 + CELLS[_kind(code)].nodes, f"section '{name}'")
    return [_Cells(_kind(code), rows[:, 2:], rows[:, 0]) for (code,), rows in parts]


def _kind(code: int) -> str:
    if not 0 <= code < len(_KINDS):
        raise Unreadable(f"geometry {code} is not one of 0..{len(_KINDS) - 1}")
    return _KINDS[code]


def _leaves(lines: list[str]) -> list[_Cells]:
    """The cells of a refinement tree that were not refined: rows of rank, attribute, geometry, 0 and points."""
    count = numbers(lines[0], np.int64, "section 'elements'") if lines else np.empty(0)
    if len(count) != 1 or len(lines) != 1 + count[0]:
        raise Unreadable(f"section 'elements' has {len(lines) - 1} rows and does not declare as many")
    rows = [line.split() for line in lines[1:]]
    if any(len(row) < 3 or (len(row) < 4 and row[2] != "-1") for row in rows):
        raise Unreadable("a row of section 'elements' is not complete")
    kept = [row for row in rows if row[2] != "-1" and row[3] == "0"]  # geometry -1: a row that is not in use
    widths = {str(code): 4 + CELLS[kind].nodes for code, kind in enumerate(_KINDS)}
    if odd := next((row for row in kept if len(row) != widths.get(row[2])), None):
        raise Unreadable(f"a cell of geometry {odd[2]} has {len(odd) - 4} points")
    values = numbers(" ".join(word for row in kept for word in row), np.int64, "section 'elements'")
    parts = runs(values, len(kept), (2,), lambda code: 4 + CELLS[_kind(code)].nodes, "section 'elements'")
    return [_Cells(_kind(code), rows[:, 4:], rows[:, 1]) for (code,), rows in parts]


def _points(raw: RawMesh, sections: dict[str, list[str]], leaves: list[_Cells], version: str) -> None:
    nodes = [(part.kind, part.nodes) for part in leaves]
    parents = _parents(sections)
    if version == "NC 1.0":
        if "nodes" in sections or "coordinates" not in sections:
            raise Unreadable("it is nonconforming and curved; save it from MFEM with straight cells or as .vtu")
        top = coordinates(sections["coordinates"], "coordinates")
        raw.points = midpoints(top, parents)
    elif "nodes" in sections:
        count = int(_table(sections, "vertices")[0]) if sections.get("vertices") else 0
        if len(sections.get("vertices", [])) != 1:
            raise Unreadable("its section 'vertices' must hold the number of vertices only, as 'nodes' has the points")
        raw.points, order = curved(sections["nodes"], nodes, count)
        if order > 1:
            raw.notes.append(f"its cells are curved (order {order}); they are taken at their corners")
    else:
        raw.points = coordinates(sections.get("vertices", []), "vertices")
    _hanging(raw, parents, leaves)


def _parents(sections: dict[str, list[str]]) -> np.ndarray:
    """Rows of a point and the two that it lies between [k, 3]."""
    if "vertex_parents" not in sections:
        return np.empty((0, 3), dtype=np.int64)
    values = _table(sections, "vertex_parents")
    if len(values) != 1 + 3 * int(values[0]):
        raise Unreadable(f"section 'vertex_parents' has {len(values) - 1} numbers, expected {values[0]} rows of 3")
    return values[1:].reshape(-1, 3)


def _hanging(raw: RawMesh, parents: np.ndarray, leaves: list[_Cells]) -> None:
    """Say how many points lie in the middle of an edge of an unrefined cell."""
    edges = [part.nodes[:, list(CELLS[part.kind].edges)].reshape(-1, 2) for part in leaves if CELLS[part.kind].edges]
    if not edges or not len(parents):
        return
    n = len(raw.points)
    whole = np.sort(np.concatenate(edges), axis=1)
    halved = np.sort(parents[:, 1:], axis=1)
    count = int(np.isin(halved[:, 0] * n + halved[:, 1], whole[:, 0] * n + whole[:, 1]).sum())
    if count:
        raw.notes.append(
            f"it is refined in parts: {count} points hang on edges of larger cells, where fields are not continuous"
        )


def _named(lines: list[str]) -> list[tuple[str, list[int]]]:
    """(name, attributes) of each attribute set; a name stands in quotes or is one word, numbers follow on any line."""
    count = numbers(lines[0], np.int64, "an attribute set") if lines else np.empty(0)
    found: list[tuple[str, list[str]]] = []
    for line in lines[1:]:
        if line.startswith('"') and line.count('"') >= 2:
            name, _, rest = line[1:].rpartition('"')
            found.append((name, rest.split()))
        elif not line.split()[0].lstrip("-").isdecimal():
            found.append((line.split()[0], line.split()[1:]))
        elif found:
            found[-1][1].extend(line.split())
    out = []
    for name, words in found:
        values = numbers(" ".join(words), np.int64, f"attribute set '{name}'").tolist()
        if not values or values[0] != len(values) - 1:
            raise Unreadable(f"attribute set '{name}' does not have the attributes that it declares")
        out.append((name, values[1:]))
    if len(count) != 1 or len(out) != count[0]:
        raise Unreadable(f"it has {len(out)} attribute sets and does not declare as many")
    return out


def _sets(raw: RawMesh, parts: list[_Cells], first: int, named: list[tuple[str, list[int]]]) -> None:
    """Sets of the cells that begin with block ``first``, by attribute and by named lists of attributes."""
    present = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *(part.attributes for part in parts)])).tolist()
    for name, values in [(str(value), [value]) for value in present] + named:
        rows = [np.flatnonzero(np.isin(part.attributes, values)) for part in parts]
        members: list[np.ndarray | None] = [here if len(here) else None for here in rows]
        raw.cell_sets.append(CellSet(name, [*[None] * first, *members]))
    empty = [name for name, values in named if not set(values) & set(present)]
    if empty:
        raw.notes.append(f"{len(empty)} attribute sets name no attribute that occurs: {listed(empty)}")
