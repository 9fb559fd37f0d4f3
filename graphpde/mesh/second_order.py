"""Cells with nodes in the middle of edges, faces and cells: what is missing is added, so that all are complete."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphpde.core.graph import TagSet
from graphpde.errors import MeshError
from graphpde.mesh.bends import bent
from graphpde.mesh.cells import CELLS
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.rows import grouped, sorted_rows

COMPLETE = {
    "line": "line3",
    "triangle": "triangle6",
    "quad": "quad9",
    "tetra": "tetra10",
    "hexahedron": "hexahedron27",
    "wedge": "wedge18",
}
"""Linear cell -> the one with all nodes of a (tensor-product) quadratic element."""

_HEX_FACES = ((0, 4, 7, 3), (1, 2, 6, 5), (0, 1, 5, 4), (3, 7, 6, 2), (0, 1, 2, 3), (4, 5, 6, 7))
_FACES = {"wedge": ((0, 1, 4, 3), (1, 2, 5, 4), (2, 0, 3, 5)), "hexahedron": _HEX_FACES}
_LOWER = ("line3", "triangle6", "triangle7", "quad8", "quad9", "tetra10", "hexahedron20", "hexahedron24")
SECOND_ORDER = frozenset((*_LOWER, "hexahedron27", "wedge15", "wedge18"))
"""Cell types that a complete quadratic element takes over with all their nodes."""


def _middles(linear: str) -> tuple[tuple[int, ...], ...]:
    edges = CELLS[linear].edges
    faces = _FACES.get(linear, ())
    centre = (tuple(range(CELLS[linear].nodes)),) if linear in ("quad", "hexahedron") else ()
    return (*edges, *faces, *centre)


MIDDLES: dict[str, tuple[tuple[int, ...], ...]] = {full: _middles(linear) for linear, full in COMPLETE.items()}
"""Complete cell -> for each node beyond the corners the corners that it lies between, in the order of VTK."""


def together(mesh: Mesh) -> bool:
    """Whether the blocks of cells with the same corners follow each other, so that they become one and keep numbers."""
    corners = [CELLS[kind].corners for kind in mesh.cells]
    return sum(1 for _ in groupby(corners)) == len(set(corners))


def turned(kind: str, corners: list[int]) -> list[int]:
    """The order of the nodes of a complete cell whose corners are taken in the order given."""
    place = {frozenset(between): k for k, between in enumerate(MIDDLES[kind])}
    first = len(corners)
    return corners + [first + place[frozenset(corners[c] for c in between)] for between in MIDDLES[kind]]


def facet_tables(kind: str) -> list[list[int]]:
    """Node numbers of each facet of a complete cell: corners, middles of its edges, centre of a quadrilateral."""
    cell = CELLS[kind]
    corners = CELLS[cell.corners].nodes
    place = {frozenset(between): corners + k for k, between in enumerate(MIDDLES[kind])}
    out = []
    for facet in cell.facets:
        if len(facet) == 1:
            out.append([*facet])
            continue
        pairs = [facet] if len(facet) == 2 else list(zip(facet, (*facet[1:], facet[0]), strict=True))
        centre = [place[frozenset(facet)]] if len(facet) == 4 else []
        out.append([*facet, *(place[frozenset(pair)] for pair in pairs), *centre])
    return out


def completed(mesh: Mesh) -> Mesh:
    """The mesh with every cell as a complete quadratic one; points that are there stay, missing ones are added behind.

    A missing middle of an edge is the mean of its ends, a missing centre the one that the edges give (the serendipity
    map), so cells without middles stay straight and those with them curved; where a generator has said that an edge
    stands for part of a circle, a sphere, ... (``mesh.bends``), its middle is moved there. Beside a quadratic cell a
    linear one takes over the middle of the common edge or face, and with it the curve: the mesh stays conforming. Both
    then stand in one block, linear triangles among the six-node ones. Where something is added, two cells with middles
    of their own on one edge (the sides of a slit) are joined there, at one of the two; a mesh without linear cells or
    missing nodes comes back as it is.

    Raises:
        MeshError: pyramids or cells of third order, which have no complete quadratic cell here; blocks of both orders
            that would have to swap places with others to become one.
    """
    for kind in mesh.cells:
        linear = CELLS[kind].corners
        if linear not in COMPLETE or (kind != linear and kind not in SECOND_ORDER):
            raise MeshError(
                f"'{mesh.name}' has {kind} cells, which carry no quadratic element here; use Q1, or convert them"
            )
    if set(mesh.cells) <= set(COMPLETE.values()):
        return mesh
    if not together(mesh):
        raise MeshError(
            f"'{mesh.name}' has blocks of cells with the same corners and others between ({', '.join(mesh.cells)}), so "
            f"that they cannot become one of second order; sort the blocks, or use P1 or Q1"
        )
    with torch.enable_grad():  # whether points are being learned must not depend on where the mesh is completed
        builder = _Builder(mesh)
        for width in (2, 4):
            builder.add_shared(width)
        return builder.build()


class _Builder:
    """Nodes of the cells, level by level: edges, faces, interiors."""

    def __init__(self, mesh: Mesh):
        self.mesh = mesh
        self.points = [mesh.points]
        self.count = mesh.n
        self.nodes = {kind: _laid_out(kind, nodes.numpy()) for kind, nodes in mesh.cells.items()}
        self.edges = (np.zeros((0, 2), dtype=np.int64), np.zeros(0, dtype=np.int64))  # ends and middle of each

    def add_shared(self, width: int) -> None:
        """Middles that neighbours share: of edges (width 2) and of quadrilateral faces (width 4)."""
        columns = [
            (kind, column, list(between))
            for kind in self.nodes
            for column, between in self._columns(kind)
            if len(between) == width and not _is_cell(kind, between)
        ]
        if not columns:
            return
        corners = np.concatenate([self.nodes[kind][:, between] for kind, _, between in columns])
        own = np.concatenate([self.nodes[kind][:, column] for kind, column, _ in columns])
        first, group, _ = grouped(sorted_rows(corners))
        point = np.full(len(first), -1)
        known = own >= 0
        point[group[known]] = own[known]
        new = np.flatnonzero(point < 0)
        point[new] = self.count + np.arange(len(new))
        self._append(self._places(corners[first[new]]))
        if width == 2:
            self.edges = corners[first], point
        start = 0
        for kind, column, _ in columns:
            size = len(self.nodes[kind])
            self.nodes[kind][:, column] = point[group[start : start + size]]
            start += size

    def build(self) -> Mesh:
        for kind in self.nodes:
            for column, between in self._columns(kind):
                missing = np.flatnonzero(self.nodes[kind][:, column] < 0)
                if _is_cell(kind, between) and len(missing):
                    rows = self.nodes[kind][missing]
                    self.nodes[kind][missing, column] = self.count + np.arange(len(missing))
                    self._append(self._centres(kind, rows))
        cells: dict[str, Tensor] = {}
        for kind, nodes in self.nodes.items():
            full, found = COMPLETE[CELLS[kind].corners], torch.from_numpy(nodes)
            cells[full] = torch.cat([cells[full], found]) if full in cells else found
        mesh = self.mesh
        points = torch.cat(self.points)
        data = {name: self._extended(values) for name, values in mesh.point_data.items() if values.is_floating_point()}
        more: dict[str, Any] = {"point_data": data, "cell_data": mesh.cell_data, "tags": mesh.tags, "name": mesh.name}
        return Mesh(points, cells, warnings=lambda: mesh.warnings, **more)

    def _columns(self, kind: str) -> list[tuple[int, tuple[int, ...]]]:
        full = COMPLETE[CELLS[kind].corners]
        first = CELLS[CELLS[kind].corners].nodes
        return [(first + k, between) for k, between in enumerate(MIDDLES[full])]

    def _append(self, points: Tensor) -> None:
        self.points.append(points)
        self.count += len(points)

    def _places(self, corners: np.ndarray) -> Tensor:
        """Where the middles of edges [k, 2] or the centres of faces [k, 4] lie."""
        points = torch.cat(self.points)
        x = points[torch.from_numpy(corners)]
        if corners.shape[1] == 2:
            return bent(self.mesh.bends, corners, x.mean(1))
        pairs = np.concatenate([corners[:, [k, (k + 1) % 4]] for k in range(4)])
        sides = points[torch.from_numpy(_looked_up(*self.edges, pairs))].unflatten(0, (4, -1))
        return bent(self.mesh.bends, corners, sides.sum(0) / 2 - x.sum(1) / 4)

    def _centres(self, kind: str, nodes: np.ndarray) -> Tensor:
        """The centre of cells from their corners and the middles of their edges (the serendipity map)."""
        cell = CELLS[CELLS[kind].corners]
        points = torch.cat(self.points)
        x = points[torch.from_numpy(nodes[:, : cell.nodes])]
        sides = points[torch.from_numpy(nodes[:, cell.nodes : cell.nodes + len(cell.edges)])]
        return sides.sum(1) / (2 if cell.dim == 2 else 4) - x.sum(1) / 4

    def _extended(self, values: Tensor) -> Tensor:
        """Point data with the values of the new points: means over the corners they lie between."""
        out = torch.full((self.count, *values.shape[1:]), float("nan"), dtype=values.dtype)
        out[: self.mesh.n] = values
        for kind, nodes in self.nodes.items():
            for column, between in self._columns(kind):
                new = nodes[:, column] >= self.mesh.n
                rows = torch.from_numpy(nodes[new][:, list(between)])
                out[torch.from_numpy(nodes[new, column])] = out[rows].mean(1)
        return out


def nodes_of(mesh: Mesh, tag: TagSet) -> Tensor:
    """All nodes of the entities of a set [k], those in their middle included; every cell is complete."""
    if tag.dim == mesh.dim:
        found, start = [tag.nodes], 0
        for nodes in mesh.cells.values():
            mine = tag.ids[(tag.ids >= start) & (tag.ids < start + len(nodes))] - start
            found.append(nodes[mine].reshape(-1))
            start += len(nodes)
        return torch.unique(torch.cat(found))
    if tag.dim < 1 or not len(tag.ids):
        return tag.nodes
    corners = mesh.entities(tag.dim).nodes[tag.ids].numpy()
    width = (corners >= 0).sum(1)
    pairs, faces = [], [corners[width == 4][:, :4]] if corners.shape[1] == 4 else []
    for size in np.unique(width):
        rows = corners[width == size][:, :size]
        pairs += [rows[:, [k, (k + 1) % size]] for k in (range(size) if size > 2 else range(1))]
    middles = [_found(mesh, 2, np.concatenate(pairs)), *(_found(mesh, 4, rows) for rows in faces if len(rows))]
    return torch.unique(torch.cat([tag.nodes, *map(torch.from_numpy, middles)]))


def _found(mesh: Mesh, width: int, asked: np.ndarray) -> np.ndarray:
    """The middle point of each edge [k, 2] or face [k, 4] of a mesh of complete cells."""
    corners, points = [], []
    for kind, nodes in mesh.cells.items():
        first = CELLS[CELLS[kind].corners].nodes
        for k, between in enumerate(MIDDLES[kind]):
            if len(between) == width:
                corners.append(nodes[:, list(between)].numpy())
                points.append(nodes[:, first + k].numpy())
    return _looked_up(np.concatenate(corners), np.concatenate(points), asked)


def _looked_up(corners: np.ndarray, points: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The point that belongs to each row of corners asked for, in any order."""
    _, group, _ = grouped(sorted_rows(np.concatenate([corners, asked])))
    at = np.full(int(group.max(initial=0)) + 1, -1)
    at[group[: len(corners)]] = points
    return at[group[len(corners) :]]


def _is_cell(kind: str, between: tuple[int, ...]) -> bool:
    """Whether a node lies inside its cell, so that no neighbour has it."""
    cell = CELLS[CELLS[kind].corners]
    return len(between) == cell.nodes and cell.dim > 1


def _laid_out(kind: str, nodes: np.ndarray) -> np.ndarray:
    """The nodes [m, k] in the places of the complete cell, -1 where there is none."""
    linear = CELLS[kind].corners
    full = CELLS[COMPLETE[linear]].nodes
    out = np.full((len(nodes), full), -1, dtype=np.int64)
    # the middles of some faces alone would not fit beside cells without them
    partly = kind in ("triangle7", "hexahedron24")
    kept = CELLS[linear].nodes + len(CELLS[linear].edges) if partly else nodes.shape[1]
    out[:, :kept] = nodes[:, :kept]
    return out
