"""The one table of cell types: dimension, nodes, facets and names, in the node order of meshio and VTK."""

from __future__ import annotations

from typing import NamedTuple

from graphpde.registry import Registry


class CellType(NamedTuple):
    """One cell type. ``corners`` is the linear type spanned by its first nodes; ``facets`` are local corner numbers."""

    dim: int
    nodes: int
    corners: str
    facets: tuple[tuple[int, ...], ...]
    edges: tuple[tuple[int, int], ...]
    vtk: int


_LINE = ((0,), (1,))
_TRI = ((0, 1), (1, 2), (2, 0))
_QUAD = ((0, 1), (1, 2), (2, 3), (3, 0))
# facets wind outward for a positively oriented cell
_TET = ((0, 2, 1), (0, 1, 3), (1, 2, 3), (0, 3, 2))
_TET_EDGES = ((0, 1), (1, 2), (0, 2), (0, 3), (1, 3), (2, 3))
_HEX = ((0, 3, 2, 1), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7))
_HEX_EDGES = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7))
_WEDGE = ((0, 2, 1), (3, 4, 5), (0, 1, 4, 3), (1, 2, 5, 4), (2, 0, 3, 5))
_WEDGE_EDGES = ((0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3), (0, 3), (1, 4), (2, 5))
_PYRAMID = ((0, 3, 2, 1), (0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4))
_PYRAMID_EDGES = ((0, 1), (1, 2), (2, 3), (3, 0), (0, 4), (1, 4), (2, 4), (3, 4))

CELLS: Registry[CellType] = Registry("cell type")
for _name, _cell in {
    "vertex": CellType(0, 1, "vertex", (), (), 1),
    "line": CellType(1, 2, "line", _LINE, ((0, 1),), 3),
    "triangle": CellType(2, 3, "triangle", _TRI, _TRI, 5),
    "quad": CellType(2, 4, "quad", _QUAD, _QUAD, 9),
    "tetra": CellType(3, 4, "tetra", _TET, _TET_EDGES, 10),
    "hexahedron": CellType(3, 8, "hexahedron", _HEX, _HEX_EDGES, 12),
    "wedge": CellType(3, 6, "wedge", _WEDGE, _WEDGE_EDGES, 13),
    "pyramid": CellType(3, 5, "pyramid", _PYRAMID, _PYRAMID_EDGES, 14),
    "line3": CellType(1, 3, "line", _LINE, ((0, 1),), 21),
    "line4": CellType(1, 4, "line", _LINE, ((0, 1),), 35),
    "triangle6": CellType(2, 6, "triangle", _TRI, _TRI, 22),
    "triangle7": CellType(2, 7, "triangle", _TRI, _TRI, 34),
    "triangle10": CellType(2, 10, "triangle", _TRI, _TRI, 69),
    "quad8": CellType(2, 8, "quad", _QUAD, _QUAD, 23),
    "quad9": CellType(2, 9, "quad", _QUAD, _QUAD, 28),
    "quad16": CellType(2, 16, "quad", _QUAD, _QUAD, 70),
    "tetra10": CellType(3, 10, "tetra", _TET, _TET_EDGES, 24),
    "tetra20": CellType(3, 20, "tetra", _TET, _TET_EDGES, 71),
    "hexahedron20": CellType(3, 20, "hexahedron", _HEX, _HEX_EDGES, 25),
    "hexahedron24": CellType(3, 24, "hexahedron", _HEX, _HEX_EDGES, 33),
    "hexahedron27": CellType(3, 27, "hexahedron", _HEX, _HEX_EDGES, 29),
    "hexahedron64": CellType(3, 64, "hexahedron", _HEX, _HEX_EDGES, 72),
    "wedge15": CellType(3, 15, "wedge", _WEDGE, _WEDGE_EDGES, 26),
    "wedge18": CellType(3, 18, "wedge", _WEDGE, _WEDGE_EDGES, 32),
    "pyramid13": CellType(3, 13, "pyramid", _PYRAMID, _PYRAMID_EDGES, 27),
    "pyramid14": CellType(3, 14, "pyramid", _PYRAMID, _PYRAMID_EDGES, 74),
}.items():
    CELLS.add(_name)(_cell)

_SQUARE = ((0, 0), (1, 0), (1, 1), (0, 1))
_CORNER = ((0, 0), (1, 0), (0, 1))
REFERENCE: dict[str, tuple[tuple[int, ...], ...]] = {
    "vertex": ((),),
    "line": ((0,), (1,)),
    "triangle": _CORNER,
    "quad": _SQUARE,
    "tetra": ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "hexahedron": tuple((*xy, z) for z in (0, 1) for xy in _SQUARE),
    "wedge": tuple((*xy, z) for z in (0, 1) for xy in _CORNER),
    "pyramid": (*((*xy, 0) for xy in _SQUARE), (0, 0, 1)),
}
"""Vertices of the reference cells."""

SIMPLICES = ("vertex", "line", "triangle", "tetra")
"""The linear simplex of each dimension."""

KIND_OF_WIDTH = {1: "vertex", 2: "line", 3: "triangle", 4: "quad"}
"""The linear cell of a facet with so many corners."""
