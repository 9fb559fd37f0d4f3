"""Point location: the cell that holds a point, its weights at the corners, the nearest cell for points outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.errors import MeshError
from graphpde.mesh.box_tree import BoxTree
from graphpde.mesh.closest import closest, within
from graphpde.mesh.mesh import Mesh
from graphpde.typing import check_shape

_ROUNDING = 64 * np.finfo(np.float64).eps  # times the largest coordinate: closer than this is in the cell
_CURVED = 0.25  # a point this far from a cell of a curve or surface, in sizes of the cell, still belongs to it

_RELATIVE = 1e-12  # distances that differ by less are equal

_Rule = Callable[[str, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class Location(NamedTuple):
    """Where points lie in a mesh.

    Attributes:
        cells: the cell that holds the point, else the nearest one within reach, else -1 [q].
        nodes: corners of that cell [q, w], padded with -1.
        weights: shape functions at the point (outside: at the nearest point of the cell), >= 0 with sum 1 [q, w]; they
            are barycentric coordinates on simplices. 0 where there is no cell.
        distance: from the point to the cell [q]; 0 in a cell of full dimension, infinite where there is none.
        inside: whether the point belongs to the cell [q].
    """

    cells: Tensor
    nodes: Tensor
    weights: Tensor
    distance: Tensor
    inside: Tensor


def locate(mesh: Mesh, points: Tensor, *, reach: float | None = None) -> Location:
    """Where points [q, d] lie in a mesh; keep a :class:`Locator` for more than one question."""
    return Locator(mesh).locate(points, reach=reach)


class Locator:
    """A mesh prepared for point location: a tree over the boxes round its cells.

    A point belongs to a cell of full dimension if it lies in it, up to rounding; to a cell of a curve or surface in a
    higher-dimensional space if it lies within a quarter of the cell's size from it, for such meshes only approximate
    what they stand for. Of several cells the nearest is taken, of equally near ones (on a shared facet) the one with
    the lowest number. Quadratic cells are taken at their vertices. Cells may overlap; one without size
    holds only points that no other cell holds.

    Args:
        mesh: cells of dimension 1 to 3.

    Raises:
        MeshError: a mesh of single points.
    """

    def __init__(self, mesh: Mesh):
        if mesh.dim == 0:
            raise MeshError(f"'{mesh.name}' is made of points, in which nothing can lie; expected lines or more")
        self.mesh = mesh
        self._points = mesh.points.detach().numpy()
        self._blocks = [(kind, nodes.numpy(), start) for kind, nodes, start in mesh.corners()]
        corners = [self._points[nodes] for _, nodes, _ in self._blocks]
        low = np.concatenate([x.min(1) for x in corners])
        high = np.concatenate([x.max(1) for x in corners])
        self._tree = BoxTree(low, high)
        self._width = max(nodes.shape[1] for _, nodes, _ in self._blocks)
        self._rounding = float(_ROUNDING * max(np.abs(low).max(), np.abs(high).max()))
        self._slack = np.full(len(low), self._rounding)
        if mesh.dim < mesh.space_dim:
            self._slack = np.maximum(self._slack, _CURVED * (high - low).max(1))

    def locate(self, points: Tensor, *, reach: float | None = None) -> Location:
        """Where points [q, d] lie.

        Args:
            reach: longest distance to the nearest cell for points that belong to none; ``math.inf`` always gives one.
                None: only points that belong to a cell get one.

        Raises:
            ShapeError: points that do not fit the mesh. MeshError: points that are not finite, a negative reach.
        """
        if not isinstance(points, Tensor):
            points = torch.as_tensor(points, dtype=torch.float64)
        points = check_shape(points, "q d", "points", d=self.mesh.space_dim)
        x = points.detach().to("cpu", torch.float64).numpy()
        if not np.isfinite(x).all():
            bad = np.flatnonzero(~np.isfinite(x).all(1))
            raise MeshError(f"{len(bad)} of the points to locate are not finite, first {bad[:3].tolist()}")
        if reach is not None and not reach >= 0:
            raise MeshError(f"reach is {reach}, expected a distance >= 0 or None")
        found = _Found(len(x), self._width, self._rounding)
        for point, cell, _ in self._tree.near(x, np.full(len(x), self._rounding)):
            weights, distance = self._measured(within, x[point], cell)
            held = np.flatnonzero(distance <= self._rounding)
            found.take(point[held], cell[held], weights[held], distance[held])
        self._search_nearest(x, float(self._slack.max()) if reach is None else reach, found)
        inside = (found.cells >= 0) & (found.distance <= self._slack[found.cells])
        if reach is None:
            found.drop(~inside)
        nodes = self._nodes(found.cells)
        parts = (found.cells, nodes, found.weights, found.distance, inside)
        return Location(*(torch.from_numpy(part) for part in parts))

    def _search_nearest(self, x: np.ndarray, reach: float, found: _Found) -> None:
        """The nearest cell of each point that has none yet, if it is no farther than ``reach``."""
        rows = np.flatnonzero(found.cells < 0)
        if not len(rows):
            return
        from scipy.spatial import cKDTree

        away, _ = cKDTree(self._points[self.mesh.used_points.numpy()]).query(x[rows])  # some cell is no farther
        radius = np.minimum(away, reach) * (1 + _RELATIVE) + self._rounding
        for point, cell, square in self._tree.near(x[rows], radius):
            # the cell in the nearest box is seldom far from the nearest: it rules most of the others out
            order = np.lexsort([square, point])
            first, group = _first_of_each(point[order])
            first = order[first]
            weights, distance = np.zeros((len(point), self._width)), np.full(len(point), np.inf)
            weights[first], distance[first] = self._measured(closest, x[rows[point[first]]], cell[first])
            bound = np.minimum(distance[first] * (1 + _RELATIVE) + self._rounding, radius[point[first]])
            rest = order[square[order] <= bound[group] ** 2]
            rest = rest[~np.isin(rest, first)]
            weights[rest], distance[rest] = self._measured(closest, x[rows[point[rest]]], cell[rest])
            kept = np.flatnonzero(distance <= radius[point])
            found.take(rows[point[kept]], cell[kept], weights[kept], distance[kept])

    def _measured(self, rule: _Rule, x: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights [p, w] and distance [p] of point and cell, each row by the rule of its cell type."""
        weights, distance = np.zeros((len(cell), self._width)), np.full(len(cell), np.inf)
        for kind, nodes, start in self._blocks:
            rows = np.flatnonzero((cell >= start) & (cell < start + len(nodes)))
            if len(rows):
                near, away = rule(kind, x[rows], self._points[nodes[cell[rows] - start]])
                weights[rows, : nodes.shape[1]], distance[rows] = near, away
        return weights, distance

    def _nodes(self, cells: np.ndarray) -> np.ndarray:
        out = np.full((len(cells), self._width), -1)
        for _, nodes, start in self._blocks:
            rows = np.flatnonzero((cells >= start) & (cells < start + len(nodes)))
            out[rows, : nodes.shape[1]] = nodes[cells[rows] - start]
        return out


class _Found:
    """What is known of each point so far; ``tie`` is the difference of distances that means nothing."""

    def __init__(self, q: int, width: int, tie: float):
        self.cells = np.full(q, -1)
        self.weights = np.zeros((q, width))
        self.distance = np.full(q, np.inf)
        self._tie = tie

    def take(self, point: np.ndarray, cell: np.ndarray, weights: np.ndarray, distance: np.ndarray) -> None:
        """Of these candidates, all there are for their points, the nearest; the lowest of those equally near."""
        order = np.lexsort([distance, point])
        nearest, group = _first_of_each(point[order])
        least = distance[order][nearest][group]
        order = order[distance[order] <= least * (1 + _RELATIVE) + self._tie]
        order = order[np.lexsort([cell[order], point[order]])]
        best = order[_first_of_each(point[order])[0]]
        rows = point[best]
        self.cells[rows], self.weights[rows], self.distance[rows] = cell[best], weights[best], distance[best]

    def drop(self, rows: np.ndarray) -> None:
        """Forget what was found for these."""
        self.cells[rows], self.weights[rows], self.distance[rows] = -1, 0.0, np.inf


def _first_of_each(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a new value begins in a sorted array, and the number of the value of each entry."""
    new = np.ones(len(values), dtype=bool)
    new[1:] = values[1:] != values[:-1]
    return np.flatnonzero(new), np.cumsum(new) - 1
