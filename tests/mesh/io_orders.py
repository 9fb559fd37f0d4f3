"""Where each node of a high-order cell lies, written as the corners whose middle it is, and files cut short."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from graphpde.errors import MeshReadError
from graphpde.mesh.io import read_mesh
from graphpde.mesh.mesh import Mesh

_HEX = "0 1 2 3 4 5 6 7 01 12 23 03 45 56 67 47 04 15 26 37"
_WEDGE = "0 1 2 3 4 5 01 12 02 34 45 35 03 14 25"
# order of VTK, by type
VTK = {
    "line3": "0 1 01",
    "triangle6": "0 1 2 01 12 02",
    "triangle7": "0 1 2 01 12 02 012",
    "quad8": "0 1 2 3 01 12 23 03",
    "quad9": "0 1 2 3 01 12 23 03 0123",
    "tetra10": "0 1 2 3 01 12 02 03 13 23",
    "pyramid13": "0 1 2 3 4 01 12 23 03 04 14 24 34",
    "pyramid14": "0 1 2 3 4 01 12 23 03 04 14 24 34 0123",
    "wedge15": _WEDGE,
    "wedge18": _WEDGE + " 0134 1245 0235",
    "hexahedron20": _HEX,
    "hexahedron27": _HEX + " 0347 1256 0145 2367 0123 4567 01234567",
}
_SQUARE = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
_CORNERS = {
    "line": [[0, 0, 0], [1, 0, 0]],
    "triangle": [[0, 0, 0], [1, 0, 0], [0, 1, 0]],
    "quad": _SQUARE,
    "tetra": [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "pyramid": [*_SQUARE, [0.5, 0.5, 1]],
    "wedge": [[x, y, z] for z in (0, 1) for x, y in ((0, 0), (1, 0), (0, 1))],
    "hexahedron": [[x, y, z] for z in (0, 1) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))],
}


def places(kind: str, order: str) -> np.ndarray:
    """Coordinates [k, 3] of the nodes of one cell in the given order, sheared so that no two directions agree."""
    corners = np.array(_CORNERS[kind.rstrip("0123456789")]) @ np.array([[2, 0, 0], [0.5, 1, 0], [0.25, 0.125, 3]])
    return np.array([corners[[int(digit) for digit in word]].mean(0) for word in order.split()])


def assert_in_order(mesh: Mesh, kind: str) -> None:
    """The one cell of the mesh is of this type and its nodes lie where VTK's order says."""
    assert list(mesh.cells) == [kind] and mesh.n_cells == 1
    expected = torch.from_numpy(places(kind, VTK[kind]))[:, : mesh.space_dim]
    assert torch.allclose(mesh.points[mesh.cells[kind][0]], expected, atol=1e-6)


def assert_no_cut_is_silent(
    text: str, name: str, folder: Path, lines: bool = False, write: Callable[[str], Path] | None = None
) -> None:
    """Each beginning of the text is refused, or gives as many points, cells and set members as the whole of it."""

    def content(mesh: Mesh) -> tuple[int, int, dict[str, int]]:
        return mesh.n, mesh.n_cells, {tag: len(found.ids) for tag, found in mesh.tags.items()}

    def put(part: str) -> Path:
        (folder / name).write_text(part)
        return folder / name

    write = write or put
    whole = content(read_mesh(write(text)))
    stops = range(1, len(text)) if not lines else [k + 1 for k, letter in enumerate(text[:-1]) if letter == "\n"]
    refused = 0
    for stop in stops:
        try:
            assert content(read_mesh(write(text[:stop]))) == whole
        except MeshReadError as error:
            refused += 1
            assert 10 < len(error.reason) < 400
    assert refused > len(stops) / 2
