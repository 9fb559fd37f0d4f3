"""Which cells stand the wrong way round, and turning them.

In the plane and in space the sign of the measure tells. Surfaces in 3-D have no sign: their cells are made to agree
with their neighbours across edges that two cells share, and closed parts to look outward.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.mesh.cells import CELLS
from graphpde.mesh.geometry import signed_measures
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.node_supports import columns
from graphpde.mesh.repair.traced import Block, TracedCells

# reflections: corner c of the turned cell is corner _REFLECTED[c] of the given one
_REFLECTED: dict[str, tuple[int, ...]] = {
    "line": (1, 0),
    "triangle": (0, 2, 1),
    "quad": (0, 3, 2, 1),
    "tetra": (0, 2, 1, 3),
    "hexahedron": (0, 3, 2, 1, 4, 7, 6, 5),
    "wedge": (0, 2, 1, 3, 5, 4),
    "pyramid": (0, 3, 2, 1, 4),
}
_FLAT = 1e-12  # volume of a closed surface over area ** 1.5 below which it has no inside


class Winding(NamedTuple):
    """What is to be turned.

    Attributes:
        wrong: cells [m]. one_sided: cells of parts that no choice makes agree (a Moebius strip) [m].
        parts: how many such parts there are. inner: how many closed parts lie inside another and look inward.
    """

    wrong: Tensor
    one_sided: Tensor
    parts: int
    inner: int


def winding(mesh: Mesh) -> Winding:
    """Cells that stand the wrong way round; none for curves in the plane or in space."""
    none = torch.zeros(mesh.n_cells, dtype=torch.bool)
    if mesh.dim == mesh.space_dim:
        return Winding(signed_measures(mesh) < 0, none, 0, 0)
    if mesh.dim == 2:
        return _surface(mesh)
    return Winding(none, none, 0, 0)


def turned(cells: TracedCells, wrong: Tensor) -> tuple[TracedCells, Tensor]:
    """The cells with those in ``wrong`` [m] turned over, and which of them could not be: types of third order [m]."""
    blocks, kept = [], []
    for (kind, nodes, origin), rows in zip(cells.blocks, wrong.split([len(b.nodes) for b in cells.blocks])):
        corners = _REFLECTED[CELLS[kind].corners] if CELLS[kind].dim else (0,)
        order = columns(kind, corners, range(len(corners)), kind)
        kept.append(rows if order is None else torch.zeros_like(rows))
        new = nodes if order is None else torch.where(rows[:, None], nodes[:, order], nodes)
        blocks.append(Block(kind, new, origin))
    return TracedCells(tuple(blocks)), torch.cat(kept)


def _surface(mesh: Mesh) -> Winding:
    """Neighbours that agree, by the double cover: every cell twice, once each way round.

    A part that can be oriented falls into two sheets there, and choosing one of them orients it.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    m = mesh.n_cells
    one, two, agree, open_edges = _pairs(mesh)
    other = np.where(agree, two, two + m), np.where(agree, two + m, two)
    rows, columns_ = np.concatenate([one, one + m]), np.concatenate(other)
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns_)), shape=(2 * m, 2 * m))
    _, sheet = connected_components(graph, directed=False)
    part = np.minimum(sheet[:m], sheet[m:])
    twisted = sheet[:m] == sheet[m:]
    wrong = (sheet[:m] != part) & ~twisted
    _, part = np.unique(part, return_inverse=True)
    wrong ^= (2 * np.bincount(part, wrong) > np.bincount(part))[part]  # the majority keeps its side
    closed = np.ones(part.max() + 1, dtype=bool)
    closed[part[open_edges]] = False
    closed[part[twisted]] = False
    invert, inner = _inward(mesh, part, wrong, closed)
    wrong ^= invert[part]
    return Winding(torch.from_numpy(wrong), torch.from_numpy(twisted), len(np.unique(part[twisted])), inner)


def _pairs(mesh: Mesh) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Neighbours across manifold edges, whether they run along the edge in opposite directions, cells at others."""
    ends, owner, _ = mesh.local_entities(1)
    low, high = ends.min(1), ends.max(1)
    order = np.lexsort((high, low))
    low, high, owner, forward = low[order], high[order], owner[order], (ends[:, 0] < ends[:, 1])[order]
    first = np.flatnonzero(np.concatenate([[True], (low[1:] != low[:-1]) | (high[1:] != high[:-1])]))
    count = np.diff(np.append(first, len(low)))
    at = first[count == 2]
    single = np.repeat(count != 2, count)
    return owner[at], owner[at + 1], forward[at] != forward[at + 1], owner[single]


def _inward(mesh: Mesh, part: np.ndarray, wrong: np.ndarray, closed: np.ndarray) -> tuple[np.ndarray, int]:
    """Closed parts that look inward and lie in no other one [parts], and how many lie in another.

    A part inside another one may be the wall of a cavity, where inward is right: it keeps the side of its majority.
    """
    triangles, owner = _triangles(mesh)
    x = mesh.points.detach().numpy()
    _, first = np.unique(part, return_index=True)
    base = x[mesh.entities(2).nodes[:, 0].numpy()[first]][part[owner]]  # near the part: no digits are lost far away
    corners = x[triangles] - base[:, None]
    vector = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 2
    sign = np.where(wrong, -1.0, 1.0)[owner]
    volume = np.bincount(part[owner], sign * (corners[:, 0] * vector).sum(1) / 3, len(closed))
    area = np.bincount(part[owner], np.linalg.norm(vector, axis=1), len(closed))
    inward = closed & (volume < -_FLAT * area**1.5)
    low, high = np.full((len(closed), 3), np.inf), np.full((len(closed), 3), -np.inf)
    for k in range(3):
        np.minimum.at(low, part[owner], x[triangles[:, k]])
        np.maximum.at(high, part[owner], x[triangles[:, k]])
    rows = np.argsort(part[owner], kind="stable")
    stops = np.searchsorted(part[owner][rows], np.arange(len(closed) + 1))
    inner = 0
    for number in np.flatnonzero(inward):
        around = closed & (low < low[number]).all(1) & (high > high[number]).all(1)
        probe = x[triangles[rows[stops[number]]]].mean(0)
        turns = (_turns_around(x[triangles[rows[stops[b] : stops[b + 1]]]] - probe) for b in np.flatnonzero(around))
        if any(abs(turn) > 0.5 for turn in turns):
            inward[number], inner = False, inner + 1
    return inward, inner


def _triangles(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Triangles [k, 3] and the cell of each; quadrilaterals count as two along their first diagonal."""
    nodes = mesh.entities(2).nodes.numpy()
    if nodes.shape[1] == 3:
        return nodes, np.arange(len(nodes))
    four = np.flatnonzero(nodes[:, 3] >= 0)
    both = np.concatenate([nodes[:, :3], nodes[four][:, [0, 2, 3]]])
    return both, np.concatenate([np.arange(len(nodes)), four])


def _turns_around(corners: np.ndarray) -> float:
    """How often triangles [k, 3, 3] wind round the origin: their solid angle over 4 pi.

    Source: van Oosterom and Strackee 1983, IEEE Trans. Biomed. Eng. 30(2), 125-126.
    """
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    la, lb, lc = (np.linalg.norm(v, axis=1) for v in (a, b, c))
    over = (a * np.cross(b, c)).sum(1)
    under = la * lb * lc + (a * b).sum(1) * lc + (b * c).sum(1) * la + (c * a).sum(1) * lb
    return float(np.arctan2(over, under).sum() / (2 * np.pi))
