"""Fields from one mesh to another, or to points: interpolation as one sparse operator.

The value at a point is the shape-function mean of the corners of the cell that holds it: exact for linear fields, of
second order for smooth ones, between the smallest and largest value of the corners. It does not keep integrals: a
projection that does (conservative remapping by the intersections of cells) is not done here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.core.relation import Relation
from graphpde.errors import MeshError, ShapeError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.geometry import cell_centroids
from graphpde.mesh.locate import Location, Locator
from graphpde.mesh.mesh import Mesh
from graphpde.registry import unknown

OUTSIDE = {
    "nearest": "the value at the nearest point of the source",
    "nan": "not-a-number",
    "error": "refused",
}
"""What becomes of target points that belong to no cell of the source: name -> what they get."""


@dataclass(frozen=True, eq=False)
class Interpolation:
    """Values at the points of a source mesh -> values at q points; linear, differentiable, built once for all fields.

    Attributes:
        relation: source points -> q points, the corners of the cell of each. weight: in own order [e], >= 0; those of a
            point add up to 1, or there are none where ``outside="nan"`` met one.
        location: where the q points lie in the source.
    """

    relation: Relation
    weight: Tensor
    location: Location

    def __call__(self, u: Tensor) -> Tensor:
        """Interpolate u [*, n, c] -> [*, q, c]; rows without weights are not-a-number."""
        y = self.relation.propagate(u, weight=self.weight)
        lost = self.location.cells < 0
        return torch.where(lost[:, None], math.nan, y) if bool(lost.any()) else y

    @property
    def outside(self) -> Tensor:
        """Which of the q points belong to no cell of the source [q]."""
        return ~self.location.inside

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Interpolation:
        """The same operator elsewhere, its weights in another type."""
        location = Location(*(part.to(device) for part in self.location))
        return Interpolation(self.relation.to(device), self.weight.to(device=device, dtype=dtype), location)


def interpolation(source: Mesh | Locator, target: Mesh | Tensor, *, outside: str = "nearest") -> Interpolation:
    """The operator from the points of ``source`` to those of ``target``: P1 on simplices, Q1 on quadrilaterals.

    Hexahedra are trilinear; wedges and pyramids fit to their neighbours on every facet. Quadratic source cells count
    with their vertices; the values at their mid-side nodes are not read.

    Args:
        source: the mesh the fields live on, or a locator of it, which saves its preparation.
        target: a mesh, or points [q, d].
        outside: "nearest", "nan" or "error", see ``OUTSIDE``; which points belong to a cell says
            :class:`~graphpde.mesh.locate.Locator`.

    Raises:
        MeshError: points outside where they are refused, or spaces of different dimension. UnknownName: ``outside``.
    """
    locator = source if isinstance(source, Locator) else Locator(source)
    location = _located(locator, target, outside)
    entry = location.weights > 0
    dst = entry.nonzero()[:, 0]
    relation = Relation.from_edges(location.nodes[entry], dst, locator.mesh.n, len(location.cells))
    return Interpolation(relation, relation.own(location.weights[entry]), location)


def transfer(field: str | Tensor, source: Mesh, target: Mesh | Tensor, *, outside: str = "nearest") -> Tensor:
    """A field of the source at the points of the target [q, ...]; a cell field at the cells of a target mesh.

    Point fields are interpolated, see :func:`interpolation`; whole numbers and truth values take the value of the
    corner with the largest weight. Cell fields take the value of the cell that holds the point, or the centroid of the
    target's cell.

    Args:
        field: name of point or cell data of the source (point data first), or values [n, ...] at its points or [m, ...]
            at its cells; values that fit both count as values at points.
        outside: "nearest", "nan" (whole numbers become float64 where any point lies outside) or "error".

    Raises:
        UnknownName: no such field. ShapeError: values for neither points nor cells. MeshError: see
            :func:`interpolation`.
    """
    values, at_points = _values(field, source)
    if at_points:
        return _at_points(interpolation(source, target, outside=outside), values)
    return _of_cells(_located(Locator(source), _centres(target), outside), values)


class Transferred(NamedTuple):
    """A mesh with the fields of another one.

    Attributes:
        mesh: the target with the fields; its ``warnings`` tell of points outside and of values not read.
        outside: which of its points belong to a cell of it and to none of the source [n].
        distance: of each of its points from the source [n].
    """

    mesh: Mesh
    outside: Tensor
    distance: Tensor


def transfer_mesh_data(source: Mesh, target: Mesh, *, outside: str = "nearest") -> Transferred:
    """The target mesh with all point and cell data of the source beside its own; see :func:`transfer`.

    Fields of the target with the same name are replaced.

    Raises:
        MeshError: see :func:`interpolation`.
    """
    locator = Locator(source)
    operator = interpolation(locator, target, outside=outside)
    points = {name: _at_points(operator, values) for name, values in source.point_data.items()}
    cells = {}
    if source.cell_data:
        location = _located(locator, _centres(target), outside)
        cells = {name: _of_cells(location, values) for name, values in source.cell_data.items()}
    mesh, away, distance = target.with_data(points, cells), operator.outside & _used(target), operator.location.distance
    if points and any(CELLS[kind].corners != kind for kind in source.cells):
        mesh = mesh.with_warnings(
            f"the cells of '{source.name}' are of higher order; its fields were taken at their vertices, linear between"
        )
    if bool(away.any()):
        mesh = mesh.with_warnings(
            f"{int(away.sum())} of {target.n} points lie outside of '{source.name}', up to "
            f"{float(distance[away].max()):.3g} away, and got {OUTSIDE[outside]}"
        )
    return Transferred(mesh, away, distance)


def _centres(target: Mesh | Tensor) -> Tensor:
    return cell_centroids(target) if isinstance(target, Mesh) else target


def _located(locator: Locator, target: Mesh | Tensor, outside: str) -> Location:
    """Where the target's points lie; those that no cell of the target uses are never refused."""
    if outside not in OUTSIDE:
        raise unknown("treatment of outside points", outside, OUTSIDE)
    x = target.points if isinstance(target, Mesh) else torch.as_tensor(target, dtype=torch.float64)
    if x.dim() == 2 and x.shape[1] != locator.mesh.space_dim:
        raise MeshError(
            f"the target lies in {x.shape[1]}-D space and '{locator.mesh.name}' in {locator.mesh.space_dim}-D; give "
            f"both the same number of coordinates"
        )
    location = locator.locate(x, reach=math.inf)
    away = ~location.inside
    if outside == "nan":
        return location._replace(
            cells=torch.where(away, -1, location.cells), weights=torch.where(away[:, None], 0.0, location.weights)
        )
    if outside == "error":
        if isinstance(target, Mesh):
            away &= _used(target)
        if bool(away.any()):
            worst = int(torch.where(away, location.distance, -1.0).argmax())
            raise MeshError(
                f"{int(away.sum())} of {len(x)} target points lie outside of '{locator.mesh.name}', the farthest at "
                f"{[float(f'{c:.6g}') for c in x[worst]]}, {float(location.distance[worst]):.3g} away; take "
                f"outside='nearest' or 'nan', or check the units"
            )
    return location


def _used(mesh: Mesh) -> Tensor:
    """Which points belong to a cell, as vertices or mid-side nodes [n]."""
    used = torch.zeros(mesh.n, dtype=torch.bool)
    for nodes in mesh.cells.values():
        used[nodes.reshape(-1)] = True
    return used


def _values(field: str | Tensor, source: Mesh) -> tuple[Tensor, bool]:
    """The values and whether they are values at points."""
    if isinstance(field, str):
        for data, at_points in ((source.point_data, True), (source.cell_data, False)):
            if field in data:
                return data[field], at_points
        raise unknown(f"field of '{source.name}'", field, [*source.point_data, *source.cell_data])
    values = torch.as_tensor(field)
    if values.dim() == 0 or len(values) not in (source.n, source.n_cells):
        raise ShapeError(
            f"the field has shape {list(values.shape)}, expected [{source.n}, ...] for the points or "
            f"[{source.n_cells}, ...] for the cells of '{source.name}'"
        )
    return values, len(values) == source.n


def _at_points(operator: Interpolation, values: Tensor) -> Tensor:
    """Values [n, ...] at the points of the operator [q, ...]."""
    if values.is_floating_point() or values.is_complex():
        flat = values.reshape(len(values), math.prod(values.shape[1:]))
        return operator(flat).reshape(-1, *values.shape[1:])
    location = operator.location
    corner = location.nodes.gather(1, location.weights.argmax(1, keepdim=True))[:, 0]
    return _with_nan(values[corner.clamp(min=0)], location.cells < 0)


def _of_cells(location: Location, values: Tensor) -> Tensor:
    """Values [m, ...] of the cells at the points that lie in them [q, ...]."""
    return _with_nan(values[location.cells.clamp(min=0)], location.cells < 0)


def _with_nan(values: Tensor, rows: Tensor) -> Tensor:
    """Not-a-number in these rows of values [q, ...]; whole numbers become float64 for it."""
    if not bool(rows.any()):
        return values
    if not (values.is_floating_point() or values.is_complex()):
        values = values.to(torch.float64)
    return torch.where(rows.reshape(-1, *[1] * (values.dim() - 1)), math.nan, values)
