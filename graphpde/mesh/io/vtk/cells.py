"""Cells as VTK files list them: one type code per cell, offsets into one long list of points.

Strips, poly-lines, poly-vertices, pixels and voxels become the simple cells they stand for. The wedge is the one type
whose corners stand in another order in VTK than in this library. In files before version 2.1 (XML) and 5.1 (legacy) the
last two upright edges of Lagrange hexahedra stand in the other order; VTK swaps them on reading, and so do we.

Source: VTK file formats, "vtkCellType.h"; vtkWedge for the order of its corners.
"""

from __future__ import annotations

import re

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.raw import Block, Unreadable

WEDGE = [0, 2, 1, 3, 5, 4]
_KINDS = {cell.vtk: kind for kind, cell in CELLS.items() if cell.vtk < 68}
IMPLIED = 10**7  # points that an image may imply without listing them
_CORNERS: list[list[tuple[int, ...]]] = [
    [()],
    [(0,), (1,)],
    [(0, 0), (0, 1), (1, 1), (1, 0)],
    [(0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0), (1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0)],
]  # of a structured cell, slowest index first
_BOX = {8: ("quad", [0, 1, 3, 2]), 11: ("hexahedron", [0, 1, 3, 2, 4, 5, 7, 6])}
# cells between two orders and the pyramid with nodes in all its faces are taken at their corners; pyramids of type 37
# with 14 nodes stand in files of earlier versions of this library, and VTK crashes on them
_BETWEEN = {30: ("quad", (6,)), 31: ("wedge", (12,)), 37: ("pyramid", (14, 19))}
_LAGRANGE = {68: "line", 69: "triangle", 70: "quad", 71: "tetra", 72: "hexahedron", 73: "wedge", 74: "pyramid"}
_PRISMS = {15: "penta_prism", 16: "hexa_prism"}
_NAMES = {0: "empty", 41: "convex point set", 42: "polyhedron"}
_VERSION = re.compile("([0-9]{1,4})[.]([0-9]{1,4})")
_OLD_BRICKS = {27: [*range(18), 19, 18, *range(20, 27)], 64: [*range(28), 30, 31, 28, 29, *range(32, 64)]}


def is_before(version: str, first: tuple[int, int]) -> bool:
    """Whether the version that a text names is before the ``first``; a text that names none is."""
    found = _VERSION.search(version)
    return found is None or (int(found[1]), int(found[2])) < first


def as_in_old_files(kind: str, rows: np.ndarray) -> np.ndarray:
    """Rows of nodes of this library as files before the versions 2.1 and 5.1 have them [m, k]."""
    if kind == "wedge":
        return rows[:, WEDGE]
    return rows[:, _OLD_BRICKS[64]] if kind == "hexahedron64" else rows


def blocks_of(
    codes: np.ndarray, stops: np.ndarray, points: np.ndarray, *, old: bool = False
) -> tuple[list[Block], list[np.ndarray], list[str]]:
    """Cell blocks, the listed cell that each cell came from, and one sentence for each kind that was left out.

    Args:
        codes: VTK type of each listed cell [m]. stops: end of its points in ``points`` [m]. points: point numbers [k].
        old: whether the file is of a version before 2.1 (XML) or 5.1 (legacy).

    Raises:
        Unreadable: offsets that decrease or leave the list, a cell with the wrong number of points.
    """
    starts = np.concatenate([[0], stops[:-1]]) if len(stops) else stops
    if len(codes) != len(stops):
        raise Unreadable(f"{len(codes)} cell types stand beside {len(stops)} cell offsets")
    if len(stops) and (starts.min() < 0 or (stops < starts).any() or stops[-1] > len(points)):
        raise Unreadable(f"the cell offsets do not fit the {len(points)} entries of the connectivity")
    sizes = stops - starts
    blocks: list[Block] = []
    sources: list[np.ndarray] = []
    notes: list[str] = []
    for code, size in _kinds(codes, sizes):
        cells = np.flatnonzero((codes == code) & (sizes == size))
        alone = len(cells) == len(codes) and starts[0] == 0
        rows = points[: stops[-1]].reshape(-1, size) if alone else points[starts[cells][:, None] + np.arange(size)]
        if old and code == 72 and size in _OLD_BRICKS:
            rows = rows[:, _OLD_BRICKS[size]]
        block, source = _block(code, size, rows)
        if block is None:
            notes.append(f"{len(cells)} cells of VTK type {code} ({_NAMES.get(code, 'unknown')}) were left out")
        else:
            blocks.append(block)
            sources.append(cells[source])
            if code == 36:
                notes.append(f"{len(cells)} polygons of second order are taken at their corners")
    return blocks, sources, notes


def _kinds(codes: np.ndarray, sizes: np.ndarray) -> list[list[int]]:
    """The pairs (code, number of points) that occur, in the order of their first cells."""
    if not len(codes) or ((codes == codes[0]) & (sizes == sizes[0])).all():
        return [[int(codes[0]), int(sizes[0])]] if len(codes) else []
    groups, first = np.unique(np.stack([codes, sizes], 1), axis=0, return_index=True)
    return groups[np.argsort(first)].tolist()


def _block(code: int, size: int, rows: np.ndarray) -> tuple[Block | None, np.ndarray]:
    """One block of cells of one type and size, and the row that each cell came from."""
    same = np.arange(len(rows))
    if code in _KINDS:
        kind = _KINDS[code]
        if size != CELLS[kind].nodes:
            raise Unreadable(f"a {kind} cell has {size} points, expected {CELLS[kind].nodes}")
        return Block(kind, rows[:, WEDGE] if kind == "wedge" else rows), same
    if code in _BOX:
        kind, order = _BOX[code]
        if size != len(order):
            raise Unreadable(f"a cell of VTK type {code} has {size} points, expected {len(order)}")
        return Block(kind, rows[:, order]), same
    if code in _BETWEEN:
        kind, sizes = _BETWEEN[code]
        if size not in sizes:
            raise Unreadable(f"a cell of VTK type {code} has {size} points, expected {sizes[-1]}")
        return Block(f"{kind}{size}", rows), same
    if code == 36 and size > 5 and size % 2 == 0:
        return Block("polygon", rows[:, : size // 2]), same
    if code == 7 or code in _PRISMS:
        return Block(_PRISMS.get(code, "polygon"), rows), same
    if code == 2:
        return Block("vertex", rows.reshape(-1, 1)), np.repeat(same, size)
    if code == 4 and size > 1:
        return Block("line", np.stack([rows[:, :-1], rows[:, 1:]], -1).reshape(-1, 2)), np.repeat(same, size - 1)
    if code == 6 and size > 2:
        parts = np.stack([rows[:, :-2], rows[:, 1:-1], rows[:, 2:]], -1)
        parts[:, 1::2] = parts[:, 1::2, ::-1]  # every other triangle of a strip turns the other way
        return Block("triangle", parts.reshape(-1, 3)), np.repeat(same, size - 2)
    if code in _LAGRANGE:
        linear = _LAGRANGE[code]
        return Block(linear if size == CELLS[linear].nodes else f"{linear}{size}", rows), same
    return None, same


def structured(
    dataset: str,
    dimensions: list[int],
    points: np.ndarray | None,
    axes: dict[str, np.ndarray],
    image: tuple[list[float], list[float]],
) -> tuple[np.ndarray, list[Block]]:
    """Points and cells that a grid of ``dimensions`` points implies; the first index runs fastest.

    Args:
        points: of a STRUCTURED_GRID. axes: coordinates along x, y, z of a RECTILINEAR_GRID. image: spacing and origin.

    Raises:
        Unreadable: counts that do not agree, or a grid that no honest file would imply.
    """
    if len(dimensions) != 3 or min(dimensions, default=0) < 1:
        raise Unreadable(f"its DIMENSIONS are {dimensions}, expected three counts")
    count = dimensions[0] * dimensions[1] * dimensions[2]
    if dataset == "STRUCTURED_GRID":
        if points is None or len(points) != count:
            raise Unreadable(f"its DIMENSIONS ask for {count} points, it has {0 if points is None else len(points)}")
    else:
        if dataset == "RECTILINEAR_GRID":
            along = [axes.get(axis, np.zeros(0)) for axis in "XYZ"]
            if [len(line) for line in along] != dimensions:
                raise Unreadable(f"its coordinates have {[len(line) for line in along]} values, expected {dimensions}")
        else:
            if count > IMPLIED:
                raise Unreadable(f"it implies a grid of {count} points, more than the {IMPLIED} that are read")
            along = [origin + h * np.arange(n) for n, h, origin in zip(dimensions, *image)]
        z, y, x = np.meshgrid(along[2], along[1], along[0], indexing="ij")
        points = np.stack([x.reshape(-1), y.reshape(-1), z.reshape(-1)], 1)
    number = np.arange(count).reshape(dimensions[::-1])
    number = number.squeeze(tuple(axis for axis in range(3) if number.shape[axis] == 1))
    corners = _CORNERS[number.ndim]
    parts = [number[tuple(slice(c, n - 1 + c) for c, n in zip(corner, number.shape))].reshape(-1) for corner in corners]
    kind = {0: "vertex", 1: "line", 2: "quad", 3: "hexahedron"}[number.ndim]
    return points, [Block(kind, np.stack(parts, 1))]
