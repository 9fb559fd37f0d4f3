"""Fields given by their values at the points of a mesh, as the functions that they are on its cells."""

from __future__ import annotations

import torch
from torch import Tensor

from graphpde.errors import MeshError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.elements import P2, Q2
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.samples import Samples
from graphpde.mesh.second_order import SECOND_ORDER, completed
from graphpde.mesh.space import Space
from graphpde.mesh.transfer import interpolation

_SIMPLICES = frozenset(("line", "triangle", "tetra"))


class PointFields:
    """Functions on a mesh from their values at its points: quadratic where its cells have nodes for that.

    Where a mesh has cells of higher order that no element here fits (pyramids, third order, quadratic ones that are
    folded), the values at their vertices count, linear between, and ``note`` says so.

    Args:
        mesh: cells of any type.

    Attributes:
        space: where the functions live. second_order: whether the values at nodes beyond the vertices are read.
        note: what is to be known about it, one sentence, or None. points: those of the mesh that are read, bool [n].
    """

    def __init__(self, mesh: Mesh):
        self.mesh = mesh
        found, reason = _second_order(mesh)
        self.second_order = found is not None
        self.note: str | None = None
        if reason:
            self.note = f"the fields of '{mesh.name}' were taken at the vertices of its cells, linear between: {reason}"
        self.space = Space(mesh) if found is None else found
        self.points = torch.zeros(mesh.n, dtype=torch.bool)
        given = self.space.point_of_dof.cpu()
        self.points[given[given < mesh.n]] = True

    def unknowns(self, values: Tensor) -> Tensor:
        """Values at the unknowns [space.n, c] from those at the points of the mesh [n, c]."""
        if self.space.mesh.n > self.mesh.n:
            values = torch.stack([self._completed(column) for column in values.unbind(1)], 1)
        return self.space.from_points(values)

    def _completed(self, column: Tensor) -> Tensor:
        """Values [n] with those at the nodes that the cells lack, by the serendipity functions of the others."""
        known = torch.where(self.points, column, 0.0)  # what no cell uses may be anything
        return completed(self.mesh.with_points(known[:, None])).points[:, 0].to(column.dtype)

    def at(self, target: Tensor) -> PointSamples:
        """Their values at points [q, d], as one operator; outside of the mesh those of its nearest point."""
        return PointSamples(self, target)


class PointSamples:
    """Values of :class:`PointFields` at q points.

    Attributes:
        outside: which of the points belong to no cell [q]. distance: of each from the mesh [q].
    """

    def __init__(self, fields: PointFields, target: Tensor):
        self._fields, self._nearest = fields, interpolation(fields.mesh, target)
        self._samples = Samples(fields.space, target, outside="nan") if fields.second_order else None
        self.outside, self.distance = self._nearest.outside, self._nearest.location.distance
        if self._samples is not None:  # a curved side may reach beyond the straight cell
            self.outside = self.outside & (self._samples.cells < 0)
            self.distance = torch.where(self.outside, self.distance, 0.0)

    def __call__(self, values: Tensor) -> Tensor:
        """Values [q, c] from those at the points of the mesh [n, c]."""
        near = self._nearest(values)
        if self._samples is None:
            return near
        inside = (self._samples.cells >= 0)[:, None]
        return torch.where(inside, self._samples(self._fields.unknowns(values)), near)


def _second_order(mesh: Mesh) -> tuple[Space | None, str]:
    """The quadratic space on a mesh that has nodes for it, or why there is none; neither on a mesh of first order."""
    higher = [kind for kind in mesh.cells if CELLS[kind].corners != kind]
    if not higher:
        return None, ""
    other = [kind for kind in higher if kind not in SECOND_ORDER]
    if other:
        return None, f"{', '.join(other)} cells carry no quadratic element here"
    element = P2() if all(CELLS[kind].corners in _SIMPLICES for kind in mesh.cells) else Q2()
    try:
        return Space(mesh, element), ""
    except MeshError as error:
        return None, str(error)
