"""SU2 meshes: points, elements and markers by their names, read and written.

Source: SU2 documentation, "Mesh File" (type codes and node orders as in VTK).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from graphpde.errors import OutputError
from graphpde.mesh.io.raw import Block, CellSet, RawMesh, Unreadable, integers, numbers, runs
from graphpde.mesh.io.vtk_cells import WEDGE
from graphpde.mesh.mesh import Mesh

_KINDS = {
    1: ("vertex", 1),
    3: ("line", 2),
    5: ("triangle", 3),
    9: ("quad", 4),
    10: ("tetra", 4),
    12: ("hexahedron", 8),
    13: ("wedge", 6),
    14: ("pyramid", 5),
}


def read(path: Path) -> RawMesh:
    """Read a .su2 file of one zone; each marker becomes a set of its own name.

    Raises:
        Unreadable: several zones, a section that is cut, an unknown element code.
    """
    lines = [line.partition("%")[0].strip() for line in path.read_text("latin-1").splitlines()]
    lines = [line for line in lines if line]
    dim, points, found = 0, None, []
    markers: list[tuple[str, list[tuple[str, np.ndarray]]]] = []
    position = 0
    while position < len(lines):
        name, equals, value = (word.strip() for word in lines[position].partition("="))
        position += 1
        if not equals:
            raise Unreadable(f"the line '{lines[position - 1][:40]}' belongs to no section")
        if name == "NZONE" and int(value) > 1:
            raise Unreadable(f"it holds {int(value)} zones; give each zone a file of its own")
        if name == "NDIME":
            dim = int(value)
        elif name == "MARKER_TAG":
            markers.append((value, []))
        elif name in ("NPOIN", "NELEM", "MARKER_ELEMS"):
            count = int(value.split()[0])
            body = lines[position : position + count]
            position += count
            if count < 0 or len(body) < count:
                raise Unreadable(
                    f"section {name} ends {count - len(body)} lines too early; the file seems to be cut off"
                )
            if name == "NPOIN":
                points = _points(body, dim)
            elif name == "NELEM":
                found += _elements(body, "section NELEM")
            elif not markers:
                raise Unreadable("MARKER_ELEMS stands before any MARKER_TAG")
            else:
                markers[-1][1].extend(_elements(body, f"marker '{markers[-1][0]}'"))
        elif name == "NPERIODIC" or name.startswith("FFD"):
            break  # what follows is no mesh
    if points is None or not found:
        raise Unreadable("it has no NPOIN or no NELEM section")
    return _assemble(points, found, markers)


def _points(body: list[str], dim: int) -> np.ndarray:
    if dim not in (2, 3):
        raise Unreadable(f"NDIME is {dim}, expected 2 or 3 before the points")
    if not body:
        return np.empty((0, dim))
    width = len(body[0].split())
    values = numbers(" ".join(body), np.float64, "section NPOIN")
    if width < dim or len(values) != width * len(body):
        raise Unreadable(
            f"section NPOIN has {len(values)} numbers on {len(body)} lines, expected {dim} coordinates each"
        )
    return values.reshape(-1, width)[:, :dim]


def _elements(body: list[str], what: str) -> list[tuple[str, np.ndarray]]:
    if not body:
        return []
    first = body[0].split()
    extra = len(first) - 1 - _width(int(first[0])) if first[0].isdigit() else -1
    if extra not in (0, 1):
        raise Unreadable(f"{what} begins with '{body[0][:40]}', which is no element")
    values = integers(numbers(" ".join(body), np.float64, what), f"the numbers of {what}")
    parts = runs(values, len(body), (0,), lambda code: 1 + _width(code) + extra, what)
    found = [(_KINDS[code][0], rows[:, 1 : 1 + _width(code)]) for (code,), rows in parts]
    return [(kind, rows[:, WEDGE] if kind == "wedge" else rows) for kind, rows in found]


def _width(code: int) -> int:
    if code not in _KINDS:
        raise Unreadable(f"element code {code} is not one of {', '.join(map(str, _KINDS))}")
    return _KINDS[code][1]


def _assemble(points: np.ndarray, found: list, markers: list) -> RawMesh:
    raw = RawMesh(points, [Block(kind, rows) for kind, rows in found], space_dim=points.shape[1])
    owner: list[str | None] = [None] * len(found)
    for name, parts in markers:
        if not parts:
            raw.notes.append(f"marker '{name}' has no elements")
        for kind, rows in parts:
            raw.blocks.append(Block(kind, rows))
            owner.append(name)
    for name in dict.fromkeys(name for name in owner if name is not None):
        members = [np.arange(len(b.nodes)) if own == name else None for b, own in zip(raw.blocks, owner)]
        raw.cell_sets.append(CellSet(name, members))
    return raw


def write(path: Path, mesh: Mesh, point_data: dict[str, Any], cell_data: dict[str, Any]) -> list[str]:
    """Write a mesh of dimension 2 or 3; sets of facets become markers.

    Raises:
        OutputError: cells that SU2 does not know, or a surface in 3-D.
    """
    codes = {kind: code for code, (kind, _) in _KINDS.items()}
    if mesh.dim != mesh.space_dim or mesh.dim < 2 or any(kind not in codes for kind in mesh.cells):
        raise OutputError(f"cannot write '{path.name}': SU2 knows linear cells of plane and solid meshes only")
    of_width = {2: "line", 3: "triangle", 4: "quad"}
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        out.write(f"NDIME= {mesh.dim}\nNELEM= {mesh.n_cells}\n")
        for kind, nodes in mesh.cells.items():
            rows = nodes[:, WEDGE] if kind == "wedge" else nodes
            out.writelines(f"{codes[kind]} {' '.join(map(str, row))}\n" for row in rows.tolist())
        out.write(f"NPOIN= {mesh.n}\n")
        out.writelines(" ".join(map(repr, row)) + "\n" for row in mesh.points.tolist())
        markers = {name: tag for name, tag in mesh.tags.items() if tag.dim == mesh.dim - 1}
        out.write(f"NMARK= {len(markers)}\n")
        for name, tag in markers.items():
            out.write(f"MARKER_TAG= {' '.join(name.split())}\nMARKER_ELEMS= {len(tag.ids)}\n")
            for row in mesh.facets.nodes[tag.ids].tolist():
                corners = [node for node in row if node >= 0]
                out.write(f"{codes[of_width[len(corners)]]} {' '.join(map(str, corners))}\n")
    return []
