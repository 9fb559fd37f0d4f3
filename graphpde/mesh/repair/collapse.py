"""Cells that name a point twice: the simpler cell that they are, or nothing.

A quadrilateral with a side of no length is a triangle, a hexahedron with a face drawn to an edge a wedge, and so on
down to tetrahedra. Mid-side nodes go along. A solid for whose shape there is no type (a hexahedron with one edge drawn
to a point) keeps it, unless it has no volume.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.mesh.cells import CELLS
from graphpde.mesh.check import flat_cells
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.node_supports import columns
from graphpde.mesh.repair.traced import Block, TracedCells

# groups of corners on one point, what remains, and its corners; the images under rotation belong to the table
_PATTERNS: dict[str, tuple[tuple[tuple[tuple[int, ...], ...], str, tuple[int, ...]], ...]] = {
    "quad": ((((2, 3),), "triangle", (0, 1, 2)),),
    "pyramid": ((((0, 1),), "tetra", (0, 2, 3, 4)),),
    "wedge": (
        (((3, 4, 5),), "tetra", (0, 1, 2, 3)),
        (((0, 3),), "pyramid", (1, 4, 5, 2, 0)),
    ),
    "hexahedron": (
        (((2, 3), (6, 7)), "wedge", (0, 1, 2, 4, 5, 6)),
        (((4, 5, 6, 7),), "pyramid", (0, 1, 2, 3, 4)),
    ),
}
_ROTATIONS: dict[str, tuple[tuple[int, ...], ...]] = {
    "quad": ((1, 2, 3, 0),),
    "pyramid": ((1, 2, 3, 0, 4),),
    "wedge": ((1, 2, 0, 4, 5, 3), (3, 5, 4, 0, 2, 1)),
    "hexahedron": ((1, 2, 3, 0, 5, 6, 7, 4), (3, 2, 6, 7, 0, 1, 5, 4)),
}


class Simpler(NamedTuple):
    """Cells without those that name a point twice.

    Attributes:
        cells: what there is now. became: how many of which type became which. gone: how many were dropped.
        left: how many keep their two equal corners. which: the given cells that name a point twice [k].
    """

    cells: TracedCells
    became: Counter[tuple[str, str]]
    gone: int
    left: int
    which: Tensor


def simpler(cells: TracedCells, points: Tensor) -> Simpler:
    """Replace every cell that names a point twice by the one that it really is."""
    parts: list[Block] = []
    became: Counter[tuple[str, str]] = Counter()
    which, gone, left = [], 0, 0
    for kind, nodes, origin in cells.blocks:
        corners = nodes[:, : CELLS[CELLS[kind].corners].nodes].numpy()
        ordered = np.sort(corners, axis=1)
        twice = (ordered[:, 1:] == ordered[:, :-1]).any(1)
        parts.append(Block(kind, nodes[~twice], origin[~twice]))
        which.append(origin[twice])
        rows = np.flatnonzero(twice)
        alias = (corners[rows][:, :, None] == corners[rows][:, None, :]).argmax(1)
        shapes, group = np.unique(alias, axis=0, return_inverse=True)
        for number, shape in enumerate(shapes):
            mine = torch.from_numpy(rows[group.reshape(-1) == number])
            found = _simpler_type(kind, tuple(shape.tolist()))
            if found is not None:
                parts.append(Block(found[0], nodes[mine][:, found[1]], origin[mine]))
                became[kind, found[0]] += len(mine)
                continue
            if CELLS[kind].dim == 3:
                whole = mine[~flat_cells(Mesh(points, {kind: nodes[mine]}))]
                parts.append(Block(kind, nodes[whole], origin[whole]))
                left, mine = left + len(whole), mine[len(whole) :]
            gone += len(mine)
    return Simpler(TracedCells.joined(parts, cells.kinds), became, gone, left, torch.cat(which))


@cache
def _simpler_type(kind: str, alias: tuple[int, ...]) -> tuple[str, list[int]] | None:
    """The type of a cell whose corner c is on the point of corner alias[c], and which of its nodes make it."""
    found = _table(CELLS[kind].corners).get(alias)
    if found is None:
        return None
    linear, corners = found
    order = [linear] if kind == CELLS[kind].corners else [t for t in CELLS if CELLS[t].corners == linear != t]
    for target in sorted(order, key=lambda t: -CELLS[t].nodes):
        nodes = columns(kind, corners, alias, target)
        if nodes is not None:
            return target, nodes
    return None


@cache
def _table(kind: str) -> dict[tuple[int, ...], tuple[str, tuple[int, ...]]]:
    """For each pattern of equal corners the type that remains and its corners."""
    out: dict[tuple[int, ...], tuple[str, tuple[int, ...]]] = {}
    for turn in _turns(kind):
        for groups, target, corners in _PATTERNS.get(kind, ()):
            same = list(range(CELLS[kind].nodes))
            for group in groups:
                for c in group:
                    same[turn[c]] = min(turn[g] for g in group)
            remaining = tuple(turn[c] for c in corners)
            out.setdefault(tuple(same), (target, remaining))
            for inner, (last, chosen) in _table(target).items():  # what remains may be simpler still
                onto = {same[c]: same[remaining[k]] for c, k in zip(remaining, inner)}
                joined = [onto[c] for c in same]
                key = tuple(joined.index(c) for c in joined)
                out.setdefault(key, (last, tuple(remaining[c] for c in chosen)))
    return out


@cache
def _turns(kind: str) -> list[tuple[int, ...]]:
    """All rotations of a cell: corner c goes to turn[c]."""
    found = [tuple(range(CELLS[kind].nodes))]
    for turn in found:
        for by in _ROTATIONS.get(kind, ()):
            new = tuple(turn[c] for c in by)
            if new not in found:
                found.append(new)
    return found
