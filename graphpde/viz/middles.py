"""Quadratic cells as pictures show them: every side with its middle node, every face in pieces between these."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.mesh import Mesh

_LINEAR_OR_CUBIC = ("triangle10", "quad16", "tetra20", "hexahedron64", "line4")

PIECES: dict[tuple[int, bool], tuple[tuple[int, ...], ...]] = {
    (3, False): ((0, 3, 5), (3, 1, 4), (5, 4, 2), (3, 4, 5)),
    (3, True): ((0, 3, 6), (3, 1, 6), (1, 4, 6), (4, 2, 6), (2, 5, 6), (5, 0, 6)),
    (4, False): ((0, 4, 7), (4, 1, 5), (5, 2, 6), (6, 3, 7), (4, 5, 6, 7)),
    (4, True): ((0, 4, 8, 7), (4, 1, 5, 8), (8, 5, 2, 6), (7, 8, 6, 3)),
}
"""Polygons between the nodes of a quadratic face: (corners, has a node in its middle) -> local numbers."""


class Middles:
    """The middle nodes of the sides of quadratic cells.

    Attributes:
        table: middle node and the two ends of its side [k, 3]; empty where all cells are linear.
    """

    def __init__(self, mesh: Mesh):
        found = []
        for kind, nodes in mesh.cells.items():
            corners, edges = CELLS[CELLS[kind].corners].nodes, np.array(CELLS[kind].edges).reshape(-1, 2)
            if kind in _LINEAR_OR_CUBIC or nodes.shape[1] < corners + len(edges) or not len(edges):
                continue
            cells = nodes.numpy()
            for k, (a, b) in enumerate(edges):
                found.append(np.stack([cells[:, corners + k], cells[:, a], cells[:, b]], 1))
        rows = np.concatenate(found) if found else np.zeros((0, 3), dtype=np.int64)
        self._n = mesh.n
        key, first = np.unique(self._key(rows[:, 1], rows[:, 2]), return_index=True)
        self._keys, self.table = key, rows[first]

    def __len__(self) -> int:
        return len(self.table)

    def _key(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.minimum(a, b) * self._n + np.maximum(a, b)

    def of(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The middle node of the side from a to b, -1 where it has none, any shape."""
        if not len(self.table):
            return np.full(np.shape(a), -1)
        key = self._key(a, b)
        at = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
        return np.where((self._keys[at] == key) & (np.minimum(a, b) >= 0), self.table[at, 0], -1)

    def halved(self, pairs: np.ndarray) -> np.ndarray:
        """Sides [k, 2] with those that have a middle node in two halves [k', 2], in order."""
        if not len(self.table) or not len(pairs):
            return pairs
        middle = self.of(pairs[:, 0], pairs[:, 1])
        there = middle >= 0
        halves = np.stack([np.stack([pairs[:, 0], middle], 1), np.stack([middle, pairs[:, 1]], 1)], 1)
        count = np.where(there, 2, 1)
        out = np.repeat(pairs, count, axis=0)
        first = np.cumsum(count) - count
        out[first[there]], out[first[there] + 1] = halves[there, 0], halves[there, 1]
        return out

    def completed(self, u: np.ndarray) -> np.ndarray:
        """Values [n], those of middle nodes that carry none filled in by the mean of their ends."""
        if not len(self.table):
            return u
        middle, a, b = self.table.T
        empty = np.isnan(u[middle])
        if not empty.any():
            return u
        out = u.copy()
        out[middle[empty]] = (u[a[empty]] + u[b[empty]]) / 2
        return out


class Faces(NamedTuple):
    """Faces in pieces.

    Attributes:
        rings: outlines through corners and middle nodes [m, w], padded with -1.
        pieces: triangles and quadrilaterals [k, 3..4], padded with -1. face: the face of each piece [k].
    """

    rings: np.ndarray
    pieces: np.ndarray
    face: np.ndarray


def faces_in_pieces(faces: np.ndarray, middles: Middles, centres: np.ndarray | None = None) -> Faces:
    """Polygons [m, 3..4] (-1 padded) cut between their middle nodes.

    Args:
        centres: node in the middle of each face [m], -1 = none. A face with a side that has no middle node stays whole.
    """
    if not len(middles):
        return Faces(faces, faces, np.arange(len(faces)))
    faces = np.pad(faces, ((0, 0), (0, 4 - faces.shape[1])), constant_values=-1)
    centres = np.full(len(faces), -1) if centres is None else centres
    width = (faces >= 0).sum(1)
    rings = np.full((len(faces), 8), -1)
    pieces, owner, whole = [], [], np.ones(len(faces), dtype=bool)
    for corners in (3, 4):
        mine = np.flatnonzero(width == corners)
        nodes = faces[mine, :corners]
        middle = middles.of(nodes, np.roll(nodes, -1, axis=1))
        done = (middle >= 0).all(1)
        mine, nodes, middle = mine[done], nodes[done], middle[done]
        whole[mine] = False
        rings[mine, : 2 * corners : 2], rings[mine, 1 : 2 * corners : 2] = nodes, middle
        for central in (False, True):
            rows = np.flatnonzero((centres[mine] >= 0) == central)
            local = np.concatenate([nodes[rows], middle[rows], centres[mine[rows], None]], 1)
            for part in PIECES[corners, central]:
                pieces.append(np.pad(local[:, part], ((0, 0), (0, 4 - len(part))), constant_values=-1))
                owner.append(mine[rows])
    rings[whole, :4] = faces[whole]
    pieces.append(faces[whole])
    owner.append(np.flatnonzero(whole))
    face = np.concatenate(owner)
    order = np.argsort(face, kind="stable")
    return Faces(rings, np.concatenate(pieces)[order], face[order])


def cell_centres(mesh: Mesh) -> np.ndarray:
    """The node in the middle of each two-dimensional cell [m], -1 = none."""
    out = []
    for kind, nodes in mesh.cells.items():
        place = {"triangle7": 6, "quad9": 8}.get(kind)
        out.append(np.full(len(nodes), -1) if place is None else nodes[:, place].numpy())
    return np.concatenate(out)
