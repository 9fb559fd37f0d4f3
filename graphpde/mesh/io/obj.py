"""Reader of Wavefront OBJ surfaces: vertices, faces and lines; texture and normal indices are skipped.

Source: Bourke, "Object Files (.obj)", wavefront specification appendix B1.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from graphpde.mesh.io.raw import Block, CellSet, RawMesh, Unreadable


def read(path: Path) -> RawMesh:
    """Read an .obj file; groups (``g``) become sets, colours of vertices the data ``colour``.

    The format has no end mark, so a file cut between two lines cannot be told from a whole one.

    Raises:
        Unreadable: an index outside the vertices, a line that is no vertex or face.
    """
    points: list[list[float]] = []
    faces: dict[tuple[str, int], list[list[int]]] = {}
    groups: dict[str, dict[tuple[str, int], list[int]]] = {}
    current: list[str] = []
    text = path.read_text("utf-8", "replace").replace("\\\r\n", " ").replace("\\\n", " ")
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            if words[0] == "v":
                points.append([float(word) for word in words[1:]])
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
    index = int(word.split("/")[0])
    if not (1 <= index <= count or -count <= index <= -1):
        raise ValueError(word)
    return index - 1 if index > 0 else count + index


def _assemble(points: list, faces: dict, groups: dict) -> RawMesh:
    widths = {len(point) for point in points}
    if widths - {3, 4, 6, 7}:
        raise Unreadable(
            f"a vertex has {min(widths - {3, 4, 6, 7})} numbers, expected x y z and perhaps a weight or a colour"
        )
    raw = RawMesh(np.array([point[:3] for point in points], dtype=np.float64).reshape(-1, 3), [])
    if widths == {6}:
        raw.point_data["colour"] = np.array([point[3:] for point in points])
    names = {("f", 3): "triangle", ("f", 4): "quad", ("l", 2): "line"}
    for (letter, width), rows in faces.items():
        raw.blocks.append(Block(names.get((letter, width), "polygon"), np.array(rows, dtype=np.int64)))
    for name, parts in groups.items():
        members = [np.array(parts[key], dtype=np.int64) if key in parts else None for key in faces]
        raw.cell_sets.append(CellSet(name, members))
    return raw
