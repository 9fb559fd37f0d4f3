"""How the blocks of a box are cut into cells: six tetrahedra, two wedges, six pyramids, or several kinds that match."""

from __future__ import annotations

from itertools import permutations

import torch
from torch import Tensor

from graphpde.errors import MeshError
from graphpde.mesh.cells import CELLS

# corners of a block: bit 0 of the number is x, bit 1 y, bit 2 z
_HEXAHEDRON = (0, 1, 3, 2, 4, 5, 7, 6)
_WEDGES = ((0, 1, 3, 4, 5, 7), (0, 3, 2, 4, 7, 6))
_CENTRE = 8
_FACES = tuple(tuple(_HEXAHEDRON[c] for c in facet) for facet in CELLS["hexahedron"].facets)  # wound outward
_RIGHT = {1, 3, 5, 7}
_KINDS = ("tetra", "hexahedron", "wedge", "pyramid", "mixed")


def box_cells(kind: str, corner: Tensor, counts: tuple[int, ...]) -> tuple[dict[str, Tensor], Tensor]:
    """Cells of a box by type, and the corners [k, 8] of the blocks whose centres follow as points.

    Args:
        kind: "tetra", "hexahedron", "wedge", "pyramid" or "mixed".
        corner: points of each block [m, 8], blocks along x first. counts: blocks along x, y and z.

    Raises:
        MeshError: another kind, fewer than three blocks along x for "mixed".
    """
    if kind not in _KINDS:
        raise MeshError(f"a box has no '{kind}' cells, expected {', '.join(repr(k) for k in _KINDS)}")
    nx = counts[0]
    n = (nx + 1) * (counts[1] + 1) * (counts[2] + 1)
    column = torch.arange(len(corner)) % nx
    if kind == "mixed":
        if nx < 3:
            raise MeshError(f"a mixed box has at least 3 blocks along x, for hexahedra, pyramids and tetra, got {nx}")
        wedges, tetra = nx // 4, nx // 3
        middle = corner[column == nx - tetra - 1]
        blocks = {
            "wedge": _cut(corner[column < wedges], _WEDGES),
            "hexahedron": corner[(column >= wedges) & (column < nx - tetra - 1)][:, _HEXAHEDRON],
            "pyramid": _cut(_with_centres(middle, n), _pyramids(matching=True)),
            "tetra": torch.cat(
                [_cut(_with_centres(middle, n), _matching_tetra()), _cut(corner[column >= nx - tetra], _kuhn_paths())]
            ),
        }
        return blocks, middle
    if kind == "pyramid":
        return {kind: _cut(_with_centres(corner, n), _pyramids(matching=False))}, corner
    tables = {"tetra": _kuhn_paths(), "hexahedron": (_HEXAHEDRON,), "wedge": _WEDGES}
    return {kind: _cut(corner, tables[kind])}, corner[:0]


def _cut(corner: Tensor, table: tuple[tuple[int, ...], ...]) -> Tensor:
    return corner[:, torch.tensor(table)].flatten(0, 1)


def _with_centres(corner: Tensor, first: int) -> Tensor:
    return torch.cat([corner, first + torch.arange(len(corner))[:, None]], 1)


def _pyramids(matching: bool) -> tuple[tuple[int, ...], ...]:
    """A pyramid on each face, its tip the centre; without the right face where that is to match tetrahedra."""
    return tuple((a, d, c, b, _CENTRE) for a, b, c, d in _FACES if not (matching and {a, b, c, d} == _RIGHT))


def _matching_tetra() -> tuple[tuple[int, ...], ...]:
    """Two tetrahedra on the right face, cut along the diagonal that Kuhn's tetrahedra beyond it have."""
    return ((1, 7, 3, _CENTRE), (1, 5, 7, _CENTRE))


def _kuhn_paths() -> tuple[tuple[int, ...], ...]:
    """The six walks along edges of the unit cube from corner 0 to corner 7, positively oriented."""
    paths = []
    for axes in permutations(range(3)):
        path = [0, 1 << axes[0], 1 << axes[0] | 1 << axes[1], 7]
        if axes not in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
            path[0], path[2] = path[2], path[0]
        paths.append(tuple(path))
    return tuple(paths)
