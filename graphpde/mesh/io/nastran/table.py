"""The element entries of Nastran bulk data: their cell types, where their fields stand, the order of their points."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np

from graphpde.mesh.cells import CELLS


class Element(NamedTuple):
    """An element entry: its linear type, the field of its property or -1, the field of its first point."""

    kind: str
    group: int
    first: int


class Deck(NamedTuple):
    """What a deck lists.

    Attributes:
        ids, points, systems: numbers [n], coordinates [n, 3] and coordinate systems [n] of the points.
        rows, groups: by type, in the order of the file: points [m, k] and property number [m] of the cells.
        lost: entries of elements without a cell type here. left: the lines of entries that were not looked at.
    """

    ids: np.ndarray
    points: np.ndarray
    systems: np.ndarray
    rows: dict[str, np.ndarray]
    groups: dict[str, np.ndarray]
    lost: Counter[str]
    left: list[str]


ELEMENTS = {
    **{name: Element("triangle", 1, 2) for name in ("CTRIA3", "CTRIAR", "CTRIA6", "CTRAX3", "CPLSTN3", "CPLSTS3")},
    **{name: Element("quad", 1, 2) for name in ("CQUAD4", "CQUADR", "CQUAD8", "CQUAD", "CSHEAR", "CPLSTN4", "CPLSTS4")},
    **{name: Element("line", 1, 2) for name in ("CROD", "CTUBE", "CBAR", "CBEAM", "CBEND")},
    **{name: Element("pyramid", 1, 2) for name in ("CPYRAM", "CPYRA")},
    "CTETRA": Element("tetra", 1, 2),
    "CPENTA": Element("wedge", 1, 2),
    "CHEXA": Element("hexahedron", 1, 2),
    "CONROD": Element("line", -1, 1),
}
HIGHER = {
    **{"triangle": ("triangle6", 6), "quad": ("quad8", 8), "tetra": ("tetra10", 10), "pyramid": ("pyramid13", 13)},
    **{"wedge": ("wedge15", 15), "hexahedron": ("hexahedron20", 20)},
}
# upright edges come before the top ones
ORDER = {"hexahedron20": [*range(12), 16, 17, 18, 19, 12, 13, 14, 15], "wedge15": [*range(9), 12, 13, 14, 9, 10, 11]}
# entries that begin like elements and are no cells, silently; others are named
OTHERS = ("CORD", "CONM", "CONV", "CAERO", "CSET", "CMASS", "CDAMP", "CHBDY", "CYJOIN", "CASECC", "CSUPER", "CYSYM")


def is_lost(name: str) -> bool:
    """Whether an entry is an element without a cell type here."""
    return name[:1] == "C" and name not in ELEMENTS and not name.startswith(OTHERS)


def can_be_higher(name: str, kind: str) -> bool:
    """Whether an entry of this linear type has its mid-side points behind the corners."""
    return kind in HIGHER and (CELLS[kind].dim == 3 or name in ("CTRIA6", "CQUAD8"))
