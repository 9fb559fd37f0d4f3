"""OFF surfaces: triangles, quadrilaterals and general polygons, comments and colours allowed; read and written.

Source: Geomview manual, "OFF Files".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from graphpde.errors import OutputError
from graphpde.mesh.io.labels import flattened
from graphpde.mesh.io.raw import Block, RawMesh, Unreadable, integers, listed, numbers, runs
from graphpde.mesh.mesh import Mesh


def read(path: Path) -> RawMesh:
    """Read an .off or .coff file in text form; colours are skipped.

    Raises:
        Unreadable: another header, counts that do not agree with the lines.
    """
    text = path.read_text("latin-1")
    lines = [words for line in text.splitlines() if (words := line.partition("#")[0].split())]
    if not lines or lines[0][0] not in ("OFF", "COFF", "NOFF", "CNOFF", "STOFF"):
        raise Unreadable("it does not begin with OFF")
    if len(lines[0]) > 1 and lines[0][1] == "BINARY":
        raise Unreadable("binary OFF is not supported; save it as text")
    counts, body = (lines[0][1:], lines[1:]) if len(lines[0]) > 1 else (lines[1] if len(lines) > 1 else [], lines[2:])
    if len(counts) < 2 or not all(word.isdigit() for word in counts[:2]):
        raise Unreadable("the counts of vertices and faces are missing")
    n, m = int(counts[0]), int(counts[1])
    if len(body) < n or any(len(words) < 3 for words in body[:n]):
        raise Unreadable(f"it declares {n} vertices of three coordinates, which its lines do not hold")
    points = numbers(" ".join(" ".join(words[:3]) for words in body[:n]), np.float64, "the vertices").reshape(-1, 3)
    rows = body[n : n + m]
    if len(rows) == m and all(words[0].isdigit() and 0 < int(words[0]) < len(words) for words in rows):
        rows = [words[: 1 + int(words[0])] for words in rows]  # one face a line, colours behind it
    else:
        rows = body[n:]  # faces may also run over lines
    values = integers(numbers(" ".join(" ".join(words) for words in rows), np.float64, "the faces"), "vertex numbers")
    faces: dict[int, list[np.ndarray]] = {}
    for (width,), part in runs(values, m, (0,), _face_width, "the list of faces"):
        faces.setdefault(width, []).append(part[:, 1:])
    parts = {width: np.concatenate(face) for width, face in faces.items()}
    kinds = {1: "vertex", 2: "line", 3: "triangle", 4: "quad"}
    return RawMesh(points, [Block(kinds.get(width, "polygon"), face) for width, face in parts.items()])


def _face_width(corners: int) -> int:
    if corners < 1:
        raise Unreadable(f"a face has {corners} vertices")
    return 1 + corners


def write(path: Path, mesh: Mesh, point_data: dict[str, Any], cell_data: dict[str, Any]) -> list[str]:
    """Write a mesh of triangles and quadrilaterals as text, numbers with all their digits.

    Raises:
        OutputError: other cells.
    """
    if other := [f"{len(nodes)} {kind}" for kind, nodes in mesh.cells.items() if kind not in ("triangle", "quad")]:
        raise OutputError(
            f"cannot write '{path.name}': OFF holds triangles and quadrilaterals, not {listed(other)}; "
            f"write a .vtu file instead"
        )
    x = np.zeros((mesh.n, 3))
    x[:, : mesh.space_dim] = mesh.points.detach().cpu().numpy()
    with open(path, "w", encoding="ascii", newline="\n") as out:
        out.write(f"OFF\n{mesh.n} {mesh.n_cells} 0\n")
        out.writelines(f"{' '.join(map(repr, row))}\n" for row in x.tolist())
        for nodes in mesh.cells.values():
            out.writelines(f"{len(row)} {' '.join(map(str, row))}\n" for row in nodes.tolist())
    return flattened(mesh)
