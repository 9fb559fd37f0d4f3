"""Where the points of an MFEM mesh are: listed, halfway between parents, or in a grid function of an H1 space.

Source: MFEM, fem/fe_coll.cpp and fem/fespace.cpp: the unknowns of an H1 space are those of the vertices, then of the
edges, faces and cells; "Ordering: 1" stores the components of an unknown side by side, 0 all first components first.
"""

from __future__ import annotations

import re

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.raw import Unreadable, numbers, positions

_H1 = re.compile(r"H1(?:Pos|@.)?_\dD_P(\d{1,2})$")
_NAMED = {"Linear": 1, "Quadratic": 2, "QuadraticPos": 2, "Cubic": 3}
_HEAD = ("FiniteElementSpace", "FiniteElementCollection:", "VDim:", "Ordering:")


def coordinates(lines: list[str], name: str) -> np.ndarray:
    """A count n, a dimension d and rows [n, d].

    Raises:
        Unreadable: the numbers are not as many as these two say.
    """
    values = numbers(" ".join(lines), np.float64, f"section '{name}'")
    if len(values) < 2 or values[1] not in (1, 2, 3) or values[0] % 1 or len(values) != 2 + values[0] * values[1]:
        got = max(len(values) - 2, 0)
        raise Unreadable(f"section '{name}' has {got} coordinates and does not declare as many")
    return values[2:].reshape(int(values[0]), int(values[1]))


def midpoints(top: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """All points of a refinement tree: those at the top [k, d] and those halfway between two others.

    Args:
        parents: rows of number and two parents [m, 3], in any order.

    Raises:
        Unreadable: a point is defined twice or never, or by itself.
    """
    n = len(top) + len(parents)
    ids = np.concatenate([np.arange(len(top)), parents[:, 0]])
    positions(ids, np.arange(n), "point")
    if parents.size and (parents[:, 1:].min() < 0 or parents[:, 1:].max() >= n):
        raise Unreadable(f"a point lies between others that are not in 0..{n - 1}")
    points = np.full((n, top.shape[1]), np.nan)
    known = np.zeros(n, dtype=bool)
    points[: len(top)], known[: len(top)] = top, True
    open_rows = parents
    while len(open_rows):  # one round for each level of refinement
        ready = known[open_rows[:, 1:]].all(1)
        if not ready.any():
            raise Unreadable(f"{len(open_rows)} points lie between others in a circle")
        rows = open_rows[ready]
        points[rows[:, 0]] = (points[rows[:, 1]] + points[rows[:, 2]]) / 2
        known[rows[:, 0]] = True
        open_rows = open_rows[~ready]
    return points


def curved(lines: list[str], cells: list[tuple[str, np.ndarray]], count: int) -> tuple[np.ndarray, int]:
    """Positions of the vertices [count, d] in a grid function of an H1 space, and its order.

    Raises:
        Unreadable: another space, or not as many numbers as it has unknowns.
    """
    words = [line.split() for line in lines[:4]]
    if [row[0] for row in words if row] != list(_HEAD) or any(len(row) != 2 for row in words[1:]):
        raise Unreadable("its section 'nodes' does not begin with space, collection, VDim and Ordering")
    space = words[1][1]
    match = _H1.match(space)
    order = int(match[1]) if match else _NAMED.get(space, 0)
    if order < 1:
        raise Unreadable(
            f"its points stand in the space {space}; only those of continuous H1 spaces are read, save it as .vtu"
        )
    dim, ordering = numbers(f"{words[2][1]} {words[3][1]}", np.int64, "VDim and Ordering").tolist()
    values = numbers(" ".join(lines[4:]), np.float64, "section 'nodes'")
    total = _unknowns(cells, count, order)
    if dim not in (1, 2, 3) or ordering not in (0, 1) or len(values) != dim * total:
        raise Unreadable(
            f"section 'nodes' has {len(values)} numbers, expected {dim} for each of the {total} unknowns of {space}"
        )
    table = values.reshape(total, dim) if ordering else values.reshape(dim, total).T
    return table[:count], order


def _unknowns(cells: list[tuple[str, np.ndarray]], count: int, order: int) -> int:
    """How many unknowns an H1 space of this order has."""
    used = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *(nodes.reshape(-1) for _, nodes in cells)]))
    if len(used) != count or (count and (used[0] != 0 or used[-1] != count - 1)):
        raise Unreadable(f"its cells use {len(used)} of {count} vertices, expected all as its points are unknowns")
    if order > 1 and any(kind == "pyramid" for kind, _ in cells):
        raise Unreadable("its pyramids are curved; save it from MFEM as .vtu")
    k = order - 1
    edges = [nodes[:, list(CELLS[kind].edges)].reshape(-1, 2) for kind, nodes in cells]
    total = count + k * _distinct(edges)
    solids = [(CELLS[kind].facets, nodes) for kind, nodes in cells if CELLS[kind].dim == 3]
    triangle, quad = k * (k - 1) // 2, k * k
    for width, each in ((3, triangle), (4, quad)):
        total += each * _distinct([nodes[:, list(f)] for facets, nodes in solids for f in facets if len(f) == width])
    inner = {"triangle": triangle, "quad": quad, "tetra": triangle * (k - 2) // 3}
    inner |= {"hexahedron": k**3, "wedge": k * triangle}
    return total + sum(inner.get(kind, 0) * len(nodes) for kind, nodes in cells)


def _distinct(rows: list[np.ndarray]) -> int:
    """Number of rows that differ as sets."""
    return len(np.unique(np.sort(np.concatenate(rows), axis=1), axis=0)) if rows else 0
