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
from graphpde.mesh.io.text_lines import Lines, plain
from graphpde.mesh.mesh import Mesh


def read(path: Path) -> RawMesh:
    """Read an .off or .coff file in text form; colours are skipped.

    Raises:
        Unreadable: another header, counts that do not agree with the lines.
    """
    lines = Lines(plain(path.read_bytes()), b"#")
    head = _words(lines, 0)
    if not head or head[0] not in ("OFF", "COFF", "NOFF", "CNOFF", "STOFF"):
        raise Unreadable("it does not begin with OFF")
    if len(head) > 1 and head[1] == "BINARY":
        raise Unreadable("binary OFF is not supported; save it as text")
    counts, begin = (head[1:], 1) if len(head) > 1 else (_words(lines, 1), 2)
    if len(counts) < 2 or not all(word.isdigit() for word in counts[:2]):
        raise Unreadable("the counts of vertices and faces are missing")
    n, m = int(counts[0]), int(counts[1])
    if len(lines) - begin < n or (lines.words[begin : begin + n] < 3).any():
        raise Unreadable(f"it declares {n} vertices of three coordinates, which its lines do not hold")
    points = numbers(lines.leading(begin, begin + n, 3), np.float64, "the vertices").reshape(-1, 3)
    parts = _faces(lines, begin + n, m)
    kinds = {1: "vertex", 2: "line", 3: "triangle", 4: "quad"}
    return RawMesh(points, [Block(kinds.get(width, "polygon"), face) for width, face in parts.items()])


def _words(lines: Lines, number: int) -> list[str]:
    return lines.line(number).decode("latin-1").split() if number < len(lines) else []


def _faces(lines: Lines, begin: int, m: int) -> dict[int, np.ndarray]:
    """Corners of the faces by their number, in the order in which the numbers first appear."""
    end = begin + m
    corners = lines.counts(begin, end) if end <= len(lines) else np.empty(0)
    if len(corners) == m and ((corners > 0) & (corners < lines.words[begin:end])).all():  # colours may stand behind
        values = _whole(lines.leading(begin, end, 1 + corners))
        start = np.cumsum(1 + corners) - corners
        widths, first = np.unique(corners, return_index=True)
        return {
            width: values[start[corners == width][:, None] + np.arange(width)]
            for width in widths[np.argsort(first)].tolist()
        }
    found: dict[int, list[np.ndarray]] = {}  # faces may also run over lines
    for (width,), part in runs(_whole(lines.stretch(begin, len(lines))), m, (0,), _face_width, "the list of faces"):
        found.setdefault(width, []).append(part[:, 1:])
    return {width: np.concatenate(part) for width, part in found.items()}


def _whole(text: bytes) -> np.ndarray:
    return integers(numbers(text, np.float64, "the faces"), "vertex numbers")


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
