"""Wavefront OBJ surfaces: vertices, faces, lines and groups, read and written; texture and normal indices are skipped.

Source: Bourke, "Object Files (.obj)", wavefront specification appendix B1.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from graphpde.errors import OutputError
from graphpde.mesh.io.labels import flattened
from graphpde.mesh.io.obj.rows import KINDS, WIDTHS, whole
from graphpde.mesh.io.overlaps import combinations
from graphpde.mesh.io.raw import Block, CellSet, RawMesh, Unreadable, listed, real_number, whole_number
from graphpde.mesh.mesh import Mesh

_LINE = 1 << 20  # characters
_LETTERS = {"line": "l", "triangle": "f", "quad": "f"}
_SPECIAL = re.compile(r"[\s#\\\x00-\x1f\x85]")  # what ends a name, a line, or both


def read(path: Path) -> RawMesh:
    """Read an .obj file; groups (``g``) become sets, colours of vertices the data ``colour``.

    The format has no end mark, so a file cut between two lines cannot be told from a whole one.

    Raises:
        Unreadable: an index outside the vertices, a line that is no vertex or face.
    """
    raw = whole(path.read_bytes(), _LINE)
    return _by_lines(path) if raw is None else raw


def _by_lines(path: Path) -> RawMesh:
    """The mesh of any file, one line after another; the line that is wrong is named."""
    points: list[list[float]] = []
    faces: dict[tuple[str, int], list[list[int]]] = {}
    groups: dict[str, dict[tuple[str, int], list[int]]] = {}
    current: list[str] = []
    text = path.read_text("utf-8-sig", "replace").replace("\\\r\n", " ").replace("\\\n", " ")
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > _LINE:
            raise Unreadable(f"line {number} has {len(line)} characters, which no face needs")
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            if words[0] == "v":
                points.append([real_number(word) for word in words[1:]])
            elif words[0] == "g":
                current = words[1:]
            elif words[0] in ("f", "l") and len(words) > 2:
                nodes = [_index(word, len(points)) for word in words[1:]]
                rows = [nodes] if words[0] == "f" else [list(pair) for pair in pairwise(nodes)]
                for row in rows:
                    key = (words[0], len(row))
                    own = faces.setdefault(key, [])
                    for name in current:
                        groups.setdefault(name, {}).setdefault(key, []).append(len(own))
                    own.append(row)
        except ValueError:
            raise Unreadable(f"line {number} ('{line.strip()[:40]}') is no proper vertex or face") from None
    return _assemble(points, faces, groups)


def _index(word: str, count: int) -> int:
    index = whole_number(word.split("/")[0])
    if not (1 <= index <= count or -count <= index <= -1):
        raise ValueError(word)
    return index - 1 if index > 0 else count + index


def _assemble(points: list, faces: dict, groups: dict) -> RawMesh:
    widths = {len(point) for point in points}
    if odd := widths.difference(WIDTHS):
        raise Unreadable(f"a vertex has {min(odd)} numbers, expected x y z and perhaps a weight or a colour")
    raw = RawMesh(np.array([point[:3] for point in points], dtype=np.float64).reshape(-1, 3), [])
    if widths == {6}:
        raw.point_data["colour"] = np.array([point[3:] for point in points])
    for (letter, width), rows in faces.items():
        raw.blocks.append(Block(KINDS.get((letter, width), "polygon"), np.array(rows, dtype=np.int64)))
    for name, parts in groups.items():
        members = [np.array(parts[key], dtype=np.int64) if key in parts else None for key in faces]
        raw.cell_sets.append(CellSet(name, members))
    return raw


def write(path: Path, mesh: Mesh, point_data: dict[str, Any], cell_data: dict[str, Any]) -> list[str]:
    """Write a mesh of lines or of triangles and quadrilaterals; sets of cells become groups, overlaps included.

    Returns:
        Names that could not stay as they were, and sets without members.

    Raises:
        OutputError: other cells.
    """
    if other := [f"{len(nodes)} {kind}" for kind, nodes in mesh.cells.items() if kind not in _LETTERS]:
        raise OutputError(
            f"cannot write '{path.name}': OBJ holds lines, triangles and quadrilaterals, not {listed(other)}; "
            f"write a .vtu file instead"
        )
    x = np.zeros((mesh.n, 3))
    x[:, : mesh.space_dim] = mesh.points.detach().cpu().numpy()
    tags = {name: tag.ids.numpy() for name, tag in mesh.tags.items() if tag.dim == mesh.dim and len(tag.ids)}
    names = _names(list(tags))
    labels, found = combinations(mesh.n_cells, list(tags.values()))
    group, start = 0, 0
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        out.writelines(f"v {' '.join(map(repr, row))}\n" for row in x.tolist())
        for kind, nodes in mesh.cells.items():
            own = labels[start : start + len(nodes)]
            start += len(nodes)
            turns = [0, *(np.flatnonzero(own[1:] != own[:-1]) + 1).tolist(), len(own)]
            for first, stop in pairwise(turns):
                if own[first] != group:
                    group = int(own[first])
                    out.write(" ".join(["g", *(names[k] for k in found[group])]) + "\n")
                rows = (nodes[first:stop] + 1).tolist()
                out.writelines(f"{_LETTERS[kind]} {' '.join(map(str, row))}\n" for row in rows)
    told = flattened(mesh)
    if changed := [f"'{old}' as '{new}'" for old, new in zip(tags, names) if old != new]:
        told.append(f"OBJ names hold no blanks: {listed(changed)}")
    if empty := [name for name, tag in mesh.tags.items() if tag.dim == mesh.dim and not len(tag.ids)]:
        told.append(f"sets without members were left out: {listed(empty)}")
    return told


def _names(names: list[str]) -> list[str]:
    """Names without what OBJ cannot hold, still different from one another."""
    taken = {name for name in names if name and not _SPECIAL.search(name)}
    out = []
    for name in names:
        plain = name if name in taken else _SPECIAL.sub("_", name) or "_"
        new, number = plain, 1
        while name not in taken and new in taken:
            number += 1
            new = f"{plain}_{number}"
        taken.add(new)
        out.append(new)
    return out
