"""Where the nodes of a cell lie, written as the corners whose middle they are; from one order of nodes to another."""

from __future__ import annotations

_HEX = "0 1 2 3 4 5 6 7 01 12 23 03 45 56 67 47 04 15 26 37"
_WEDGE = "0 1 2 3 4 5 01 12 02 34 45 35 03 14 25"
_PYRAMID = "0 1 2 3 4 01 12 23 03 04 14 24 34"
# the order of this library, by type; curved cells of higher order are not told by middles
WORDS = {
    "tetra": "0 1 2 3",
    "tetra10": "0 1 2 3 01 12 02 03 13 23",
    "pyramid": "0 1 2 3 4",
    "pyramid13": _PYRAMID,
    "pyramid14": _PYRAMID + " 0123",
    "wedge": "0 1 2 3 4 5",
    "wedge15": _WEDGE,
    "wedge18": _WEDGE + " 0134 1245 0235",
    "hexahedron": "0 1 2 3 4 5 6 7",
    "hexahedron20": _HEX,
    "hexahedron27": _HEX + " 0347 1256 0145 2367 0123 4567 01234567",
}


def columns(kind: str, theirs: str, corners: tuple[int, ...] | None = None) -> list[int]:
    """For each node of this library's order the column in which another order has it.

    Args:
        theirs: the other order in words. corners: our corner k is their corner ``corners[k]``, if not the same.
    """
    place = {frozenset(word): column for column, word in enumerate(theirs.split())}
    renamed = {str(k): str(corner) for k, corner in enumerate(corners or range(8))}
    return [place[frozenset(renamed[digit] for digit in word)] for word in WORDS[kind].split()]
