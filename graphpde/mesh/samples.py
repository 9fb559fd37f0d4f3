"""Values of a field anywhere in its domain: the shape functions of the cell that holds each point, as one operator."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.core.relation import Relation
from graphpde.errors import InputError
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.cells import CELLS, REFERENCE
from graphpde.mesh.elements import P1, Q1
from graphpde.mesh.locate import Location, Locator
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.pieces import pieces
from graphpde.mesh.space import Space

_CURVED = 0.25  # times the size of a quadratic cell: how far its side may bulge
_NEWTON = 8  # iterations that find a point in a cell with curved sides; a straight one needs none


class Samples:
    """Fields of a space at fixed points: u [*, n, c] -> [*, q, c], linear and differentiable, exact for the element.

    On cell averages the value is that of the cell. Points just outside of a straight cell whose quadratic side is
    curved belong to it.

    Args:
        space: where the fields live.
        points: where they are wanted [q, d].
        labels: how messages name the points; default: their coordinates.
        outside: "refuse" points that belong to no cell, or "nan": they carry no value.

    Attributes:
        points: [q, d]. cells: the cell that holds each point, -1 for none [q].

    Raises:
        InputError: points outside of the mesh, with the distance to it. ShapeError: points of another dimension.
    """

    def __init__(
        self, space: Space | CellSpace, points: Any, *, labels: list[str] | None = None, outside: str = "refuse"
    ):
        mesh = space.mesh
        self.points = torch.as_tensor(points, dtype=torch.float64).reshape(-1, mesh.space_dim)
        where = Locator(mesh).locate(self.points, reach=float("inf"))
        near = where.inside
        if not isinstance(space, CellSpace) and space.element.degree > 1:  # its sides may bulge
            near = near | (where.distance <= _CURVED * _sizes(mesh, where))
        entries = _entries(space, where._replace(cells=torch.where(near, where.cells, -1)), self.points)
        fits = near.index_put((entries.beyond,), torch.tensor(False))
        lost = (~fits).nonzero()[:, 0]
        if len(lost) and outside == "refuse":
            k = int(lost[0])
            label = _coordinates(self.points[k]) if labels is None else labels[k]
            raise InputError(
                f"{label} lies outside of '{mesh.name}', {float(where.distance[k]):.4g} away from its nearest cell; "
                f"the mesh reaches {_extent(mesh.points[mesh.used_points])}"
            )
        self.cells = torch.where(fits, where.cells, -1)
        relation = Relation.from_edges(entries.unknown, entries.point, space.n, len(self.points))
        self._relation = relation.to(space.device)
        self._weight = relation.own(entries.value).to(space.device)
        self._lost = (self.cells < 0).to(space.device)

    def __call__(self, u: Tensor) -> Tensor:
        """Values [*, q, c] of u [*, n, c]; NaN at points outside of the mesh."""
        y = self._relation.propagate(u, weight=self._weight.to(u.dtype))
        return torch.where(self._lost[:, None], float("nan"), y) if bool(self._lost.any()) else y


class _Entries(NamedTuple):
    """Pairs of a point and an unknown with the value of its shape function [k]; the points beyond their cell."""

    point: Tensor
    unknown: Tensor
    value: Tensor
    beyond: Tensor


def _entries(space: Space | CellSpace, where: Location, points: Tensor) -> _Entries:
    none = torch.zeros(0, dtype=torch.int64)
    if isinstance(space, CellSpace):
        rows = (where.cells >= 0).nonzero()[:, 0]
        return _Entries(rows, where.cells[rows], torch.ones(len(rows), dtype=torch.float64), none)
    found = [_Entries(none, none, torch.zeros(0, dtype=torch.float64), none)]
    dof_of_point = space.dof_of_point.cpu()
    for piece in pieces(space.mesh, space.element):
        first, count = int(piece.ids[0]), len(piece.ids)
        mine = ((where.cells >= first) & (where.cells < first + count)).nonzero()[:, 0]
        if len(mine):
            nodes, beyond = piece.nodes[where.cells[mine] - first], none
            shape = where.weights[mine, : nodes.shape[1]]
            if space.element.degree > 1:
                shape, off = _shape_at(space, piece.kind, space.mesh.points[nodes], points[mine], where.weights[mine])
                beyond = mine[off & ~where.inside[mine]]
            row = mine[:, None].expand(nodes.shape)
            found.append(_Entries(row.reshape(-1), dof_of_point[nodes].reshape(-1), shape.reshape(-1), beyond))
    return _Entries(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _shape_at(space: Space, kind: str, places: Tensor, points: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Shape functions [p, k] of cells with nodes at ``places`` [p, k, d], at points [p, d], and which lie beyond [p].

    The weights of the vertices give the place in the straight cell; Newton's method goes on to that in the curved one.
    """
    functions, linear = space.element.cells[kind], CELLS[kind].corners
    corners = torch.tensor(REFERENCE[linear], dtype=torch.float64)
    xi = weights[:, : len(corners)] @ corners
    size = (places.amax(1) - places.amin(1)).amax(1, keepdim=True)
    shape, slope = functions(xi)
    for _ in range(_NEWTON):
        miss = points - torch.einsum("pk,pkd->pd", shape, places)
        if bool((miss.abs() <= 1e-15 * size).all()):
            break
        jacobian = torch.einsum("pkd,pkr->pdr", places, slope.expand(len(xi), -1, -1))
        xi = xi + torch.linalg.lstsq(jacobian, miss[..., None]).solution[..., 0]
        shape, slope = functions(xi)
    first_order = P1.cells if linear in P1.cells else Q1.cells
    return shape, first_order[linear](xi)[0].amin(1) < -1e-6


def _sizes(mesh: Mesh, where: Location) -> Tensor:
    """Extent of the cell of each point [q]."""
    x = mesh.points[where.nodes.clamp(min=0)]
    missing = (where.nodes < 0)[..., None]
    low = torch.where(missing, float("inf"), x).amin(1)
    high = torch.where(missing, -float("inf"), x).amax(1)
    return (high - low).amax(1)


def _coordinates(x: Tensor) -> str:
    return "the point (" + ", ".join(f"{v:.6g}" for v in x.tolist()) + ")"


def _extent(points: Tensor) -> str:
    low, high = points.amin(0).tolist(), points.amax(0).tolist()
    return ", ".join(f"{name} = {a:.4g} to {b:.4g}" for name, a, b in zip("xyz", low, high, strict=False))
