"""Where the nodes of quadratic cells stand, as the corners whose mean they are, and what follows: rows renumbered."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from graphpde.mesh.cells import CELLS

_SIDES = ((0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7))
# nodes behind those of the edges, in the order of VTK; types of third order are not in this table
# Source: VTK, vtkQuadraticTriangle, vtkBiQuadraticQuad, vtkTriQuadraticHexahedron and their neighbours.
_INNER: dict[str, tuple[tuple[int, ...], ...]] = {
    "line3": (),
    "triangle6": (),
    "triangle7": ((0, 1, 2),),
    "quad8": (),
    "quad9": ((0, 1, 2, 3),),
    "tetra10": (),
    "hexahedron20": (),
    "hexahedron24": _SIDES,
    "hexahedron27": (
        *((0, 3, 4, 7), (1, 2, 5, 6), (0, 1, 4, 5), (2, 3, 6, 7), (0, 1, 2, 3), (4, 5, 6, 7)),
        tuple(range(8)),
    ),
    "wedge15": (),
    "wedge18": ((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    "pyramid13": (),
    "pyramid14": ((0, 1, 2, 3),),
}


@cache
def supports(kind: str) -> tuple[frozenset[int], ...] | None:
    """The corners whose mean each node of a cell is; None for types of third order."""
    cell = CELLS[kind]
    corners = tuple(frozenset([c]) for c in range(CELLS[cell.corners].nodes))
    if kind == cell.corners:
        return corners
    if kind not in _INNER:
        return None
    return (*corners, *map(frozenset, cell.edges), *map(frozenset, _INNER[kind]))


def columns(kind: str, corners: Sequence[int], alias: Sequence[int], target: str) -> list[int] | None:
    """Which nodes of a cell make the ``target`` cell whose corner j is corner ``corners[j]``; None if some are missing.

    Args:
        alias: for each corner of the given cell the first one on the same point.
    """
    given, wanted = supports(kind), supports(target)
    if given is None or wanted is None:
        return None
    # by size as well: the middle of a face that is drawn to a line or a triangle is not the middle of those
    known: dict[tuple[frozenset[int], int], int] = {}
    for number, support in enumerate(given):
        known.setdefault((frozenset(alias[c] for c in support), len(support)), number)
    asked = [(frozenset(alias[corners[c]] for c in support), len(support)) for support in wanted]
    return [known[key] for key in asked] if all(key in known for key in asked) else None
