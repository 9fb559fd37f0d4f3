"""Writer of Abaqus and CalculiX input decks (.inp): nodes, elements, and every named set but those of edges of solids.

The deck is a mesh and nothing else: no sections, materials or steps. Plane meshes get plane stress elements (CPS),
lines trusses, surfaces in 3-D shells, whose edges are called E1, E2, ... as in Abaqus (S3, S4, ... in CalculiX).
Sets of cells are element sets, sets of points node sets, sets of facets element surfaces built on internal element
sets. Names keep what Abaqus allows between quotation marks: no full stops or quotation marks, at most 80 letters; two
names that differ by capital letters only are numbered.

Source: Abaqus Keywords Reference Guide; Abaqus Analysis User's Guide, "Input syntax rules" and "Element library".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from graphpde.errors import OutputError
from graphpde.mesh.io.abaqus.table import FACES, ORDER, SHELL
from graphpde.mesh.io.labels import filled, flattened, labels
from graphpde.mesh.io.lines import lines
from graphpde.mesh.io.sides import sides_of
from graphpde.mesh.mesh import Mesh

_ELEMENTS = {
    **{"line": "T2D2", "line3": "T2D3", "triangle": "CPS3", "triangle6": "CPS6", "quad": "CPS4", "quad8": "CPS8"},
    **{"quad9": "M3D9", "tetra": "C3D4", "tetra10": "C3D10", "hexahedron": "C3D8", "hexahedron20": "C3D20"},
    **{"hexahedron27": "C3D27", "wedge": "C3D6", "wedge15": "C3D15", "pyramid": "C3D5"},
}
_IN_SPACE = {
    **{"line": "T3D2", "line3": "T3D3", "triangle": "S3", "triangle6": "STRI65", "quad": "S4", "quad8": "S8R"},
    "quad9": "S9R5",
}
_PER_LINE = 16  # numbers that a line may hold
_LETTERS = 80  # that a name may have
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_BARRED = re.compile("[.\0-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")


def write(path: Path, mesh: Mesh, point_data: dict[str, Any], cell_data: dict[str, Any]) -> list[str]:
    """Write a mesh and its named sets.

    Returns:
        What was lost or changed, one sentence each.

    Raises:
        OutputError: cells that Abaqus does not know.
    """
    for kind in mesh.cells:
        if kind not in _ELEMENTS:
            raise OutputError(f"cannot write '{path.name}': Abaqus has no element for {kind} cells; write a .vtu file")
    tags, told = filled(mesh)
    names, changed = labels(tags, _label, fold=str.upper, limit=_LETTERS)
    told += changed
    told += flattened(mesh)
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        out.write("*HEADING\nmesh written by graphpde\n*NODE\n")
        points = mesh.points.detach().cpu().numpy()
        out.writelines(lines([np.arange(1, mesh.n + 1), *points.T], ", "))
        out.writelines(_element_lines(mesh))
        for name, tag in tags.items():
            if tag.dim in (0, mesh.dim):
                what = "NSET" if tag.dim == 0 else "ELSET"
                out.write(f"*{what}, {what}={_quoted(names[name])}\n")
                out.writelines(_filled_lines(tag.ids.numpy() + 1))
        surfaces = [(names[name], tag) for name, tag in tags.items() if tag.dim == mesh.dim - 1 > 0]
        taken = {label.upper() for label in names.values()}
        for number, (label, tag) in enumerate(surfaces, 1):
            stem = f"_{label}" if _PLAIN.fullmatch(label) and len(label) < _LETTERS - 10 else f"_surface{number}"
            out.writelines(_surface_lines(mesh, tag.ids, label, _free(stem, taken)))
    return told


def _label(name: str) -> str:
    return _BARRED.sub("_", name.replace('"', "'")).strip() or "unnamed"


def _quoted(label: str) -> str:
    return label if _PLAIN.fullmatch(label) else f'"{label}"'


def _free(stem: str, taken: set[str]) -> str:
    """The stem with underscores before it until nothing that is there begins like it."""
    while any(name.startswith(stem.upper()) for name in taken):
        stem = "_" + stem
    return stem


def _element(kind: str, space_dim: int) -> str:
    return _IN_SPACE.get(kind, _ELEMENTS[kind]) if space_dim == 3 else _ELEMENTS[kind]


def _element_lines(mesh: Mesh) -> Iterator[str]:
    first = 1
    for kind, nodes in mesh.cells.items():
        rows = nodes.numpy() + 1
        rows = rows[:, np.argsort(ORDER[kind])] if kind in ORDER else rows
        yield f"*ELEMENT, TYPE={_element(kind, mesh.space_dim)}\n"
        for text in lines([np.arange(first, first + len(rows)), *rows.T], ", "):
            yield text if rows.shape[1] < _PER_LINE else "".join(map(_wrapped, text.splitlines()))
        first += len(rows)


def _wrapped(line: str) -> str:
    """A data line broken behind every sixteenth number; a comma at the end says that it goes on."""
    words = line.split(", ")
    return ",\n".join(", ".join(words[k : k + _PER_LINE]) for k in range(0, len(words), _PER_LINE)) + "\n"


def _filled_lines(ids: np.ndarray) -> Iterator[str]:
    """Numbers, sixteen in a line."""
    full = len(ids) // _PER_LINE * _PER_LINE
    yield from lines(list(ids[:full].reshape(-1, _PER_LINE).T), ", ")
    if full < len(ids):
        yield ", ".join(map(str, ids[full:].tolist())) + "\n"


def _surface_lines(mesh: Mesh, ids: Any, label: str, stem: str) -> Iterator[str]:
    """An element surface: for each face number the set of elements that show it."""
    cells, sides = sides_of(mesh, mesh.dim - 1, ids, FACES)
    kinds = [bool(SHELL.match(_element(kind, mesh.space_dim))) for kind in mesh.cells]
    shell = np.repeat(kinds, [len(nodes) for nodes in mesh.cells.values()])[cells]
    faces = []
    for letter, chosen in (("S", ~shell), ("E", shell)):
        for side in np.unique(sides[chosen]).tolist():
            face = f"{letter}{side + 1}"
            faces.append(f"{stem}_{face}, {face}\n")
            yield f"*ELSET, ELSET={stem}_{face}, INTERNAL\n"
            yield from _filled_lines(np.sort(cells[chosen & (sides == side)]) + 1)
    yield f"*SURFACE, NAME={_quoted(label)}, TYPE=ELEMENT\n"
    yield from faces
