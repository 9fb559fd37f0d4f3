"""The one table of gmsh element codes: number in the file, type name, nodes, node order.

Source: Gmsh reference manual, "MSH file format" and "Node ordering"; the permutations lead to the order of VTK.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Element(NamedTuple):
    """A gmsh element: type name, number of nodes and dimension."""

    kind: str
    nodes: int
    dim: int


ELEMENTS: dict[int, Element] = {
    1: Element("line", 2, 1),
    2: Element("triangle", 3, 2),
    3: Element("quad", 4, 2),
    4: Element("tetra", 4, 3),
    5: Element("hexahedron", 8, 3),
    6: Element("wedge", 6, 3),
    7: Element("pyramid", 5, 3),
    8: Element("line3", 3, 1),
    9: Element("triangle6", 6, 2),
    10: Element("quad9", 9, 2),
    11: Element("tetra10", 10, 3),
    12: Element("hexahedron27", 27, 3),
    13: Element("wedge18", 18, 3),
    14: Element("pyramid14", 14, 3),
    15: Element("vertex", 1, 0),
    16: Element("quad8", 8, 2),
    17: Element("hexahedron20", 20, 3),
    18: Element("wedge15", 15, 3),
    19: Element("pyramid13", 13, 3),
    20: Element("triangle9", 9, 2),
    21: Element("triangle10", 10, 2),
    22: Element("triangle12", 12, 2),
    23: Element("triangle15", 15, 2),
    25: Element("triangle21", 21, 2),
    26: Element("line4", 4, 1),
    27: Element("line5", 5, 1),
    28: Element("line6", 6, 1),
    29: Element("tetra20", 20, 3),
    30: Element("tetra35", 35, 3),
    31: Element("tetra56", 56, 3),
    36: Element("quad16", 16, 2),
    37: Element("quad25", 25, 2),
    38: Element("quad36", 36, 2),
    90: Element("wedge40", 40, 3),
    91: Element("wedge75", 75, 3),
    92: Element("hexahedron64", 64, 3),
    93: Element("hexahedron125", 125, 3),
}

# physical group of the cells that are in no set: some readers of .msh files want every element in a group
UNGROUPED = "(none)"

CODES = {element.kind: code for code, element in ELEMENTS.items()}

# column k of a row in VTK order is column ORDER[kind][k] of the row in the file; types not named agree
_ORDER = {
    "tetra10": [0, 1, 2, 3, 4, 5, 6, 7, 9, 8],
    "hexahedron20": [0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 13, 9, 16, 18, 19, 17, 10, 12, 14, 15],
    "hexahedron27": [
        *[0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 13, 9, 16, 18, 19, 17, 10, 12, 14, 15],
        *[22, 23, 21, 24, 20, 25, 26],
    ],
    "wedge15": [0, 1, 2, 3, 4, 5, 6, 9, 7, 12, 14, 13, 8, 10, 11],
    "wedge18": [0, 1, 2, 3, 4, 5, 6, 9, 7, 12, 14, 13, 8, 10, 11, 15, 17, 16],
    "pyramid13": [0, 1, 2, 3, 4, 5, 8, 10, 6, 7, 9, 11, 12],
    "pyramid14": [0, 1, 2, 3, 4, 5, 8, 10, 6, 7, 9, 11, 12, 13],
    # edges of third order run the other way here and there, and faces begin at other corners
    "quad16": [0, 1, 2, 3, 4, 5, 6, 7, 9, 8, 11, 10, 12, 13, 15, 14],
    "tetra20": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 10, 15, 14, 13, 12, 17, 19, 18, 16],
    "hexahedron64": [
        *[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 15, 19, 18, 10, 11, 24, 25, 28, 29, 31, 30],
        *[26, 27, 12, 13, 16, 17, 20, 21, 22, 23, 40, 43, 41, 42, 44, 45, 47, 46, 36, 37, 39, 38],
        *[49, 48, 50, 51, 32, 35, 33, 34, 52, 53, 55, 54, 56, 57, 59, 58, 60, 61, 63, 62],
    ],
}


def to_vtk(kind: str, nodes: np.ndarray) -> np.ndarray:
    """Rows of gmsh node numbers in the order of VTK [m, k]."""
    return nodes[:, _ORDER[kind]] if kind in _ORDER else nodes


def from_vtk(kind: str, nodes: np.ndarray) -> np.ndarray:
    """Rows in the order of VTK as gmsh wants them [m, k]."""
    return nodes[:, np.argsort(_ORDER[kind])] if kind in _ORDER else nodes
